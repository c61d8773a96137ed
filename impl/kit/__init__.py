"""What every implementation needs and no paper is about: trials, claims, data, command line."""

from impl.kit import parallel
from impl.kit.claims import Alike, AtMost, Bound, Claim, Comparison, Identity, NoWorse, judge
from impl.kit.cli import main
from impl.kit.device import pick_device
from impl.kit.events import Arrays, Event, Figure, Progress, Row, TrialEvent, keep_rows
from impl.kit.protocol import Chosen, Protocol, run_protocol
from impl.kit.speed import faster
from impl.kit.trials import generator
from impl.kit.verdicts import Verdict, by_seed

__all__ = [
    "Alike",
    "Arrays",
    "AtMost",
    "Bound",
    "Chosen",
    "Claim",
    "Comparison",
    "Event",
    "Figure",
    "Identity",
    "NoWorse",
    "Progress",
    "Protocol",
    "Row",
    "TrialEvent",
    "Verdict",
    "by_seed",
    "faster",
    "generator",
    "judge",
    "keep_rows",
    "main",
    "parallel",
    "pick_device",
    "run_protocol",
]
