"""Which files decide what an implementation measures, and their common hash.

Those are its own file and the modules of impl/kit that it imports, directly or by way of others.
Nothing is executed. A new module in impl/kit leaves recorded measurements of others as they are.
A ladder (impl/ladders) also takes nets from papers' files: it has the hash of all that it imports.
"""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterator
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
    return sorted(_reached(source, functools.partial(_kit_files_of, kit=kit)))


def ladder_hash(file: Path, root: Path) -> str:
    """SHA-256 of a ladder's file and of all in the folder `root` that it imports.

    What draws is left out: it measures nothing.
    """
    source = file.read_text(encoding="utf-8")
    files = _reached(source, functools.partial(_measuring_files_of, root=root)) | {file}
    digest = hashlib.sha256()
    for found in sorted(files):
        digest.update(found.read_bytes())
    return digest.hexdigest()


def _kit_files_of(module: str, kit: Path) -> Iterator[Path]:
    if module == KIT or module.startswith(f"{KIT}."):
        yield from filter(Path.is_file, (kit / "__init__.py", kit / f"{module[9:]}.py"))


def _measuring_files_of(module: str, root: Path) -> Iterator[Path]:
    if module.startswith("impl.") and not module.startswith("impl.drawing"):
        path = root.joinpath(*module.split("."))
        yield from filter(Path.is_file, (path.with_suffix(".py"), path / "__init__.py"))


def _reached(source: str, files_of: Callable[[str], Iterator[Path]]) -> set[Path]:
    """The files of the modules that this source imports, and of those that they import.

    `files_of` gives the files of a module that count.
    """
    found: set[Path] = set()
    sources = [source]
    while sources:
        for module in _imported_modules(sources.pop()):
            for file in files_of(module):
                if file not in found:
                    found.add(file)
                    sources.append(file.read_text(encoding="utf-8"))
    return found


@functools.lru_cache(maxsize=512)  # the app asks again with every page that it draws
def _imported_modules(source: str) -> tuple[str, ...]:
    """Each module that is imported anywhere, and each name in it, which may be one."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.append(node.module)
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(modules)
