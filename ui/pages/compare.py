"""The comparison page: runs side by side, their settings, verdicts and curves."""

import streamlit as st

from kb.runs import store
from kb.runs.compare import Comparison, compare
from kb.tables import RunVerdict
from ui import cache, charts, format, html_parts, navigation
from ui.escape import escape_markdown

MAX_RUNS = 8  # more curves can't be told apart
LISTED_RUNS = 200


def show() -> None:
    st.title("Compare", anchor=False)
    runs = {run.id: run for run in store.latest(cache.engine(), limit=LISTED_RUNS)}
    in_address = [id for id in st.query_params.get("runs", "").split(",") if id]
    if unknown := [id for id in in_address if id not in runs]:
        st.warning(
            escape_markdown(f"Not among the newest {LISTED_RUNS} runs: {', '.join(unknown)}.")
        )
    if not runs:
        st.info(
            "Here two or more runs stand side by side: what differs in their settings, their "
            "verdicts, their curves. There are none yet: open a paper and press Run it.",
            icon=":material/compare_arrows:",
        )
        navigation.link("search", "Papers with an implementation", q="has:impl")
        return
    chosen = st.multiselect(
        "Runs",
        list(runs),
        default=[id for id in in_address if id in runs][:MAX_RUNS],
        max_selections=MAX_RUNS,
        format_func=lambda id: f"{id}, {runs[id].preset}, {format.age(runs[id].submitted)}",
    )
    if chosen != in_address:
        st.query_params["runs"] = ",".join(chosen)
    if len(chosen) < 2:
        st.info("Choose two or more runs, of one paper or of several.")
        return
    comparison = compare(cache.engine(), chosen)
    _show_settings(comparison)
    _show_verdicts(comparison)
    charts.draw_curves(comparison.rows(cache.engine()), key=",".join(chosen))


def _show_settings(comparison: Comparison) -> None:
    st.header("What differs", anchor=False)
    if comparison.differing:
        columns = [run.id for run in comparison.runs]
        table = [
            {"setting": name, **dict(zip(columns, map(_cell, values), strict=True))}
            for name, values in comparison.differing.items()
        ]
        _show_table(table)
    else:
        st.write("Nothing: the runs have the same settings, source code and machine.")
    with st.expander(f"What is the same ({len(comparison.equal)})"):
        _show_table(
            [{"setting": name, "value": _cell(value)} for name, value in comparison.equal.items()]
        )


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


def _show_verdicts(comparison: Comparison) -> None:
    if not comparison.verdicts:
        return
    st.header("Verdicts", anchor=False)
    columns = [run.id for run in comparison.runs]
    table = [
        {
            "claim": f"{implementation}: {claim}",
            **dict(zip(columns, map(_verdict_cell, verdicts), strict=True)),
        }
        for (implementation, claim), verdicts in comparison.verdicts.items()
    ]
    _show_table(table)


def _show_table(rows: list[dict[str, str]]) -> None:
    """A table whose cells wrap, so that two runs stand side by side on a phone, too."""
    shown = [{name: escape_markdown(text) for name, text in row.items()} for row in rows]
    st.table(shown, hide_index=True, border="horizontal")


def _verdict_cell(verdict: RunVerdict | None) -> str:
    if verdict is None:
        return "–"
    mark = html_parts.VERDICT_MARKS.get(verdict.verdict, "")
    figures = f"{format.number(verdict.measured)} against {format.number(verdict.baseline)}"
    return f"{mark} {verdict.verdict}, {figures}"
