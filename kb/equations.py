"""Which part of an implementation computes which equation of the story."""

from typing import Any

from kb.implementations import Implementation, Section
from kb.schema import displayed_equations


def sections_with_equations(
    entry: dict[str, Any], implementation: Implementation
) -> list[tuple[Section, list[str]]]:
    """The sections that the entry's `code` names, each with the equations that it computes.

    The n-th name in `code` belongs to the n-th displayed equation of the story. The sections are
    in the order of the file.
    """
    equations = list(zip(entry.get("code", []), displayed_equations(entry["story"]), strict=False))
    sections = [
        (section, [equation for name, equation in equations if name == section.name])
        for section in implementation.sections
    ]
    return [(section, own) for section, own in sections if own]


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
