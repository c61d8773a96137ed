"""The smoke preset of an implementation, run once for all tests that look at its events."""

import functools
import importlib
from types import ModuleType
from typing import Any

import torch

from impl.kit import Row


def module(name: str) -> ModuleType:
    return importlib.import_module(f"impl.{name}")


def run_smoke(name: str) -> list[Any]:
    """Runs it once more, and returns its events."""
    return list(module(name).run(module(name).PRESETS["smoke"], torch.device("cpu")))


@functools.cache
def smoke_events(name: str) -> tuple[Any, ...]:
    return tuple(run_smoke(name))


def smoke_rows(name: str) -> list[Row]:
    return [event for event in smoke_events(name) if isinstance(event, dict)]
