r"""Which piece of code computes which term of an equation.

The `terms` of an entry tie them together, so that a file in impl/ needn't know of it: `term` is a
piece of a displayed equation's LaTeX, `code` a piece of one line of the function that computes it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kb.mathml import to_mathml
from kb.schema import Term

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
# What follows one of these is its argument: the x of \hat x, or of y_x, is no term "x".
ACCENTS = frozenset(
    rf"\{name}"
    for name in (
        *("acute", "bar", "breve", "check", "ddot", "dot", "grave", "hat", "tilde", "vec"),
        *("widehat", "widetilde", "overline", "overrightarrow", "overleftarrow"),
        *("mathbb", "mathbf", "mathcal", "mathit", "mathrm", "operatorname", "text"),
    )
)
SCRIPTS = frozenset("_^'")
ARGUMENT_FOLLOWS = ACCENTS | {"_", "^"}
Span = tuple[int, int]


class BoundTerm(NamedTuple):
    """A term with the place of its code: a line of the section's code, and columns in it."""

    latex: str
    means: str
    code: str
    line: int
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.code)


class Formula(NamedTuple):
    """One equation, and the name of the function or class that computes it."""

    latex: str
    computed_by: str


def bind_terms(
    terms: Sequence[Mapping[str, Any]], equations: Sequence[str], code: str
) -> list[BoundTerm]:
    """The terms that occur in the equations and have exactly one place in the code.

    `kb check` reports the others; a file that was changed since then may have more of them.
    """
    bound = []
    for term in terms:
        places = code_places(code, term["code"])
        if len(places) == 1 and any(occurrences(one, term["term"]) for one in equations):
            bound.append(BoundTerm(term["term"], term["means"], term["code"], *places[0]))
    return bound


def code_places(code: str, piece: str) -> list[tuple[int, int]]:
    """Every line, counted from 0, and column at which the piece stands."""
    return [
        (number, match.start())
        for number, line in enumerate(code.splitlines())
        for match in re.finditer(re.escape(piece), line)
    ]


def occurrences(equation: str, term: str) -> list[Span]:
    """Where the term stands in the equation as a whole: not as a base, an index or under a hat."""
    tokens = list(TOKEN.finditer(equation))
    texts, wanted = [token[0] for token in tokens], TOKEN.findall(term)
    found = []
    for first in range(len(tokens) - len(wanted) + 1):
        last = first + len(wanted) - 1
        if texts[first : last + 1] != wanted:
            continue
        before, after = texts[max(0, first - 2) : first], texts[last + 1 : last + 2]
        is_argument = not ARGUMENT_FOLLOWS.isdisjoint(before[-1:])
        is_in_braces = before[-1:] == ["{"] and before[0] in ACCENTS
        if not is_argument and not is_in_braces and SCRIPTS.isdisjoint(after):
            found.append((tokens[first].start(), tokens[last].end()))
    return found


def mark_terms(equation: str, terms: Sequence[str]) -> str:
    r"""The equation with each term in \class{term-N}{...}, where N is its place in `terms`."""
    spans = [
        (start, end, number)
        for number, term in enumerate(terms)
        for start, end in occurrences(equation, term)
    ]
    spans.sort(key=lambda span: (span[0], -span[1]))  # what begins with another one, inside it
    marked, written = "", 0
    for edge in sorted({edge for span in spans for edge in span[:2]}):
        closed = sum(end == edge for _, end, _ in spans)
        opened = [rf"\class{{term-{number}}}{{" for start, _, number in spans if start == edge]
        marked += equation[written:edge] + "}" * closed + "".join(opened)
        written = edge
    return marked + equation[written:]


def find_problems(
    terms: Sequence[Term], formulas: Sequence[Formula], code: Mapping[str, str], file: str
) -> Iterator[tuple[int, str, str]]:
    """What is wrong with the terms: the number of a term, its field, and what to do.

    `code` has the code of each function and class of the file.
    """
    for number, term in enumerate(terms):
        own = [one for one in formulas if occurrences(one.latex, term.term)]
        names = [name for name in dict.fromkeys(one.computed_by for one in own) if name in code]
        earlier = [other.term for other in terms[:number]]
        if message := _problem_of_latex(term.term, own, earlier):
            yield number, "term", message
        elif names and (message := _problem_of_code(term.code, names, code, file)):
            yield number, "code", message


def _problem_of_latex(term: str, formulas: Sequence[Formula], earlier: Sequence[str]) -> str:
    """What is wrong with a term that stands in these equations, after those of the list before."""
    if not formulas:
        return (
            f'"{term}" is a term of no displayed equation with `code`; copy it from between '
            "$$, with its indices and its hat"
        )
    if term in earlier:
        return f'the term "{term}" is given twice'
    for formula in formulas:
        if not _can_be_marked(formula.latex, term):
            return (
                f'"{term}" is no whole part of "{formula.latex}"; take one with both of its '
                "brackets, outside of \\text{...}"
            )
        for other in earlier:
            if _cross(occurrences(formula.latex, term), occurrences(formula.latex, other)):
                return f'"{term}" begins or ends within "{other}"; make one a part of the other'
    return ""


def _problem_of_code(piece: str, names: Sequence[str], code: Mapping[str, str], file: str) -> str:
    """What is wrong with a piece of the code of the named functions."""
    count = sum(len(code_places(code[name], piece)) for name in names)
    where = f"{' or '.join(names)} of impl/{file}"
    if count == 0:
        return f'"{piece}" is not in {where}; copy a piece of one line, not of a docstring'
    if count > 1:
        return f'"{piece}" stands {count} times in {where}; copy a longer piece of the line'
    return ""


def _can_be_marked(equation: str, term: str) -> bool:
    """Whether the equation stays the same to a reader when the term in it is marked."""
    try:
        plain, marked = to_mathml(equation), to_mathml(mark_terms(equation, [term]))
    except ValueError:
        return False
    count = sum(element.get("class") == "term-0" for element in marked.iter())
    is_same = "".join(plain.itertext()) == "".join(marked.itertext())
    return is_same and count == len(occurrences(equation, term))


def _cross(spans: Sequence[Span], others: Sequence[Span]) -> bool:
    return any(
        start < other_start < end < other_end or other_start < start < other_end < end
        for start, end in spans
        for other_start, other_end in others
    )
