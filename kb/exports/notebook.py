"""A Jupyter notebook of one paper: its story, its code in cells that can be edited, and a run.

The cells define everything in the notebook itself, and the run uses what they define: who changes
a class and runs it again sees what that changes. Text from the timeline goes into Markdown cells,
where HTML in it is shown as text, and into one cell as Python's string literals; none is executed.

A notebook is written here as JSON, in the format 4.5: it needs no more than the keys below, and so
no package that others would have to install. A test has nbformat validate it.
"""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kb.claim_sides import sides_of
from kb.equations import sections_with_equations
from kb.exports.notebook_cells import JUDGE, NEEDS, RUN, SHOW_A_RUN
from kb.formatting import format_published
from kb.implementations import Implementation, Section

MAX_CELL_LINES = 25  # up to which neighbouring statements share a cell
HEADINGS = {  # above the cell that defines the name, as every implementation does
    "Config": (
        "The settings",
        "The defaults are the paper's. A comment says where the paper gives one, or that it is "
        "ours. `PRESETS` has smaller ones, for less time.",
    ),
    "CLAIMS": (
        "How the claims are judged",
        "A margin is fixed before anything is measured. A claim is *reproduced* if the whole 95% "
        "interval of the gain is at least the margin.",
    ),
    "BROKEN": (
        "What takes each idea out",
        "Without its idea a claim must fall; else the measurement proves nothing.",
    ),
    "trial": ("One trial", "It trains one net: one arm, one seed, one point of the grid."),
    "run": ("The whole run", "All trials, then the figures."),
}
PRESET_TEXT = """\
## Run it

| Preset | What it is for |
| --- | --- |
| `smoke` | seconds; only shows that the code runs, its verdicts say nothing |
| `quick` | about a minute |
| `full` | minutes |
| `paper` | as published: hours |

Without MNIST in the folder that `KB_DATA` names and without a network, small digits that
scikit-learn brings take its place; the column `data` says what was used."""
CHANGE_TEXT = """\
## Change something

Edit a class or a setting above, run its cell and those below it (*Run Selected Cell and All
Below*), and compare the verdicts. Or set `TAKEN_OUT` to a claim's id: its idea is then missing, and
its claim should fall."""
MATH = re.compile(r"(\$\$.+?\$\$|\$[^$]+\$)", re.DOTALL)
NOT_OF_THE_WEB = re.compile(r"\](?=\s*[(:](?!\s*https?://))")  # the target of a link that isn't


class Statement(NamedTuple):
    """A top-level statement of a file, with the comments above it."""

    names: tuple[str, ...]  # that it defines
    is_import: bool
    code: str

    @property
    def lines(self) -> int:
        return self.code.count("\n") + 1


def as_notebook(entry: dict[str, Any], implementation: Implementation, preset: str) -> str:
    """The notebook's text. Its last cells run this preset."""
    claims = _claim_texts(entry, implementation)
    cells = [
        _markdown(_head(entry)),
        _code(NEEDS),
        _markdown(f"## The story\n\n{safe_markdown(entry['story'])}"),
        _markdown(_about_the_file(implementation)),
        *_file_cells(entry, implementation),
        _markdown(PRESET_TEXT),
        _code(SHOW_A_RUN),
        _code(f"CLAIM_TEXTS = {json.dumps(claims, ensure_ascii=False, indent=4)}"),
        _code(RUN.format(preset=preset, claim=next(iter(claims)))),
        _code(JUDGE),
        _markdown(CHANGE_TEXT),
    ]
    notebook = {
        "cells": [{"id": f"cell-{number}", **cell} for number, cell in enumerate(cells, start=1)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.strip("\n").splitlines(keepends=True)
    return {"cell_type": "code", "metadata": {}, "source": source} | {
        "execution_count": None,
        "outputs": [],
    }


def _head(entry: dict[str, Any]) -> str:
    people = ", ".join([*entry.get("authors", []), *entry.get("makers", [])])
    published = ", ".join(
        filter(None, [entry.get("venue"), f"{entry.get('date_is', '')} {entry['date']}".strip()])
    )
    lines = [f"# {escape_line(entry['title'])}", escape_line(people), escape_line(published)]
    if url := entry.get("url"):  # checked by kb.schema: it has no space, quote or angle bracket
        lines.append(f"<{url}>")
    lines.append(f"> {escape_line(entry['idea'])}")
    lines.append(
        "Run the cells from top to bottom: the story, the code with the equation that it computes "
        "above it, then a run which says of each claim whether it was reproduced on this machine."
    )
    return "\n\n".join(filter(None, lines))


def _about_the_file(implementation: Implementation) -> str:
    """What the file says of itself: claims, deviations from the paper, shapes."""
    parts = [
        f"**{escape_line(heading)}**\n\n{_fenced(text)}"
        for heading, text in implementation.doc.items()
    ]
    head = (
        f"## The code\n\nThe file `impl/{implementation.path.name}`, cut into cells. "
        "Every cell can be changed: the run at the end uses what the cells define."
    )
    return "\n\n".join([head, *parts])


def _fenced(text: str) -> str:
    """The text letter by letter, with a fence that is longer than any inside."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def _file_cells(entry: dict[str, Any], implementation: Implementation) -> Iterator[dict[str, Any]]:
    """The file as cells, with a heading where a known part begins, and equations above theirs."""
    explained = {
        section.name: _equations(section, equations)
        for section, equations, _ in sections_with_equations(entry, implementation)
    }
    waiting: list[Statement] = []
    for statement in read_statements(implementation.source):
        above = [
            *(f"### {title}\n\n{text}" for title, text in _headings(statement.names)),
            *(explained[name] for name in statement.names if name in explained),
        ]
        if waiting and (above or not _share_a_cell(waiting, statement)):
            yield _code("\n".join(other.code for other in waiting))
            waiting = []
        if above:
            yield _markdown("\n\n".join(above))
        waiting.append(statement)
    if waiting:
        yield _code("\n".join(other.code for other in waiting))


def _share_a_cell(statements: Sequence[Statement], following: Statement) -> bool:
    """All imports do; other statements if together they are short."""
    if statements[-1].is_import or following.is_import:
        return statements[-1].is_import == following.is_import
    return sum(statement.lines for statement in [*statements, following]) <= MAX_CELL_LINES


def _headings(names: Iterable[str]) -> list[tuple[str, str]]:
    return [HEADINGS[name] for name in names if name in HEADINGS]


def _equations(section: Section, equations: list[str]) -> str:
    """The equations that a section computes, and where the paper has them."""
    shown = [f"$${_safe_math(equation)}$$" for equation in equations]
    what = "it" if len(shown) == 1 else "them"
    where = f" ({escape_line(', '.join(section.references))})" if section.references else ""
    return "\n\n".join([*shown, f"`{section.name}` computes {what}{where}:"])


def read_statements(source: str) -> Iterator[Statement]:
    """The statements of a file in their order, without its docstring and what a script does."""
    tree = ast.parse(source)
    lines = source.split("\n")  # as `ast` counts them
    end = 0  # of the statement before, as the number of its last line
    for node in tree.body:
        start, end = end, node.end_lineno or node.lineno
        if not _is_docstring(node) and not _is_script(node):
            is_import = isinstance(node, ast.Import | ast.ImportFrom)
            yield Statement(_defined_names(node), is_import, "\n".join(lines[start:end]))


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_script(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, which holds in a notebook, too."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def _defined_names(node: ast.stmt) -> tuple[str, ...]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return (node.name,)
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


def _claim_texts(entry: dict[str, Any], implementation: Implementation) -> dict[str, Any]:
    """What the run's end says of each claim: its sentence, the sides, the published figures.

    All of it is text: as JSON it is also Python.
    """
    return {
        claim["id"]: {
            "says": claim["says"].strip(),
            "sides": sides_of(implementation.name, claim["id"]),
            "published": _published(claim),
        }
        for claim in entry["claims"]
    }


def _published(claim: dict[str, Any]) -> str:
    """The paper's figures, their unit and place; its words where it gives no figures."""
    published = claim.get("published") or {}
    if published.get("idea") is None:
        return f"{published.get('note', 'gives no number')} ({claim['where']})"
    return f"{format_published(published)} {published['unit']} ({claim['where']})"


def escape_line(text: str) -> str:
    """The text as one line of Markdown that is shown letter by letter."""
    return re.sub(r"[\\`*_\[\]<>&#|$~!]", r"\\\g<0>", " ".join(text.split()))


def safe_markdown(text: str) -> str:
    """Markdown with equations, in which HTML is text, and which fetches and links nothing but the
    web."""
    parts = MATH.split(text)  # every second one is an equation
    return "".join(
        _safe_math(part) if number % 2 else _safe_text(part) for number, part in enumerate(parts)
    )


def _safe_text(text: str) -> str:
    without_html = text.replace("<", "&lt;").replace("![", r"\![")
    return NOT_OF_THE_WEB.sub(r"\\]", without_html)


def _safe_math(latex: str) -> str:
    """The equation without what a reader of Markdown that knows no equations would interpret."""
    spaced = latex.replace("](", "] (").replace("]:", "] :")
    return spaced.replace("<", r"\lt ").replace(">", r"\gt ")
