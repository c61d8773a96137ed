"""The record of measured claims: what is kept, and how the README shows it."""

import json
from pathlib import Path

from kb import record
from kb.tables import ClaimRow

VERDICT = {"claim": "wins", "verdict": "not reproduced", "measured": 1.5, "baseline": 1.25, "effect": -0.25,
           "interval": [-0.5, 0.0], "unit": "% | errors", "n": 5, "rule": "lower is better"}  # fmt: skip
ENTRY = {"verdicts": [VERDICT], "environment": {}, "usage": {}}


def claim(**changes: str) -> ClaimRow:
    fields = {
        "milestone": "dropout",
        "id": "wins",
        "implementation": "dropout",
        "says": "It\nwins.",
        "where": "Table 1",
    }
    return ClaimRow(position=0, published={"unit": "%", "idea": 1, "baseline": 2}, **(fields | changes))


def test_a_new_measurement_replaces_its_own_entry_and_leaves_the_others(tmp_path: Path) -> None:
    record.write({"dropout": {"verdicts": []}, "lstm": {"verdicts": [VERDICT]}, "long-gone": {}}, "quick", tmp_path)
    path = record.write({"dropout": ENTRY | {"usage": {"peak": float("nan")}}}, "quick", tmp_path)
    kept = record.read("quick", tmp_path)
    assert kept.keys() == {"dropout", "lstm"}
    assert kept["dropout"]["verdicts"] == [VERDICT]
    assert json.loads(path.read_text(), parse_constant=lambda name: 1 / 0)["dropout"]["usage"]["peak"] is None
    assert [file.name for file in tmp_path.iterdir()] == ["quick.json"]


def test_nothing_recorded_is_empty(tmp_path: Path) -> None:
    assert record.read("full", tmp_path) == {}


def test_the_table_says_what_came_out(tmp_path: Path) -> None:
    table = record.markdown([(claim(), VERDICT, ENTRY), (claim(id="also"), VERDICT | {"measured": None}, ENTRY)],
                            {"dropout": "Dropout, 2014"})  # fmt: skip
    first, second = table.splitlines()[2:]
    assert first == (
        "| [Dropout, 2014](impl/dropout.py) | It wins. | 1 against 2 | 1.5 against 1.25 % \\| errors | not reproduced |"
    )
    assert second.startswith("|  | It wins.") and "not measured by `quick`" in second
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{record.BEGIN}\nold\n{record.END}\nafter\n")
    record.into(readme, table)
    record.into(readme, table)
    assert readme.read_text() == f"before\n{record.BEGIN}\n{table}\n{record.END}\nafter\n"
