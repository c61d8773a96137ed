"""The timeline: all milestones on one canvas, in four lanes, from 1936 to today.

Python sends the data and receives the id that was clicked. The browser draws, zooms and keeps the
view (timeline.js).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ui import components
from ui.timeline import density

# Each era ends where the next begins; the last one is not over. `short` is for a phone.
ERAS: list[dict[str, Any]] = [
    {
        "start": 1936,
        "title": "The perceptron's promise",
        "short": "Perceptron",
        "story": "Turing says what a machine can compute, McCulloch and Pitts write the neuron as "
        "logic; Rosenblatt's learns from examples.",
    },
    {
        "start": 1969,
        "title": "The first winter",
        "short": "Winter",
        "story": "Minsky and Papert prove what a single layer cannot do, and few keep working on "
        "nets with more.",
    },
    {
        "start": 1986,
        "title": "Errors flow back",
        "short": "Backprop",
        "story": "Backpropagation becomes widely known; nets learn to read digits, and the LSTM "
        "learns to remember.",
    },
    {
        "start": 1998,
        "title": "The quiet years",
        "short": "Quiet",
        "story": "LeNet reads cheques, yet most prefer support vector machines: deep nets seem too "
        "hard to train.",
    },
    {
        "start": 2006,
        "title": "Deep, and faster",
        "short": "Deep",
        "story": "Training layer by layer makes deep nets work again; CUDA opens graphics chips; "
        "ImageNet collects pictures.",
    },
    {
        "start": 2012,
        "title": "The ten ideas at work",
        "short": "Ten ideas",
        "story": "AlexNet wins ImageNet on two graphics cards; Adam, batch normalization, residual "
        "nets and the Transformer follow within five years.",
    },
    {
        "start": 2018,
        "title": "Scale",
        "short": "Scale",
        "story": "GPT and BERT first learn from plain text; measured laws then say what more data "
        "and compute will buy.",
    },
    {
        "start": 2022,
        "title": "Models for everyone",
        "short": "For all",
        "story": "Stable Diffusion draws and ChatGPT answers whoever asks; weights are opened, and "
        "models learn to reason before they reply.",
    },
]

# A milestone is sent as a list in this order: for thousands of them, the names of the fields in
# each would double the message.
FIELDS = ("id", "short", "title", "date", "start", "end", "track", "kind", "idea", "runs", "weight")

_render = components.register(Path(__file__).parent)


def timeline(
    milestones: Sequence[Mapping[str, Any]],
    *,
    every_time: Sequence[float],
    found: tuple[float, float] | None,
    selected: str | None,
    links: Sequence[Mapping[str, Any]],
    key: str,
    height: int = 560,
) -> str | None:
    """Draws the milestones; returns the id of the one that was clicked, once.

    `milestones` have FIELDS. `every_time` are the years of all milestones, also of those that are
    not drawn: they decide which years can be shown, and how wide. `found` are the first and the
    last year of what a search or a filter has found, and the view moves there. `links` are those of
    the selected milestone: {source, target, as, how}, the source being the later one. The browser
    keeps the view (zoom, position) under `key`; it moves to a `selected` milestone that wasn't
    clicked there.
    """
    data = timeline_data(milestones, every_time, until=_decimal_year(date.today())) | {
        "key": key,
        "height": height,
        "selected": selected,
        "found": found,
        "links": [dict(link) for link in links],
    }
    clicked = _render(key=key, data=data, on_clicked_change=components.ignore_change).clicked
    return clicked if isinstance(clicked, str) else None


def timeline_data(
    milestones: Sequence[Mapping[str, Any]], every_time: Sequence[float], *, until: float
) -> dict[str, Any]:
    """What timeline.js draws whatever the visitor has chosen; it reaches to the year `until`."""
    first, last = min(every_time), max(*every_time, until)
    return {
        "eras": ERAS,
        "span": [first, last],
        "positions": density.positions(every_time, first, last),
        "fields": FIELDS,
        "rows": [[milestone.get(field) for field in FIELDS] for milestone in milestones],
    }


def _decimal_year(day: date) -> float:
    new_year = date(day.year, 1, 1)
    return day.year + (day - new_year).days / (date(day.year + 1, 1, 1) - new_year).days
