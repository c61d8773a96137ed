"""Rules for values by seed, for the implementations that don't declare their claims yet.

They build the claims of impl.kit.claims; a new implementation declares those itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from impl.kit.claims import Alike, Comparison, Identity, NoWorse
from impl.kit.events import Row
from impl.kit.verdicts import Verdict

Better = Literal["lower", "higher"]
Values = Mapping[int, float]


def compare(
    claim: str, idea: Values, baseline: Values, *, better: Better, margin: float, unit: str
) -> Verdict:
    """The idea beats the baseline by the margin, seed by seed."""
    return _judge(Comparison, claim, idea, baseline, better, margin, unit)


def no_worse(
    claim: str, idea: Values, baseline: Values, *, better: Better, tolerance: float, unit: str
) -> Verdict:
    """The idea costs less than `tolerance`."""
    return _judge(NoWorse, claim, idea, baseline, better, tolerance, unit)


def alike(claim: str, idea: Values, baseline: Values, *, tolerance: float, unit: str) -> Verdict:
    """The two differ by less than `tolerance`; the effect is idea - baseline."""
    # These claims have no control of their own: it is two sides that differ by twice the tolerance.
    control = (lambda _: dict.fromkeys(idea, 0.0), lambda _: dict.fromkeys(idea, 2 * tolerance))
    return _judge(Alike, claim, idea, baseline, "higher", tolerance, unit, control=control)


def _judge(
    kind: type[Comparison],
    claim: str,
    idea: Values,
    baseline: Values,
    better: Better,
    margin: float,
    unit: str,
    **more: Any,
) -> Verdict:
    declared = kind(
        claim=claim,
        idea=lambda _: dict(idea),
        rival=lambda _: dict(baseline),
        better=better,
        margin=margin,
        because="the margin of the file",
        unit=unit,
        **more,
    )
    rows: list[Row] = [{"seed": seed} for seed in idea.keys() | baseline.keys()]
    return declared.judge(rows)


def exact(
    claim: str, measured: Sequence[float], expected: float, *, tolerance: float, unit: str
) -> Verdict:
    """Every value measured is within `tolerance` of `expected`; the furthest off is reported."""
    declared = Identity(
        claim=claim, measure="value", expected=expected, tolerance=tolerance, unit=unit
    )
    return declared.judge([{"value": value} for value in measured])
