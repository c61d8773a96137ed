"""What the two sides of a claim are called: "dropout" and "standard", not "idea" and "baseline".

The names are read from the source of the implementation, where the claim is declared.
"""

import ast
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from kb import paths


class Sides(NamedTuple):
    idea: str
    rival: str


UNNAMED = Sides("the idea", "compared with")
LIMIT = "limit"  # the other side of a claim that something is at most a figure


def sides_of(implementation: str, claim: str) -> Sides:
    """The names of the two sides, `UNNAMED` where the source has none."""
    path = paths.IMPLEMENTATIONS / f"{implementation}.py"
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return UNNAMED
    return _all_sides(implementation, changed).get(claim, UNNAMED)


@lru_cache(maxsize=64)
def _all_sides(implementation: str, changed: int) -> dict[str, Sides]:
    path = paths.IMPLEMENTATIONS / f"{implementation}.py"
    try:
        return declared_sides(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return {}


def declared_sides(source: str) -> dict[str, Sides]:
    """The names of the sides of each claim that this source declares.

    A claim is declared by a call with `claim` and `idea`, or by the call of a function of the
    module that makes such a call with its arguments.
    """
    tree = ast.parse(source)
    constants = _constants(tree.body)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    declared = {}
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        values: dict[str, ast.expr] = dict(constants)
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name in functions:
            arguments = _arguments(functions[name], call)
            values |= {name: _constant(value, constants) for name, value in arguments.items()}
            inner = (node for node in ast.walk(functions[name]) if isinstance(node, ast.Call))
            call = next((node for node in inner if "idea" in _keywords(node)), call)
        keywords = _keywords(call)
        claim = _text(keywords.get("claim"), values)
        if claim and "idea" in keywords:
            declared[claim] = _sides(call, keywords, values)
    return declared


def _constants(body: Sequence[ast.stmt]) -> dict[str, ast.expr]:
    """The texts among the module's constants, also of `A, B = "a", "b"`."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for node in (node for node in body if isinstance(node, ast.Assign)):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs += zip(target.elts, node.value.elts, strict=False)
            else:
                pairs.append((target, node.value))
    return {
        target.id: value
        for target, value in pairs
        if isinstance(target, ast.Name) and isinstance(value, ast.Constant)
    }


def _keywords(call: ast.Call) -> dict[str, ast.expr]:
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def _arguments(function: ast.FunctionDef, call: ast.Call) -> dict[str, ast.expr]:
    """The arguments of a call by the names of the function's parameters, defaults included."""
    names = [parameter.arg for parameter in function.args.args]
    defaults = function.args.defaults
    values = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    return values | dict(zip(names, call.args, strict=False)) | _keywords(call)


def _sides(call: ast.Call, keywords: dict[str, ast.expr], values: dict[str, ast.expr]) -> Sides:
    idea = _text(keywords["idea"], values)
    if isinstance(call.func, ast.Name) and call.func.id == "AtMost":
        return Sides(idea or UNNAMED.idea, LIMIT)
    if "rival" not in keywords:
        return Sides(idea or UNNAMED.idea, UNNAMED.rival)
    rival = _text(keywords["rival"], values)
    if not idea and not rival:
        return _different_words(keywords["idea"], keywords["rival"])
    return Sides(idea or UNNAMED.idea, rival or UNNAMED.rival)


def _text(node: ast.expr | None, values: dict[str, ast.expr]) -> str:
    """The text of a constant, a name of one, or a text with such in braces; empty for others."""
    node = _constant(node, values) if node else None
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, values) for part in node.values)
    return _text(node.value, values) if isinstance(node, ast.FormattedValue) else ""


def _constant(node: ast.expr, values: dict[str, ast.expr]) -> ast.expr:
    """What a name stands for."""
    return values.get(node.id, node) if isinstance(node, ast.Name) else node


def _different_words(idea: ast.expr, rival: ast.expr) -> Sides:
    """Of two functions, the first text in each that the other doesn't have."""
    texts = [
        [node.value for node in ast.walk(side) if isinstance(node, ast.Constant)]
        for side in (idea, rival)
    ]
    own = [
        next((t for t in texts[i] if isinstance(t, str) and t not in texts[1 - i]), "")
        for i in (0, 1)
    ]
    if any(len(text.partition("_")[0]) < 2 for text in own):  # a symbol such as a_first
        return UNNAMED
    return Sides(*(text.replace("_", " ") for text in own))
