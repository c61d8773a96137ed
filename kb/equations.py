"""Which part of an implementation computes which equation of the story."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kb.equation_terms import BoundTerm, Formula, bind_terms, find_problems
from kb.implementations import Implementation, Section
from kb.schema import Executable, displayed_equations


class SectionEquations(NamedTuple):
    """A section of an implementation with the equations that it computes."""

    section: Section
    equations: list[str]  # those that share a line of the story are apart
    terms: list[BoundTerm]  # of the equations, each with its place in the section's code


def sections_with_equations(
    entry: dict[str, Any], implementation: Implementation
) -> list[SectionEquations]:
    """The sections that the entry's `code` names, each with the equations that it computes.

    The n-th name in `code` belongs to the n-th displayed equation of the story. The sections are
    in the order of the file.
    """
    formulas = _formulas(entry.get("code", []), entry["story"])
    found = []
    for section in implementation.sections:
        own = [formula.latex for formula in formulas if formula.computed_by == section.name]
        if own:
            terms = bind_terms(entry.get("terms", []), own, section.code)
            found.append(SectionEquations(section, own, terms))
    return found


def find_term_problems(
    milestone: Executable, implementation: Implementation
) -> Iterator[tuple[int, str, str]]:
    """What is wrong with the milestone's `terms`: number, field and message of each problem."""
    return find_problems(
        milestone.terms,
        _formulas(milestone.code, milestone.story),
        {section.name: section.code for section in implementation.sections},
        implementation.path.name,
    )


def _formulas(code: Sequence[str], story: str) -> list[Formula]:
    """The equations of a story, those that share a line apart, with what computes each."""
    return [
        Formula(part, name)
        for name, equation in zip(code, displayed_equations(story), strict=False)
        for part in split_equations(equation)
    ]


def split_equations(equation: str) -> list[str]:
    r"""Splits equations that stand side by side in one line, with \qquad between them.

    The line is one equation if a \qquad is inside of braces or an environment.
    """
    parts = [part.strip().rstrip(",") for part in equation.split("\\qquad")]
    are_complete = all(
        part.count("{") == part.count("}") and part.count("\\begin") == part.count("\\end")
        for part in parts
    )
    return parts if are_complete else [equation]
