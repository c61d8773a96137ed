"""Why a verdict is what it is, in sentences; and in which direction a measure is better."""

import re
from typing import Any, Literal

from kb.formatting import format_count
from kb.tables import RunVerdict
from ui import format

Direction = Literal["lower", "higher"]
# How the rules of impl/kit/claims.py begin or end, and what each asks of the interval.
DIRECTION = re.compile(r"(lower|higher) is better\b")
NEEDS = (
    (re.compile(r"of the gain is at least ([^\s;(]+(?: times)?)"), "a gain of at least {}"),
    (re.compile(r"above a loss of ([^\s;(]+)"), "a loss of less than {}"),
    (re.compile(r"of the difference is within ([^\s;(]+) of 0\b"), "a difference of less than {}"),
    (re.compile(r"of the mean is at most ([^\s;(]+)"), "a mean of at most {}"),
)
# Notes that by themselves make a verdict inconclusive, whatever the interval is.
DECISIVE_NOTES = ("the rival diverged", "nothing is random", "too coarse to tell")
ENDS = {
    "reproduced": "The whole interval satisfies the rule: {}.",
    "weaker": "The whole interval is a gain, but not all of it satisfies the rule: {}.",
    "inconclusive": (
        "Inconclusive: a part of the interval satisfies the rule ({}), the rest does not. "
        "More seeds would make the interval narrower."
    ),
    "not reproduced": "No value in the interval satisfies the rule: {}.",
}
GAIN = re.compile(r"\bsaved\b|\btimes as\b")  # what the idea saves: more is better
HIGHER_IS_BETTER = re.compile(r"accuracy|\bm?AP\b|\bright\b|recall|covered", re.IGNORECASE)
LOWER_IS_BETTER = re.compile(r"\berrors?\b|\bwrong\b|\bloss\b", re.IGNORECASE)


def direction(verdict: RunVerdict) -> Direction | None:
    """Which values of the measure are better; None if the verdict doesn't say."""
    if match := DIRECTION.match(verdict.rule):
        return "lower" if match[1] == "lower" else "higher"
    if "of the mean is at most" in verdict.rule:
        return "lower"
    measured, baseline, effect = verdict.measured, verdict.baseline, verdict.effect
    if measured is None or baseline is None or effect is None or measured == baseline:
        return None
    is_gain = effect > (1 if verdict.scale == "ratio" else 0)
    return "lower" if is_gain == (measured < baseline) else "higher"


def published_direction(published: dict[str, Any], measured: Direction | None) -> Direction | None:
    """The same for the paper's figures, whose measure may be another: accuracy, not error."""
    unit = str(published.get("unit", ""))
    if GAIN.search(unit):
        return "higher"
    if LOWER_IS_BETTER.search(unit):
        return "lower"
    return "higher" if HIGHER_IS_BETTER.search(unit) else measured


def explain(verdict: RunVerdict | None) -> str:
    """One or two sentences on how the verdict came about."""
    if verdict is None:
        return "No run has measured it yet."
    if verdict.verdict == "not measured" or verdict.measured is None:
        why = verdict.note or "no run has measured it yet"
        return f"{verdict.verdict[:1].upper()}{verdict.verdict[1:]}: {why}."
    if verdict.kind == "identity":
        return _explain_identity(verdict)
    if verdict.verdict == "inconclusive" and has_decisive_note(verdict):
        return f"Inconclusive: {verdict.note}."
    if verdict.low is None or verdict.high is None:
        seeds = format_count(verdict.n, "seed")
        reason = f"with {seeds} there is no interval to judge"
        return f"Inconclusive: {reason}; run it with more seeds."
    return f"{_gain(verdict)} {ENDS.get(verdict.verdict, '').format(_need(verdict))}".strip()


def has_decisive_note(verdict: RunVerdict) -> bool:
    """Whether `explain` already tells the verdict's note."""
    return any(text in verdict.note for text in DECISIVE_NOTES)


def _explain_identity(verdict: RunVerdict) -> str:
    at_most = "at most " if verdict.rule.startswith("every value at most") else ""
    expected, found = format.number(verdict.baseline), format.number(verdict.measured)
    which = "found" if verdict.n == 1 else f"the furthest of {verdict.n} values checked"
    unit = f" ({verdict.unit})" if verdict.unit else ""
    return f"Expected: {at_most}{expected}; {which}: {found}{unit}."


def _gain(verdict: RunVerdict) -> str:
    """The gain with its interval, as a sentence."""
    is_limit = "of the mean is at most" in verdict.rule
    name = "Distance from the limit" if is_limit else "Gain"
    times = " times" if verdict.scale == "ratio" else ""
    return (
        f"{name}: {verdict.effect:.3g}{times}, 95% interval {verdict.low:.3g} to "
        f"{verdict.high:.3g}, {format_count(verdict.n, 'seed')}."
    )


def _need(verdict: RunVerdict) -> str:
    for pattern, phrase in NEEDS:
        if match := pattern.search(verdict.rule):
            need = phrase.format(match[1])
            is_ratio = verdict.scale == "ratio" and not need.endswith("times")
            return f"{need} times" if is_ratio else need
    return verdict.rule
