"""Which files decide what an implementation measures, and their common hash.

Those are its own file and the modules of impl/kit that it imports, directly or by way of others.
Nothing is executed. A new module in impl/kit leaves recorded measurements of others as they are.
A ladder (impl/ladders) also takes nets from papers' files: it has the hash of all that it imports.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

KIT = "impl.kit"


def source_hash(source: str, kit: Path) -> str:
    """SHA-256 of an implementation's source and of the files of `kit` that it needs."""
    digest = hashlib.sha256(source.encode())
    for file in kit_files(source, kit):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def kit_files(source: str, kit: Path) -> list[Path]:
    """The modules of the folder `kit` that this source imports, and those that they import."""
    found: set[Path] = set()
    sources = [source]
    while sources:
        for file in _imported_files(ast.parse(sources.pop()), kit):
            if file not in found:
                found.add(file)
                sources.append(file.read_text(encoding="utf-8"))
    return sorted(found)


def ladder_hash(file: Path, root: Path) -> str:
    """SHA-256 of a ladder's file and of all in the folder `root` that it imports.

    What draws is left out: it measures nothing.
    """
    files, unread = {file}, [file]
    while unread:
        tree = ast.parse(unread.pop().read_text(encoding="utf-8"))
        for module in filter(_is_measuring, _imported_modules(tree)):
            path = root.joinpath(*module.split("."))
            for found in (path.with_suffix(".py"), path / "__init__.py"):
                if found.is_file() and found not in files:
                    files.add(found)
                    unread.append(found)
    digest = hashlib.sha256()
    for found in sorted(files):
        digest.update(found.read_bytes())
    return digest.hexdigest()


def _is_measuring(module: str) -> bool:
    return module.startswith("impl.") and not module.startswith("impl.drawing")


def _imported_files(tree: ast.Module, kit: Path) -> Iterator[Path]:
    for module in _imported_modules(tree):
        if module == KIT or module.startswith(f"{KIT}."):
            yield from filter(Path.is_file, (kit / "__init__.py", kit / f"{module[9:]}.py"))


def _imported_modules(tree: ast.Module) -> Iterator[str]:
    """Each module that is imported anywhere, and each name in it, which may be one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
