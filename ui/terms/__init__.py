"""Equations beside the code that computes them: pointing at a term lights its code, and back."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from kb.equation_terms import BoundTerm, mark_terms
from kb.implementations import Section
from kb.mathml import to_mathml
from ui import components

Token = tuple[str, str]  # a class, such as "k" for a keyword, and a text
_render = components.register(Path(__file__).parent)


def draw_terms(
    section: Section, equations: Sequence[str], terms: Sequence[BoundTerm], *, stacked: bool
) -> None:
    """Draws the section; `stacked` puts the code below the equations also where there is room."""
    data = terms_data(section, equations, terms, stacked=stacked)
    _render(key=f"terms-{section.name}", data=data)


def terms_data(
    section: Section, equations: Sequence[str], terms: Sequence[BoundTerm], *, stacked: bool
) -> dict[str, Any]:
    """What the component draws. A term is named by its number in the list."""
    names = [term.latex for term in terms]
    return {
        "equations": [_math_data(mark_terms(equation, names)) for equation in equations],
        "terms": [_term_data(term) for term in terms],
        "lines": _lines(section.code, terms),
        "about": {
            "lines": f"{section.name}, lines {section.first_line} to {section.last_line}",
            "references": list(section.references),
            "paragraphs": [text for text in section.doc.split("\n\n") if text.strip()],
        },
        "stacked": stacked,
    }


def _term_data(term: BoundTerm) -> dict[str, Any]:
    return {"math": _math_data(term.latex), "means": term.means, "code": term.code}


def _math_data(latex: str) -> list[Any]:
    """The equation as MathML in nested lists; its LaTeX, as text, if it can't be converted."""
    try:
        return _element_data(to_mathml(latex))
    except ValueError:
        return ["math", {}, "", [["mtext", {}, latex, []]]]


def _element_data(element: Element) -> list[Any]:
    children = [_element_data(child) for child in element]
    attributes = {name: value for name, value in element.attrib.items() if name != "xmlns"}
    return [element.tag, attributes, element.text or "", children]


def _lines(code: str, terms: Sequence[BoundTerm]) -> list[dict[str, Any]]:
    """Each line of the code: the terms that it computes, and its pieces."""
    lines = []
    for number, tokens in enumerate(_tokens(code)):
        own = [(n, term) for n, term in enumerate(terms) if term.line == number]
        pieces = list(_pieces(tokens, own))
        lines.append({"terms": [n for n, _ in own], "pieces": pieces})
    return lines


def _tokens(code: str) -> Iterator[list[Token]]:
    """The words of each line of Python."""
    from pygments.lexers import PythonLexer
    from pygments.token import STANDARD_TYPES

    line: list[Token] = []
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(code):
        first, *rest = text.split("\n")
        line.append((STANDARD_TYPES.get(kind, ""), first))
        for part in rest:  # a text over several lines
            yield line
            line = [(STANDARD_TYPES.get(kind, ""), part)]
    yield line


def _pieces(tokens: Sequence[Token], terms: Sequence[tuple[int, BoundTerm]]) -> Iterator[list[Any]]:
    """A line's text in pieces: text, class, the terms it belongs to, and the smallest of these."""
    edges = {edge for _, term in terms for edge in (term.start, term.end)}
    column = 0
    for kind, text in tokens:
        end = column + len(text)
        cuts = [column, *sorted(edge for edge in edges if column < edge < end), end]
        for start, stop in itertools.pairwise(cuts):
            own = {n: term for n, term in terms if term.start <= start and stop <= term.end}
            if start < stop:
                yield [text[start - column : stop - column], kind, list(own), _smallest(own)]
        column = end


def _smallest(terms: Mapping[int, BoundTerm]) -> list[int]:
    """The terms with the shortest code: two may have the same."""
    lengths = {number: term.end - term.start for number, term in terms.items()}
    return [number for number, length in lengths.items() if length == min(lengths.values())]
