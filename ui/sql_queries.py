"""Read-only SQL on the Explore page: the result of a query as a table and, if it fits, a chart."""

import html
from typing import TYPE_CHECKING

import streamlit as st

from kb import sql
from kb.formatting import format_count
from ui import navigation, query_params
from ui.escape import escape_markdown

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES = {
    "Milestones by decade and track": """\
SELECT substr(first, 1, 3) || '0s' AS decade, track, count(*) AS milestones
FROM milestone GROUP BY 1, 2 ORDER BY 1""",
    "Most linked milestones": """\
SELECT m.short, count(*) AS links FROM link l JOIN milestone m ON m.id = l.target
GROUP BY m.id ORDER BY links DESC LIMIT 15""",
    "Figures of chips": """\
SELECT short, date, f.key AS figure, f.value ->> '$.value' AS value, f.value ->> '$.unit' AS unit
FROM milestone, json_each(entry, '$.spec') f WHERE track = 'hardware' ORDER BY date""",
    "Runs and their verdicts": """\
SELECT r.id, r.preset, v.claim, v.verdict, v.measured, v.baseline
FROM run r JOIN verdict v ON v.run = r.id ORDER BY r.finished DESC""",
}


def show() -> None:
    query = query_params.query_field(
        "A SELECT statement; the database can only be read",
        "",
        area=True,
        default=next(iter(EXAMPLES.values())),
    )
    with st.container(horizontal=True):
        for title, example in EXAMPLES.items():
            navigation.link("search", title, q=example, **{"in": "sql"})
    result, schema = st.columns([3, 1], gap="large")
    with result:
        _show_result(query)
    with schema:
        _show_schema()


def _show_result(query: str) -> None:
    import pandas as pd

    try:
        with st.spinner("Running the query"):
            result = sql.query(query)
    except sql.Refused as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return
    table = pd.DataFrame(result.rows, columns=_column_names(result.columns))
    st.caption(f"{'the first ' if result.truncated else ''}{format_count(len(table), 'row')}")
    st.dataframe(table, hide_index=True)
    _show_chart(table)
    st.download_button(
        "Save as CSV", table.to_csv(index=False), file_name="answer.csv", on_click="ignore"
    )


def _show_chart(table: "pd.DataFrame") -> None:
    """Shows the first column of numbers as bars, if the first column of the table has names."""
    from pandas.api.types import is_numeric_dtype

    numbers = [name for name in table if is_numeric_dtype(table[name])]
    others = [name for name in table if name not in numbers]
    if len(table) > 1 and numbers and table.columns[0] in others:
        color = others[1] if len(others) == 2 else None
        st.bar_chart(table, x=others[0], y=numbers[0], color=color, sort=False)


def _column_names(columns: tuple[str, ...]) -> list[str]:
    """Names for the columns of a table, each once and in one line; SQL demands neither."""
    names = [" ".join(name.split()) for name in columns]
    return [
        name if name not in names[:index] else f"{name} ({index + 1})"
        for index, name in enumerate(names)
    ]


def _show_schema() -> None:
    st.markdown("**Tables**")
    for table, columns in sql.schema().items():
        lines = (
            f"{html.escape(name)} <small>{html.escape(kind)}</small>" for name, kind in columns
        )
        with st.expander(table):
            st.html("<br>".join(lines))
