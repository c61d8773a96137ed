"""The timeline: all milestones on one canvas, in four lanes, from 1936 to today.

Python sends the data and receives the id that was clicked. The browser draws, zooms and keeps the
view (timeline.js).
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ui import components

# Each era ends where the next begins; the last one is not over.
ERAS: list[dict[str, Any]] = [
    {
        "start": 1936,
        "title": "The perceptron's promise",
        "story": "Turing says what a machine can compute, McCulloch and Pitts write the neuron as "
        "logic; Rosenblatt's learns from examples.",
    },
    {
        "start": 1969,
        "title": "The first winter",
        "story": "Minsky and Papert prove what a single layer cannot do, and few keep working on "
        "nets with more.",
    },
    {
        "start": 1986,
        "title": "Errors flow back",
        "story": "Backpropagation becomes widely known; nets learn to read digits, and the LSTM "
        "learns to remember.",
    },
    {
        "start": 1998,
        "title": "The quiet years",
        "story": "LeNet reads cheques, yet most prefer support vector machines: deep nets seem too "
        "hard to train.",
    },
    {
        "start": 2006,
        "title": "Deep, and faster",
        "story": "Training layer by layer makes deep nets work again; CUDA opens graphics chips; "
        "ImageNet collects pictures.",
    },
    {
        "start": 2012,
        "title": "The ten ideas at work",
        "story": "AlexNet wins ImageNet on two graphics cards; Adam, batch normalization, residual "
        "nets and the Transformer follow within five years.",
    },
    {
        "start": 2018,
        "title": "Scale",
        "story": "GPT and BERT first learn from plain text; measured laws then say what more data "
        "and compute will buy.",
    },
    {
        "start": 2022,
        "title": "Models for everyone",
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
    span: tuple[float, float],
    selected: str | None,
    links: Sequence[Mapping[str, Any]],
    key: str,
    height: int = 560,
) -> str | None:
    """Draws the milestones; returns the id of the one that was clicked, once.

    `milestones` have FIELDS. `span` are the first and the last year that can be shown, whichever
    milestones are drawn. `links` are those of the selected milestone: {source, target, as, how},
    the source being the later one. The browser keeps the view (zoom, position) under `key`; it
    moves to a `selected` milestone that wasn't clicked there.
    """
    data = {
        "key": key,
        "height": height,
        "selected": selected,
        "eras": ERAS,
        "span": [span[0], max(span[1], _decimal_year(date.today()))],
        "fields": FIELDS,
        "rows": [[milestone.get(field) for field in FIELDS] for milestone in milestones],
        "links": [dict(link) for link in links],
    }
    clicked = _render(key=key, data=data, on_clicked_change=components.ignore_change).clicked
    return clicked if isinstance(clicked, str) else None


def _decimal_year(day: date) -> float:
    new_year = date(day.year, 1, 1)
    return day.year + (day - new_year).days / (date(day.year + 1, 1, 1) - new_year).days
