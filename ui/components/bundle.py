"""Bundles the source files of a component: ES modules that import each other become one ES module.

Streamlit takes a component's JavaScript as one string and serves it alone, so a relative import in
it finds nothing. Here each file stays an ES module of its own, as Node and an editor read it. In
the bundle each becomes a function that is called once and returns what the file exports, after the
files that it imports; so its private names stay private, as in a module.

Only these forms are handled, each at the start of a line; everything else raises BundleError:

    import { a, b } from "./file.js";
    export function a() {       (also: async function, class, const)
    export default a;           (in the entry file, where it is required, and nowhere else)
"""

import re
from pathlib import Path

IMPORT = re.compile(r'^import \{([\w$,\s]+)\} from "(\.{1,2}/[\w./-]+\.js)";$', re.M)
EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const) ([\w$]+)", re.M)
EXPORT_DEFAULT = re.compile(r"^export default ([^;\n]+);$", re.M)
UNHANDLED = re.compile(r"^\s*(?:import|export)\b.*|\bimport\s*[(.].*", re.M)


class BundleError(ValueError):
    """A source file of a component has a form that is not handled, or imports what is not there."""


def bundle(entry: Path) -> str:
    """One ES module with the default export of `entry`, made of `entry` and all that it imports."""
    sources, name = _concatenate(entry)
    return f"{sources}\nexport default {name};\n"


def bundle_script(entry: Path, target: str) -> str:
    """The same as a classic script that assigns the default export to `target`.

    A page that is opened from a folder can't load modules.
    """
    sources, name = _concatenate(entry)
    return f'"use strict";\n(() => {{\n{sources}\n{target} = {name};\n}})();\n'


def _concatenate(entry: Path) -> tuple[str, str]:
    """The files as one text, and the name that the default export of `entry` has in it."""
    modules = _Modules()
    modules.add(entry.resolve())
    return "\n".join(modules.sources), modules.names[entry.resolve()]


class _Modules:
    """The files read so far, in the order in which they have to run."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.names: dict[Path, str] = {}  # file -> the constant with its exports
        self._exports: dict[Path, set[str]] = {}
        self._open: list[Path] = []  # from the entry to the file that is being read

    def add(self, path: Path) -> None:
        """Appends the file after those that it imports; a file that is there already, not again."""
        if path in self.names:
            return
        if path in self._open:
            cycle = " -> ".join(file.name for file in [*self._open, path])
            raise BundleError(f"files import each other: {cycle}")
        is_entry = not self._open
        self._open.append(path)
        source = IMPORT.sub(lambda found: self._constants(path, found), _read(path))
        self._open.pop()
        source, exports = _exports(path, source, is_entry)
        if unhandled := UNHANDLED.search(source):
            raise BundleError(f"{path.name}: not handled: {unhandled[0].strip()}")
        name = f"module{len(self.names)}"
        self.names[path] = name
        self._exports[path] = exports
        result = "defaultExport" if is_entry else f"{{ {', '.join(sorted(exports))} }}"
        header = f"// {path.parent.name}/{path.name}\nconst {name} = (() => {{"
        self.sources.append(f"{header}\n{source.strip()}\nreturn {result};\n}})();\n")

    def _constants(self, path: Path, found: re.Match[str]) -> str:
        """The statement that takes the place of an import."""
        names = [name.strip() for name in found[1].split(",") if name.strip()]
        imported = (path.parent / found[2]).resolve()
        self.add(imported)
        for name in names:
            if name not in self._exports[imported]:
                raise BundleError(f"{path.name}: {imported.name} exports no {name!r}")
        return f"const {{ {', '.join(names)} }} = {self.names[imported]};"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BundleError(f"no such file: {path}") from error


def _exports(path: Path, source: str, is_entry: bool) -> tuple[str, set[str]]:
    """The source without the word `export`, and the names that it exports."""
    names = {found[2] for found in EXPORT.finditer(source)}
    source, defaults = EXPORT_DEFAULT.subn(r"const defaultExport = \1;", source)
    if defaults != int(is_entry):
        wanted = "exactly one" if is_entry else "no"
        raise BundleError(f"{path.name}: {wanted} default export is allowed here, not {defaults}")
    return EXPORT.sub(r"\1 \2", source), names
