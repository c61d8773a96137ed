"""Reads what an implementation says of itself with `ast`, importing nothing: title, claims, settings, presets, sections."""

import ast
import hashlib
import io
import re
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb import places

PRESETS = ("smoke", "quick", "full", "paper")


class Malformed(ValueError):
    """A file in impl/ that doesn't keep the contract; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Setting:
    name: str
    type: str
    default: Any
    comment: str  # where the paper gives the default, or "ours"


# Sec. 4.1, Eq. 1, Eqs. 6 to 9, Table 2, Fig. 3, App. A.2, Sec. II, Procedure 1
PLACE = re.compile(
    r"\b(?:Secs?\.|Eqs?\.|Figs?\.|Tables?|App\.|Algorithm|Prop\.|Theorem|Definition|Procedure)\s"
    r"(?:[0-9]+[0-9.]*|[IVX]+\b|[A-Z](?:\.[0-9]+)*\b)(?:(?:,| to| and)\s[0-9][0-9.]*)*"
)


@dataclass(frozen=True)
class Section:
    """A function or class of the file's top level: what it says of itself, its code without that, and its lines."""

    name: str
    doc: str
    code: str
    first: int
    last: int
    places: tuple[str, ...]  # of the paper that it names: Sec. 4, Eq. 1


@dataclass(frozen=True)
class Implementation:
    name: str
    path: Path
    title: str
    doc: dict[str, str]  # the docstring's sections: Claims, Deviations, Left out, Shapes
    claims: dict[str, str]  # id: what it says
    settings: tuple[Setting, ...]
    presets: dict[str, dict[str, Any]]  # preset: every setting's value
    sections: tuple[Section, ...]
    source: str = field(repr=False)

    @property
    def source_hash(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def parallel(self) -> bool:
        """Whether several processes can share its batches (impl.kit.parallel)."""
        return "parallel.part(" in self.source


def names(folder: Path = places.IMPLEMENTATIONS) -> list[str]:
    """Every implementation there is, by file name."""
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def read(name: str, folder: Path = places.IMPLEMENTATIONS) -> Implementation:
    """Raises FileNotFoundError if there is no such file, Malformed if it breaks the contract of DESIGN."""
    path = folder / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise Malformed(f"{path}:{error.lineno or 1}:{error.offset or 1}: {error.msg}") from None
    doc = ast.get_docstring(tree)
    if not doc:
        raise Malformed(f"{path}:1:1: no docstring; begin with the paper's title, authors and where it was published")
    parts = doc_sections(doc)
    if "Claims" not in parts:
        raise Malformed(
            f'{path}:1:1: the docstring has no section "Claims"; give each claim a line: id, spaces, sentence'
        )
    settings = _settings(tree, source, path)
    return Implementation(
        name=name,
        path=path,
        title=doc.splitlines()[0],
        doc=parts,
        claims=_claims(parts["Claims"]),
        settings=settings,
        presets=_presets(tree, settings, path),
        sections=_sections(tree, source.splitlines()),
        source=source,
    )


def doc_sections(doc: str) -> dict[str, str]:
    """The docstring's sections: a capitalized heading at column 0, text from column 12 on."""
    sections: dict[str, list[str]] = {}
    heading = None
    for line in doc.splitlines()[1:]:
        if re.fullmatch(r"[A-Z][A-Za-z ]{1,9}  ", line[:12]) and line[12:]:
            heading = line[:12].strip()
            sections[heading] = [line[12:].rstrip()]
        elif heading and line.strip():
            sections[heading].append(line[12:].rstrip() if not line[:12].strip() else line.strip())
    return {heading: "\n".join(lines) for heading, lines in sections.items()}


def _claims(text: str) -> dict[str, str]:
    claims: dict[str, str] = {}
    for line in text.splitlines():
        if found := re.match(r"([a-z0-9]+(?:-[a-z0-9]+)*)\s{2,}(\S.*)", line):
            claims[found[1]] = found[2]
        elif claims:
            claims[next(reversed(claims))] += " " + line.strip()
    return claims


def _settings(tree: ast.Module, source: str, path: Path) -> tuple[Setting, ...]:
    config = next((n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Config"), None)
    if config is None:
        raise Malformed(f"{path}:1:1: no class Config; write a frozen dataclass with the paper's settings as defaults")
    comments = {
        token.start[0]: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    settings = []
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.value is None:
                raise Malformed(f"{path}:{node.lineno}:{node.col_offset + 1}: {node.target.id} has no default")
            default = _literal(node.value, path)
            comment = comments.get(node.end_lineno or node.lineno, "")
            settings.append(Setting(node.target.id, ast.unparse(node.annotation), default, comment))
    return tuple(settings)


def _presets(tree: ast.Module, settings: tuple[Setting, ...], path: Path) -> dict[str, dict[str, Any]]:
    """Every preset's settings, following `Config(...)`, `replace(NAME, ...)` and plain names through the file."""
    defaults = {setting.name: setting.default for setting in settings}
    known: dict[str, dict[str, Any]] = {}

    def value(node: ast.expr) -> dict[str, Any] | None:
        match node:
            case ast.Name(id=name):
                return known.get(name)
            case ast.Call(func=ast.Name(id="Config"), args=[], keywords=keywords):
                base: dict[str, Any] | None = defaults
            case ast.Call(func=ast.Name(id="replace"), args=[first], keywords=keywords):
                base = value(first)
            case _:
                return None
        if base is None:
            return None
        return base | {k.arg: _literal(k.value, path) for k in keywords if k.arg}

    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            if node.targets[0].id == "PRESETS" and isinstance(node.value, ast.Dict):
                presets = {
                    str(_literal(key, path)): value(item)
                    for key, item in zip(node.value.keys, node.value.values, strict=True)
                    if key is not None
                }
                if missing := [name for name in PRESETS if name not in presets]:
                    raise Malformed(f"{path}:{node.lineno}:1: PRESETS lacks {', '.join(missing)}")
                if unread := [name for name, preset in presets.items() if preset is None]:
                    raise Malformed(
                        f"{path}:{node.lineno}:1: the preset {unread[0]!r} can't be read; "
                        f"make it of Config(...) or replace(OTHER, name=literal, ...)"
                    )
                return {name: preset for name, preset in presets.items() if preset is not None}
            if (found := value(node.value)) is not None:
                known[node.targets[0].id] = found
    raise Malformed(
        f'{path}:1:1: no PRESETS; write PRESETS = {{"smoke": ..., "quick": ..., "full": ..., "paper": ...}}'
    )


def _sections(tree: ast.Module, lines: list[str]) -> tuple[Section, ...]:
    found = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        first, last = min([node.lineno, *(d.lineno for d in node.decorator_list)]), node.end_lineno or node.lineno
        doc, said = ast.get_docstring(node) or "", range(0)
        if doc:
            said = range(node.body[0].lineno, (node.body[0].end_lineno or node.lineno) + 1)
        code = [lines[number - 1] for number in range(first, last + 1) if number not in said]
        if len(code) > 1 and not code[1]:
            del code[1]
        found.append(Section(node.name, doc, "\n".join(code), first, last, _places("\n".join(lines[first - 1 : last]))))
    return tuple(found)


def _places(text: str) -> tuple[str, ...]:
    """The places in the paper that a piece of the file names, in their order."""
    return tuple(dict.fromkeys(" ".join(place.split()).rstrip(".") for place in PLACE.findall(text)))


def _literal(node: ast.expr, path: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise Malformed(
            f"{path}:{node.lineno}:{node.col_offset + 1}: {ast.unparse(node)} is not a literal; "
            f"settings and presets are written out, so that they can be read without running the file"
        ) from None


def parse_settings(implementation: Implementation, preset: str, changes: dict[str, str]) -> dict[str, Any]:
    """The settings to change in a preset, from text such as {"lr": "0.1"}, each as a value of the setting's own type.

    Raises ValueError naming what doesn't exist or doesn't fit, with what there is.
    """
    if preset not in implementation.presets:
        raise ValueError(f"{implementation.name} has no preset {preset!r}; it has {', '.join(implementation.presets)}")
    known = {setting.name: setting.default for setting in implementation.settings}
    parsed = {}
    for name, text in changes.items():
        if name not in known:
            raise ValueError(f"{implementation.name} has no setting {name!r}; it has {', '.join(known)}")
        parsed[name] = _parse(text, known[name], name)
    return parsed


def _parse(text: str, like: Any, name: str) -> Any:
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        raise ValueError(f"{name}={text}: not a value like {like!r}") from None
    if isinstance(like, float) and type(value) is int:
        value = float(value)
    if isinstance(like, tuple) and not isinstance(value, tuple):
        value = (value,)
    if type(value) is not type(like):
        raise ValueError(f"{name}={text}: wanted is a value like {like!r}")
    return value
