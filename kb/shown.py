"""How figures, verdicts and tables look in text: the same in the shell and in the README."""

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Columns for a terminal."""
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, rule, *body]
    )
    return "\n".join(line.rstrip() for line in lines)


def number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 and value == int(value) else f"{value:.4g}"


def gain(verdict: dict[str, Any]) -> str:
    """The effect with its interval, from a verdict as a run or a table has it."""
    if verdict["effect"] is None:
        return "-"
    low, high = verdict.get("interval") or (verdict.get("low"), verdict.get("high"))
    return f"{verdict['effect']:.3g}" + ("" if low is None else f" ({low:.3g} .. {high:.3g})")


def published(figures: dict[str, Any] | None) -> str:
    """The paper's figures as "1.35 against 1.6"."""
    if not figures or figures.get("idea") is None:
        return "-"
    against = "" if figures.get("baseline") is None else f" against {number(figures['baseline'])}"
    return number(figures["idea"]) + against


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and value - value != 0 else value


def count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
