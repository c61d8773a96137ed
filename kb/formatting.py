"""How figures, verdicts and tables are written, the same in the shell, RESULTS.md and exports."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def format_table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Aligned columns for a terminal, with a rule below the head."""
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, rule, *body]
    )
    return "\n".join(line.rstrip() for line in lines)


def format_number(value: float | None) -> str:
    """Four significant digits; whole numbers from 1,000 on in full; "-" for none."""
    if value is None:
        return "-"
    if abs(value) >= 1000 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def format_gain(verdict: Mapping[str, Any]) -> str:
    """The effect and its interval as "0.1 (0.05 .. 0.15)", a ratio as "2 (1.5 .. 2.5) times".

    The interval is `interval` in a run's description or the record, `low` and `high` in a row.
    """
    if verdict["effect"] is None:
        return "-"
    low, high = verdict.get("interval") or (verdict.get("low"), verdict.get("high"))
    interval = "" if low is None else f" ({low:.3g} .. {high:.3g})"
    times = " times" if verdict.get("scale") == "ratio" else ""
    return f"{verdict['effect']:.3g}{interval}{times}"


def format_published(figures: Mapping[str, Any] | None) -> str:
    """The paper's figures as "1.35 against 1.6"; "-" if it gives none."""
    if not figures or figures.get("idea") is None:
        return "-"
    idea = format_number(figures["idea"])
    if figures.get("baseline") is None:
        return idea
    return f"{idea} against {format_number(figures['baseline'])}"


def format_count(number: int, noun: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_outcomes(counts: Mapping[str, int]) -> str:
    """ "3 reproduced, 1 weaker"; of identities "1 holds", "2 hold"."""
    return ", ".join(
        f"{count} {outcome.removesuffix('s') if count != 1 else outcome}"
        for outcome, count in counts.items()
    )


def replace_non_finite(value: Any) -> Any:
    """The value with None for every NaN and infinity, which JSON doesn't have."""
    if isinstance(value, dict):
        return {key: replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_non_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def spreadsheet_text(text: str) -> str:
    """The text of a cell of a CSV file. What a spreadsheet would take for a formula, and execute,
    gets an apostrophe in front."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
