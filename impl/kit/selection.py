"""Sides of a comparison where what is compared depends on several trials of a seed."""

from collections.abc import Callable, Sequence
from typing import Any

from impl.kit.claims import Side
from impl.kit.events import Row

Setting = tuple[Any, ...]
Losses = dict[str, dict[Setting, float]]  # by arm and setting


def at_setting(
    arm: str, choose: Callable[[Losses, str], Setting], keys: Sequence[str], val: str, test: str
) -> Side:
    """Each seed's `test` of the arm at the setting of `keys` that is chosen by `val` of all arms.

    `choose` gets these and the name of the arm; rows without `val` don't take part.
    """

    def losses(rows: Sequence[Row], measure: str) -> Losses:
        found: Losses = {}
        for row in rows:
            setting = tuple(row[key] for key in keys)
            found.setdefault(str(row["arm"]), {})[setting] = float(row[measure])
        return found

    def by_seeds(rows: Sequence[Row]) -> dict[int, float]:
        rows_of: dict[int, list[Row]] = {}
        for row in rows:
            if val in row:
                rows_of.setdefault(int(row["seed"]), []).append(row)
        return {
            seed: losses(each, test)[arm][choose(losses(each, val), arm)]
            for seed, each in rows_of.items()
        }

    return by_seeds


def best(val: Losses, arm: str) -> Setting:
    """The setting at which the arm's own loss is lowest."""
    return min(val[arm], key=lambda setting: val[arm][setting])
