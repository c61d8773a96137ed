"""The form on a milestone's page that submits a sweep, and links to the newest sweeps."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from kb.formatting import format_count
from kb.implementations import Implementation, Setting
from kb.runs import store, submission, sweeps
from kb.runs.submission import RunRequest
from kb.tables import Run
from ui import cache, errors, format, navigation, run_time, sliders
from ui.escape import escape_markdown

LISTED_SWEEPS = 3
NOTHING = "nothing"


def show_form(implementation: Implementation, preset: str) -> None:
    """Shows the form for this preset; what is chosen in it doesn't draw the whole page anew."""
    with st.expander("Sweep: a run for each of several values", icon=":material/ssid_chart:"):
        st.fragment(_show_fields)(implementation, preset)
    show_recent(implementation)


def show_recent(implementation: Implementation) -> None:
    """Shows links to the newest sweeps of the implementation."""
    for runs in sweeps.recent(cache.engine(), implementation.name, LISTED_SWEEPS):
        label = f"Sweep of {' and '.join(runs[0].options[sweeps.OPTION])}, {_progress(runs)}"
        navigation.link("sweep", label, icon=":material/ssid_chart:", batch=runs[0].batch or "")


def _progress(runs: Sequence[Run]) -> str:
    ended, age = sum(run.status in store.ENDED for run in runs), format.age(runs[0].submitted)
    if ended == len(runs):
        return f"{format_count(ended, 'run')}, {age}"
    return f"{ended} of {len(runs)} runs have ended, {age}"


def _show_fields(implementation: Implementation, preset: str) -> None:
    settings = _settings(implementation, preset)
    texts: dict[str, list[str]] = {}
    left, right = st.columns([1, 2])
    with left:
        first = _choose_setting("Sweep", list(settings), implementation, preset)
    with right:
        texts[first] = _choose_values("Values", settings[first], implementation, preset)
    left, right = st.columns([1, 2])
    with left:
        others = [NOTHING, *(name for name in settings if name != first)]
        second = _choose_setting("and", others, implementation, preset)
    if second != NOTHING:
        with right:
            texts[second] = _choose_values("Its values", settings[second], implementation, preset)
    try:
        axes = sweeps.parse_axes(implementation, preset, texts)
        requests = sweeps.requests(RunRequest(implementation.name, preset), axes)
    except ValueError as error:
        requests = []
        st.warning(escape_markdown(str(error)), icon=":material/warning:")
    _show_button(implementation, preset, requests)


def _settings(implementation: Implementation, preset: str) -> dict[str, Setting]:
    """The numbers among the settings by name: those with a slider, the seed, the others."""
    numbers = [s for s in implementation.settings if type(s.default) in (int, float)]
    main = [setting.name for setting in sliders.main_settings(implementation, preset)]
    order = [*main, "seed"]
    numbers.sort(key=lambda s: order.index(s.name) if s.name in order else len(order))
    return {setting.name: setting for setting in numbers}


def _choose_setting(
    label: str, names: list[str], implementation: Implementation, preset: str
) -> str:
    key = f"sweep-{label}-{implementation.name}-{preset}"
    return str(st.selectbox(label, names, key=key))


def _choose_values(
    label: str, setting: Setting, implementation: Implementation, preset: str
) -> list[str]:
    """A field with a handful of values, to which others can be added."""
    values = list(map(repr, sliders.sweep_values(setting, implementation, preset)))
    stops = list(map(repr, sliders.stops(setting, implementation, preset)))
    words: Any = filter(None, (setting.range, setting.comment))
    return st.multiselect(
        label,
        list(dict.fromkeys([*values, *stops])),
        default=values,
        accept_new_options=True,
        placeholder="type a value",
        help=escape_markdown("; ".join(words)),
        key=f"sweep-values-{implementation.name}-{preset}-{label}-{setting.name}",
    )


def _show_button(implementation: Implementation, preset: str, requests: list[RunRequest]) -> None:
    """Shows the button that submits the runs, and beside it how many they are and how long."""
    with st.container(horizontal=True, vertical_alignment="center"):
        pressed = st.button(
            "Run the sweep", icon=":material/play_arrow:", disabled=not requests, key="run-sweep"
        )
        if requests:
            time = run_time.expected_time(implementation, preset, len(requests))
            st.caption(f"{format_count(len(requests), 'run')}, {time}")
    if pressed:
        with errors.show_errors():
            ids = submission.submit_all(cache.engine(), requests)
            navigation.switch_to("sweep", batch=store.get(cache.engine(), ids[0]).batch or "")
