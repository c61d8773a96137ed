"""Runs beside each other: first what differs in how they were made, then verdicts, then their curves in one picture."""

import streamlit as st

from kb.runs import store
from kb.runs.compare import Comparison, compare
from ui import charts, frame, words

MOST = 8  # runs that can still be told apart


def show() -> None:
    st.title("Compare", anchor=False)
    latest = {run.id: run for run in store.latest(frame.engine(), limit=200)}
    asked = [id for id in st.query_params.get("runs", "").split(",") if id]
    unknown = [id for id in asked if id not in latest]
    if unknown:
        st.warning(frame.plain(f"No run here is called {', '.join(unknown)}."))
    if not latest:
        st.info("There are no runs to compare yet.")
        return
    chosen = st.multiselect("Runs", list(latest), default=[id for id in asked if id in latest][:MOST], max_selections=MOST,
                            format_func=lambda id: f"{id}, {latest[id].preset}, {words.ago(latest[id].submitted)}")  # fmt: skip
    if chosen != asked:
        st.query_params["runs"] = ",".join(chosen)
    if len(chosen) < 2:
        st.info("Choose two runs or more: of one paper with other settings or seeds, or of several papers.")
        return
    found = compare(frame.engine(), chosen)
    _settings(found)
    _verdicts(found)
    charts.curves(found.rows(frame.engine()), key=",".join(chosen))


def _settings(found: Comparison) -> None:
    st.header("What differs", anchor=False)
    if found.differing:
        columns = [run.id for run in found.runs]
        table = [
            {"setting": name, **dict(zip(columns, map(_text, row), strict=True))}
            for name, row in found.differing.items()
        ]
        st.dataframe(table, hide_index=True)
    else:
        st.write("Nothing: they were made with the same settings, source and machine.")
    with st.expander(f"What is the same ({len(found.equal)})"):
        st.dataframe([{"setting": name, "value": _text(value)} for name, value in found.equal.items()], hide_index=True)


def _verdicts(found: Comparison) -> None:
    if not found.verdicts:
        return
    st.header("Verdicts", anchor=False)
    table = []
    for (implementation, claim), row in found.verdicts.items():
        line = {"claim": f"{implementation}: {claim}"}
        for run, v in zip(found.runs, row, strict=True):
            measured = f"{words.number(v.measured)} against {words.number(v.baseline)}" if v else ""
            line[run.id] = f"{words.MARKS[v.verdict]} {v.verdict}, {measured}" if v else "–"
        table.append(line)
    st.dataframe(table, hide_index=True)


def _text(value: object) -> str:
    return "–" if value is None else str(value)
