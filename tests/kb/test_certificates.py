"""Certificates: the same measurement has the same, any other another, and what differs is named."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.certificates import canonical_json, certificate, compare_blocks, rows_digest

ROWS: list[dict[str, Any]] = [
    {"arm": "idea", "seed": 0, "judged": True, "error": 0.1},
    {"arm": "rival", "seed": 0, "judged": True, "error": 0.30000000000000004},
    {"arm": "idea", "seed": 0, "step": 1, "error": 0.5},
]
BLOCK: dict[str, Any] = {
    "seed": 0,
    "measured": "2026-01-01",
    "source_hash": "a",
    "settings": {"lr": 0.1, "seed": 0},
    "data": ["digits"],
    "rows_sha256": rows_digest(ROWS),
    "environment": {"device": "cpu", "device_name": "6502", "torch": "2", "hostname": "here"},
    "verdicts": [{"claim": "wins", "verdict": "reproduced", "effect": 0.2}],
}


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    block = copy.deepcopy(BLOCK)
    inner: Any = block
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return block


@given(st.permutations(ROWS))
def test_the_order_of_rows_does_not_matter(rows: list[dict[str, Any]]) -> None:
    assert rows_digest(rows) == BLOCK["rows_sha256"]


def test_only_judged_rows_count() -> None:
    assert rows_digest(ROWS[:2]) == BLOCK["rows_sha256"]
    assert rows_digest([*ROWS[:1], ROWS[1] | {"error": 0.3}]) != BLOCK["rows_sha256"]
    assert rows_digest(ROWS[2:]) != rows_digest([]), "where none is judged, all do"


@given(st.recursive(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_the_text_of_a_value_does_not_depend_on_the_order_of_keys(value: Any) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(value)}
        return [reversed_keys(item) for item in value] if isinstance(value, list) else value

    assert canonical_json(value) == canonical_json(reversed_keys(value))


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("source_hash",), "b", "the source"),
        (("settings", "lr"), 0.2, "the setting lr: 0.1 in the record, 0.2 now"),
        (("data",), ["mnist"], "the data: digits in the record, mnist now"),
        (("environment", "torch"), "3", "torch: 2 in the record, 3 now"),
    ],
)
def test_what_differs_is_named(path: tuple[Any, ...], value: Any, named: str) -> None:
    other = changed(path, value)
    assert certificate(other) != certificate(BLOCK)
    assert compare_blocks(BLOCK, other).changed == (named,)


def test_what_cannot_change_a_figure_is_no_part_of_it() -> None:
    for path, value in [(("measured",), "2027-01-01"), (("environment", "hostname"), "there")]:
        assert certificate(changed(path, value)) == certificate(BLOCK)


def test_a_repetition_is_the_same_or_says_how_it_differs() -> None:
    assert compare_blocks(BLOCK, BLOCK).outcome == "same"
    figures = changed(("rows_sha256",), "other")
    assert compare_blocks(BLOCK, figures).outcome == "same verdicts, other figures"
    other = changed(("verdicts", 0, "verdict"), "weaker")
    comparison = compare_blocks(BLOCK, other)
    assert comparison.outcome == "differs"
    assert comparison.verdicts == ("wins: reproduced in the record, weaker now",)
