"""What each step bought: the ladders (kb.ladders) in which a milestone is a rung.

In the picture what lies further to the right is better. All text in the HTML is escaped.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from kb import ladders
from kb.ladders import Ladder
from ui import cache, format, navigation
from ui.escape import escape_markdown

TITLE = "What each step bought"
ANCHOR = "ladder"
Rung = Mapping[str, Any]


def ladders_of(milestone: str) -> list[Ladder]:
    """The recorded ladders that have this milestone as a rung."""
    return [ladder for ladder in ladders.recorded() if ladder.has_rung(milestone)]


def show_ladders(found: Sequence[Ladder], milestone: str) -> None:
    if found:
        st.header(TITLE, anchor=ANCHOR)
    for ladder in found:
        _show_ladder(ladder, milestone)


def _show_ladder(ladder: Ladder, milestone: str) -> None:
    entry = ladder.entry
    conditions = entry["conditions"]
    st.markdown(f"**{escape_markdown(entry['title'])}.** {escape_markdown(entry['task'])}")
    st.html("".join(chart_html(condition, milestone) for condition in conditions))
    st.markdown(" ".join(escape_markdown(_outcome(condition)) for condition in conditions))
    _show_links(conditions[0]["rungs"], milestone)
    st.caption(f"{escape_markdown(_how(entry))} `{ladder.command}` measures it anew.")
    if ladder.is_stale:
        st.caption(
            ":material/history: The source has changed since: these figures are of an earlier "
            "version."
        )


def chart_html(condition: Mapping[str, Any], milestone: str) -> str:
    """A row for each rung: its name, the mean as a dot on the line of its interval, the figures.

    The right end is 0, the left end the worst that any interval reaches.
    """
    rungs = condition["rungs"]
    worst = max((value for rung in rungs for value in _values(rung)), default=0.0)
    rows = "".join(_row(rung, worst, milestone) for rung in rungs)
    head = f"<b>{html.escape(condition['name'])}</b>" if condition["name"] else ""
    scale = f"<small>{format.number(worst)}</small><small>0, better →</small>"
    return (
        f'<div class="kb-ladder">{head}{rows}<span></span><div class="kb-ends">{scale}</div></div>'
    )


def _values(rung: Rung) -> list[float]:
    return [rung[key] for key in ("mean", "high") if rung[key] is not None]


def _row(rung: Rung, worst: float, milestone: str) -> str:
    own = ' class="kb-own"' if rung["milestone"] == milestone else ""
    step = ladders.step_in_words(rung["gain"])
    figures = html.escape(_measured(rung))
    figures += f"<br><small>{html.escape(step)}</small>" if step else ""
    return (
        f"<span{own}>{html.escape(_label(rung))}</span><div{own}>{_marks(rung, worst)}</div>"
        f"<span{own}>{figures}</span>"
    )


def _marks(rung: Rung, worst: float) -> str:
    """The line of the interval and the dot of the mean, in percent of the width."""
    if rung["mean"] is None or worst <= 0:
        return ""
    place = {
        key: min(100.0, max(0.0, 100 * (1 - rung[key] / worst)))
        for key in ("mean", "low", "high")
        if rung[key] is not None
    }
    line = ""
    if "low" in place and "high" in place:
        left, width = place["high"], place["low"] - place["high"]
        line = f'<i class="kb-line" style="left: {left:.1f}%; width: {width:.1f}%"></i>'
    return f'{line}<i style="left: {place["mean"]:.1f}%"></i>'


def _measured(rung: Rung) -> str:
    if rung["mean"] is None:
        return "diverged"
    if rung["low"] is None:
        return format.number(rung["mean"])
    return f"{format.number(rung['mean'])} ({rung['low']:.3g} .. {rung['high']:.3g})"


def _label(rung: Rung) -> str:
    """ "LSTM, 1997"; a rung whose milestone isn't in the timeline has its name alone."""
    milestone = cache.milestones().get(rung["milestone"])
    return f"{rung['name']}, {milestone.date[:4]}" if milestone else str(rung["name"])


def _outcome(condition: Mapping[str, Any]) -> str:
    """A sentence that says which rung does best here, and whether that is the newest."""
    best, newest = ladders.best_rung(condition["rungs"]), condition["rungs"][-1]["name"]
    if not best:
        return ""
    where = f"With {condition['name']}" if condition["name"] else "Here"
    name = f"the newest, {newest}," if best.rung == newest else best.rung
    sentence = f"{where} {name} is best on average, and with {best.wins} of {best.seeds} seeds"
    if best.rung == newest:
        return f"{sentence}."
    return f"{sentence}, not the newest; another task or budget may order them otherwise."


def _show_links(rungs: Sequence[Rung], milestone: str) -> None:
    milestones = cache.milestones()
    others = [rung["milestone"] for rung in rungs if rung["milestone"] != milestone]
    with st.container(horizontal=True):
        for id in filter(milestones.__contains__, others):
            navigation.link("milestone", milestones[id].short, id=id)


def _how(entry: Mapping[str, Any]) -> str:
    """How it was measured."""
    settings, environment = entry["settings"], entry["environment"]
    rungs = [rung for condition in entry["conditions"] for rung in condition["rungs"]]
    seeds = f"{settings['seed']} to {settings['seed'] + settings['seeds'] - 1}"
    updates, parameters = (
        _span([rung[key] for rung in rungs]) for key in ("updates", "parameters")
    )
    return (
        f"In {entry['unit']}: the mean over the seeds {seeds} and its 95 % interval; under it what "
        f"the step from the rung before bought, seed by seed. Each seed draws its own data. Every "
        f"rung trains for {settings['budget'] / 1e9:.3g} billion FLOPs, counted forward and "
        f"backward: {updates} updates of {parameters} parameters. All choose from the same "
        f"learning rates by validation data.{_edges(rungs)} Measured on "
        f"{format.date(entry['measured'])}, {environment['device_name']}, "
        f"PyTorch {environment['torch']}."
    )


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _edges(rungs: Sequence[Rung]) -> str:
    """Which rungs chose the first or last learning rate of the grid with most seeds."""
    names = [rung["name"] for rung in rungs if 2 * rung["at_edge"] > len(rung["values"])]
    names = list(dict.fromkeys(names))
    return f" At the edge of them: {', '.join(names)}." if names else ""
