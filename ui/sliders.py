"""Which settings of an implementation have a slider, and the slider's stops.

One rule for all papers: the numbers that the paper itself gives (the comment in the file doesn't
say "ours") and that are decimals, such as a probability or a decay, or a depth or width of a net.
The budget, the sizes of the data and the seeds stay among the other settings.
"""

import re
from typing import Any

from kb import ranges
from kb.implementations import Implementation, Setting

MAX_SLIDERS = 4
NET_SIZE = re.compile(r"layers|levels|blocks|heads|width|hidden|size|[A-Z]|[dr]")
SHARES = (0.0, *(round(0.05 * n, 2) for n in range(1, 20)), 0.99, 1.0)  # where 0 to 1 is allowed
SWEPT_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
FACTORS = (0.25, 0.5, 1, 2, 4)  # of the preset's value, where nothing else is known
SEEDS = (0, 1_000, 2_000, 3_000, 4_000)  # apart, since a run takes the seeds that follow too


def main_settings(implementation: Implementation, preset: str) -> list[Setting]:
    """The settings with a slider: probabilities first, then other decimals, then sizes of nets.

    Where the paper gives none of them, those are shown that are ours.
    """
    candidates = [
        setting
        for setting in implementation.settings
        if _is_candidate(setting) and len(stops(setting, implementation, preset)) > 2
    ]
    given = [setting for setting in candidates if not setting.comment.startswith("ours")]
    return sorted(given or candidates, key=_rank)[:MAX_SLIDERS]


def stops(setting: Setting, implementation: Implementation, preset: str) -> list[Any]:
    """The values that the slider offers, from the smallest; the preset's is one of them."""
    value = implementation.presets[preset][setting.name]
    if _is_share(setting):
        return sorted({*SHARES, value})
    return sorted({value, *_multiples(setting, implementation, preset)})


def sweep_values(setting: Setting, implementation: Implementation, preset: str) -> list[Any]:
    """A handful of values to begin a sweep with."""
    value = implementation.presets[preset][setting.name]
    if setting.name == "seed":
        return list(SEEDS)
    if _is_share(setting):
        return sorted({*SWEPT_SHARES, value})
    return stops(setting, implementation, preset)


def _is_candidate(setting: Setting) -> bool:
    is_size = type(setting.default) is int and NET_SIZE.fullmatch(setting.name)
    return type(setting.default) is float or bool(is_size)


def _rank(setting: Setting) -> int:
    return 0 if _is_share(setting) else 1 if type(setting.default) is float else 2


def _is_share(setting: Setting) -> bool:
    if type(setting.default) is not float:
        return False
    allowed = ranges.range_of(setting.name, setting.default)
    return (allowed.low, allowed.high) == (0, 1)


def _multiples(setting: Setting, implementation: Implementation, preset: str) -> list[Any]:
    """Multiples of the preset's value; of a zero, multiples of the first value of another preset.

    Those of a number below 1 end there: it may be a share.
    """
    presets = [implementation.presets[preset], *implementation.presets.values()]
    value = next((values[setting.name] for values in presets if values[setting.name]), 0)
    multiples = [value * factor for factor in FACTORS]
    if type(setting.default) is int:
        allowed = ranges.range_of(setting.name, setting.default)
        return [max(1, round(number)) for number in multiples if round(number) in allowed]
    below_one = [number for number in multiples if abs(number) <= 1 or abs(value) >= 1]
    return [float(f"{number:.3g}") for number in below_one]
