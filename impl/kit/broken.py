"""Taking the idea out of an implementation on purpose: a claim that still stands proves nothing.

`BROKEN` of an implementation names, for each claim, what takes its idea out: settings, or a
function that returns a context manager which patches the code.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

Broken = Mapping[str, Mapping[str, Any] | Callable[[], AbstractContextManager[Any]]]


@contextlib.contextmanager
def take_out(broken: Broken, claim: str | None, config: Any) -> Iterator[Any]:
    """Within the context the idea of `claim` is taken out; gives the settings to run with.

    With None nothing is changed. Raises KeyError for a claim that isn't in `broken`.
    """
    if claim is None:
        yield config
        return
    change = broken[claim]
    if callable(change):
        with change():
            yield config
    else:
        yield replace(config, **change)
