"""Reads an implementation's title, claims, settings, presets and sections with `ast`.

The file is not executed, so reading it needs no torch.
"""

import ast
import functools
import re
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kb import paths, ranges, source_hashes

PRESETS = ("smoke", "quick", "full", "paper")


class Malformed(ValueError):
    """A file in impl/ breaks the contract; the message names the file, the line and the remedy."""


@dataclass(frozen=True)
class Setting:
    name: str
    type: str
    default: Any
    comment: str  # where the paper gives the default, or "ours"

    @property
    def range(self) -> str:
        """The values that it may have, in words."""
        return ranges.describe(self.name, self.default)


# Sec. 4.1, Eq. 1, Eqs. 6 to 9, Table 2, Fig. 3, App. A.2, Sec. II, Procedure 1
REFERENCE = re.compile(
    r"\b(?:Secs?\.|Eqs?\.|Figs?\.|Tables?|App\.|Algorithm|Prop\.|Theorem|Definition|Procedure)\s"
    r"(?:[0-9]+[0-9.]*|[IVX]+\b|[A-Z](?:\.[0-9]+)*\b)(?:(?:,| to| and)\s[0-9][0-9.]*)*"
)


@dataclass(frozen=True)
class Section:
    """A function or class at the top level of the file."""

    name: str
    doc: str  # the docstring
    code: str  # without the docstring
    first_line: int
    last_line: int
    references: tuple[str, ...]  # to the paper: Sec. 4, Eq. 1


@dataclass(frozen=True)
class Implementation:
    name: str
    path: Path
    title: str
    doc: dict[str, str]  # the docstring's sections: Claims, Deviations, Left out, Shapes
    claims: dict[str, str]  # id: what it says
    broken: dict[str, str]  # the id of each claim whose idea can be taken out: the code of how
    settings: tuple[Setting, ...]
    presets: dict[str, dict[str, Any]]  # preset: every setting's value
    sections: tuple[Section, ...]
    source: str = field(repr=False)

    @property
    def source_hash(self) -> str:
        """SHA-256 of all that decides what it measures (kb.source_hashes)."""
        return source_hashes.source_hash(self.source, self.path.parent / "kit")

    @property
    def parallel(self) -> bool:
        """Whether several processes can share its batches (impl.kit.parallel)."""
        return "parallel.part(" in self.source


def names(folder: Path = paths.IMPLEMENTATIONS) -> list[str]:
    """The names of all implementations, sorted."""
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def read(name: str, folder: Path = paths.IMPLEMENTATIONS) -> Implementation:
    """Reads an implementation. Raises FileNotFoundError, or Malformed if it breaks the contract."""
    path = folder / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise Malformed(f"{path}:{error.lineno or 1}:{error.offset or 1}: {error.msg}") from None
    doc = ast.get_docstring(tree)
    if not doc:
        raise Malformed(
            f"{path}:1:1: no docstring; begin with the paper's title, authors "
            f"and where it was published"
        )
    parts = parse_doc_sections(doc)
    if "Claims" not in parts:
        raise Malformed(
            f'{path}:1:1: the docstring has no section "Claims"; '
            f"give each claim a line: id, spaces, sentence"
        )
    settings = _settings(tree, source, path)
    claims = _claims(parts["Claims"])
    return Implementation(
        name=name,
        path=path,
        title=doc.splitlines()[0],
        doc=parts,
        claims=claims,
        broken=_broken(tree, claims),
        settings=settings,
        presets=_presets(tree, settings, path),
        sections=_sections(tree, source.splitlines()),
        source=source,
    )


def parse_doc_sections(doc: str) -> dict[str, str]:
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
    """What each claim says, by its id; a line that doesn't begin with an id continues a claim."""
    claims: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.match(r"([a-z0-9]+(?:-[a-z0-9]+)*)\s{2,}(\S.*)", line):
            claims[match[1]] = match[2]
        elif claims:
            claims[next(reversed(claims))] += " " + line.strip()
    return claims


def _broken(tree: ast.Module, claims: Iterable[str]) -> dict[str, str]:
    """The code of each value of the dict BROKEN (see impl.kit.broken); a comprehension has one."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        value = getattr(node, "value", None) if names == ["BROKEN"] else None
        if isinstance(value, ast.Dict):
            ways = zip(value.keys, map(ast.unparse, value.values), strict=True)
            return {str(key.value): way for key, way in ways if isinstance(key, ast.Constant)}
        if isinstance(value, ast.DictComp):
            return dict.fromkeys(claims, ast.unparse(value.value))
    return {}


def _settings(tree: ast.Module, source: str, path: Path) -> tuple[Setting, ...]:
    """The fields of the class Config, with their defaults and the comments on their lines."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    config = next((node for node in classes if node.name == "Config"), None)
    if config is None:
        raise Malformed(
            f"{path}:1:1: no class Config; write a frozen dataclass "
            f"with the paper's settings as defaults"
        )
    first, last = config.lineno, config.end_lineno
    lines = iter(source.splitlines(keepends=True)[first - 1 : last])
    comments = {
        token.start[0] + first - 1: token.string.lstrip("# ").rstrip()
        for token in tokenize.generate_tokens(functools.partial(next, lines, ""))
        if token.type == tokenize.COMMENT
    }
    settings = []
    for node in config.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if node.value is None:
                raise Malformed(
                    f"{path}:{node.lineno}:{node.col_offset + 1}: {node.target.id} has no default"
                )
            default = _literal(node.value, path)
            last_line = node.end_lineno or node.lineno
            # The formatter puts a long value in parentheses, with the comment inside.
            inside = node.value.end_lineno or node.lineno
            comment = comments.get(last_line) or comments.get(inside, "")
            settings.append(Setting(node.target.id, ast.unparse(node.annotation), default, comment))
    return tuple(settings)


def _presets(
    tree: ast.Module, settings: tuple[Setting, ...], path: Path
) -> dict[str, dict[str, Any]]:
    """Every preset's settings.

    Follows `Config(...)`, `replace(NAME, ...)` and names through the file's assignments.
    """
    defaults = {setting.name: setting.default for setting in settings}
    configs: dict[str, dict[str, Any]] = {}  # the settings of each name assigned so far
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="PRESETS")], value=ast.Dict() as table):
                return _preset_table(table, defaults, configs, path)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                config = _config(value, defaults, configs, path)
                if config is not None:
                    configs[name] = config
    raise Malformed(
        f"{path}:1:1: no PRESETS; write "
        f'PRESETS = {{"smoke": ..., "quick": ..., "full": ..., "paper": ...}}'
    )


def _config(
    node: ast.expr, defaults: dict[str, Any], configs: dict[str, dict[str, Any]], path: Path
) -> dict[str, Any] | None:
    """The settings that an expression gives; None if it isn't made of configurations."""
    base: dict[str, Any] | None
    match node:
        case ast.Name(id=name):
            return configs.get(name)
        case ast.Call(func=ast.Name(id="Config"), args=[], keywords=keywords):
            base = defaults
        case ast.Call(func=ast.Name(id="replace"), args=[first], keywords=keywords):
            base = _config(first, defaults, configs, path)
        case _:
            return None
    if base is None:
        return None
    changes = {keyword.arg: _literal(keyword.value, path) for keyword in keywords if keyword.arg}
    return base | changes


def _preset_table(
    table: ast.Dict, defaults: dict[str, Any], configs: dict[str, dict[str, Any]], path: Path
) -> dict[str, dict[str, Any]]:
    """The settings of each preset in PRESETS. Raises Malformed if one is missing or unreadable."""
    presets = {}
    for key, value in zip(table.keys, table.values, strict=True):
        if key is None:
            continue
        name = str(_literal(key, path))
        presets[name] = _config(value, defaults, configs, path)
    if missing := [name for name in PRESETS if name not in presets]:
        raise Malformed(f"{path}:{table.lineno}:1: PRESETS lacks {', '.join(missing)}")
    if unreadable := [name for name, preset in presets.items() if preset is None]:
        raise Malformed(
            f"{path}:{table.lineno}:1: the preset {unreadable[0]!r} can't be read; "
            f"make it of Config(...) or replace(OTHER, name=literal, ...)"
        )
    return {name: preset for name, preset in presets.items() if preset is not None}


def _sections(tree: ast.Module, lines: list[str]) -> tuple[Section, ...]:
    """The top-level functions and classes; `lines` are those of the file."""
    return tuple(
        _section(node, lines)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    )


def _section(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> Section:
    first_line = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    last_line = node.end_lineno or node.lineno
    doc = ast.get_docstring(node) or ""
    doc_lines = range(0)
    if doc:
        doc_lines = range(node.body[0].lineno, (node.body[0].end_lineno or node.lineno) + 1)
    numbers = range(first_line, last_line + 1)
    code = [lines[number - 1] for number in numbers if number not in doc_lines]
    if len(code) > 1 and not code[1]:
        del code[1]  # the empty line that followed the docstring
    return Section(
        name=node.name,
        doc=doc,
        code="\n".join(code),
        first_line=first_line,
        last_line=last_line,
        references=_references("\n".join(lines[first_line - 1 : last_line])),
    )


def _references(text: str) -> tuple[str, ...]:
    """The references to the paper in a piece of the file, each once, in their order."""
    references = (" ".join(match.split()).rstrip(".") for match in REFERENCE.findall(text))
    return tuple(dict.fromkeys(references))


def _literal(node: ast.expr, path: Path) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise Malformed(
            f"{path}:{node.lineno}:{node.col_offset + 1}: {ast.unparse(node)} is not a literal; "
            f"write settings and presets as literals, which are read without running the file"
        ) from None


def parse_settings(
    implementation: Implementation, preset: str, changes: dict[str, str]
) -> dict[str, Any]:
    """The settings to change in a preset, from text such as {"lr": "0.1"}.

    Each value gets the type of the setting's default. Raises ValueError for an unknown preset or
    setting, which lists the known ones, and for a value of another type or out of range.
    """
    if preset not in implementation.presets:
        raise ValueError(
            f"{implementation.name} has no preset {preset!r}; "
            f"it has {', '.join(implementation.presets)}"
        )
    known = {setting.name: setting.default for setting in implementation.settings}
    parsed = {}
    for name, text in changes.items():
        if name not in known:
            raise ValueError(
                f"{implementation.name} has no setting {name!r}; it has {', '.join(known)}"
            )
        parsed[name] = _parse_value(name, text, known[name])
    return parsed


def _parse_value(name: str, text: str, default: Any) -> Any:
    """The text as a value of the default's type: 1 may stand for 1.0, and 1 for (1,)."""
    if isinstance(default, str):
        ranges.check(name, text, default)
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
        if isinstance(default, float) and type(value) is int:
            value = float(value)
    except (ValueError, SyntaxError, TypeError, OverflowError, MemoryError, RecursionError):
        raise ValueError(f"{name}={text[:40]}: not a value like {default!r}") from None
    if isinstance(default, tuple) and not isinstance(value, tuple):
        value = (value,)
    ranges.check(name, value, default)
    return value
