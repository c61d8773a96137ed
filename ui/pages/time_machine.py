"""The time machine: an experiment on every machine of the timeline.

What is computed is in the address as `of`: a run's id, an implementation, a model, or a number.
"""

import dataclasses
from collections.abc import Mapping

import streamlit as st

from kb import experiments
from kb.experiments import Experiment
from kb.time_machine import FORMATS, percent
from ui import cache, navigation, query_params, time_machine_view
from ui.escape import escape_markdown

PAPER, MODEL, NUMBER = "A paper that runs", "A model", "A number of operations"
DEFAULT_NUMBER = "1e18"
FIRST = {MODEL: "gpt-3", PAPER: "alexnet"}  # what is shown first, if it is there


def show() -> None:
    st.set_page_config(page_title="Time machine")
    st.title("Time machine", anchor=False)
    st.markdown(
        "How long would an experiment have taken on the machines of its past, and on those of "
        "today? The operations are counted, the machines' peak rates are on the timeline, and "
        "each sum is shown."
    )
    of = _choose()
    if of is None:
        return
    try:
        experiment = experiments.find(cache.engine(), of)
    except LookupError as error:
        st.error(escape_markdown(str(error.args[0])), icon=":material/error:")
        return
    experiment = _adjust(experiment, of)
    st.set_page_config(page_title=f"Time machine: {experiment.name}")
    st.header(escape_markdown(experiment.name), anchor=False)
    if experiment.milestone:
        title = cache.milestones()[experiment.milestone].title
        navigation.link("milestone", title, id=experiment.milestone)
    found = experiment.answer(list(cache.milestones().values()))
    time_machine_view.show_answers(experiment, found)
    time_machine_view.show_chart(found)
    st.header("Machine by machine", anchor="machines")
    time_machine_view.show_table(found)


def _choose() -> str | None:
    """Draws the fields that choose an experiment; returns it, and writes it to the address."""
    options = {PAPER: _papers(), MODEL: _models()}
    of = _in_address() or next(iter(options[PAPER]), DEFAULT_NUMBER)
    kind = _kind(of, options[MODEL])
    chosen = st.segmented_control(
        "What",
        [PAPER, MODEL, NUMBER],
        required=True,
        label_visibility="collapsed",
        key=query_params.synced_key("time-machine-kind", kind),
    )
    query_params.mark_synced("time-machine-kind", chosen)
    if chosen is None or chosen == NUMBER:
        value = _number_field(of if kind == NUMBER else DEFAULT_NUMBER)
    elif chosen == kind:
        value = _option_field(chosen, {of: of} | options[chosen], of)
    elif options[chosen]:
        value = _option_field(chosen, options[chosen], FIRST.get(chosen, ""))
    else:
        st.info("None is known yet. Run a paper: its operations are counted.")
        return None
    query_params.set_param("of", value)
    return value


def _in_address() -> str | None:
    """The experiment in the address; of a milestone that runs, its implementation."""
    of = st.query_params.get("of")
    row = cache.milestones().get(of or "")
    return row.implementation if row and row.implementation else of


def _kind(of: str, models: Mapping[str, str]) -> str:
    """A word that names nothing is looked for among papers and runs, which says that."""
    if of in models:
        return MODEL
    try:
        return PAPER if experiments.parse_flops(of) is None else NUMBER
    except LookupError:  # a number out of range
        return NUMBER


def _number_field(of: str) -> str:
    value = st.text_input(
        "Floating-point operations",
        key=query_params.synced_key("time-machine-number", of),
        placeholder="3.1e12",
    )
    query_params.mark_synced("time-machine-number", value)
    return value


def _option_field(kind: str, options: Mapping[str, str], of: str) -> str:
    """A list of papers or models, with the one that is in the address chosen."""
    names = list(options)
    name = f"time-machine-{kind}"
    key = query_params.synced_key(name, of if of in options else names[0])
    value = str(st.selectbox(kind, names, format_func=lambda each: options[each], key=key))
    query_params.mark_synced(name, value)
    return value


def _papers() -> dict[str, str]:
    """The implementations that were counted, with the names of their papers, by date."""
    counted = experiments.counted(cache.engine())
    return {
        row.implementation: f"{row.short}, {row.date[:4]}"
        for row in cache.milestones().values()
        if row.implementation in counted
    }


def _models() -> dict[str, str]:
    rows = experiments.models(list(cache.milestones().values()))
    return {row.id: f"{row.short}, {row.date[:4]}" for row in rows}


def _adjust(experiment: Experiment, of: str) -> Experiment:
    """Draws fields for what may be assumed otherwise: utilisation and number format."""
    left, right = st.columns(2)
    measured = 100 * experiment.utilisation
    share = left.number_input(
        "Utilisation, % of the peak",
        min_value=0.01,
        max_value=100.0,
        value=max(0.01, round(measured, 2)),
        key=f"time-machine-share-{of}",
        help=experiment.utilisation_origin,
    )
    format = right.selectbox(
        "Number format",
        FORMATS,
        index=FORMATS.index(experiment.format),
        key=f"time-machine-format-{of}",
    )
    if abs(share - measured) >= 0.01:
        origin = f"As it was chosen; {percent(experiment.utilisation)} was measured."
        experiment = dataclasses.replace(
            experiment, utilisation=share / 100, utilisation_origin=origin
        )
    return dataclasses.replace(experiment, format=format)
