"""Plumbing that every implementation needs and no paper is about: device, data, events, statistics, command line."""

from impl.kit import parallel
from impl.kit.cli import main
from impl.kit.device import pick_device
from impl.kit.events import Event, Figure, Progress, Row
from impl.kit.speed import faster
from impl.kit.verdicts import Verdict, alike, by_seed, compare, exact, no_worse

__all__ = [
    "Event",
    "Figure",
    "Progress",
    "Row",
    "Verdict",
    "alike",
    "by_seed",
    "compare",
    "exact",
    "faster",
    "main",
    "no_worse",
    "parallel",
    "pick_device",
]
