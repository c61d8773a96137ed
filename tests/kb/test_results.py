"""The record of measured claims: what it keeps, and the page that shows it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from kb import implementations, results, results_page
from kb.results import RecordedVerdict
from kb.tables import ClaimRow, RunRow

VERDICT = {
    "claim": "wins",
    "verdict": "not reproduced",
    "measured": 1.5,
    "baseline": 1.25,
    "effect": -0.25,
    "interval": [-0.5, 0.0],
    "unit": "% | errors",
    "n": 5,
    "rule": "lower is better",
    "kind": "paper",
    "scale": "difference",
    "note": "",
}
BLOCK = {
    "measured": "2026-01-01",
    "seed": 0,
    "source_hash": "a",
    "verdicts": [VERDICT],
    "environment": {"device_name": "6502"},
    "usage": {},
}
CLAIM = ClaimRow(
    position=0,
    milestone="dropout",
    id="wins",
    implementation="dropout",
    says="It\nwins.",
    where="Table 1",
    published={"unit": "%", "idea": 1, "baseline": 2},
)
LABELS = {"dropout": "Dropout, 2014"}


def parse_strictly(text: str) -> dict[str, dict[str, object]]:
    """JSON without NaN and infinities, which Python would accept."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    return dict(json.loads(text, parse_constant=refuse))


def blocks(folder: Path) -> list[tuple[int, str, str]]:
    return [
        (block["seed"], block["environment"]["device_name"], block["measured"])
        for block in results.read_record("quick", folder)["dropout"]["blocks"]
    ]


def add(folder: Path, **changes: Any) -> Path:
    return results.write_record({"dropout": [BLOCK | changes]}, {}, "quick", folder)


def test_a_block_replaces_the_one_of_its_seed_and_machine(tmp_path: Path) -> None:
    other_machine = {"device_name": "Z80"}
    add(tmp_path)
    add(tmp_path, seed=1000)
    add(tmp_path, environment=other_machine, measured="2026-01-02")
    add(tmp_path, measured="2026-01-03")
    assert blocks(tmp_path) == [
        (0, "Z80", "2026-01-02"),
        (0, "6502", "2026-01-03"),
        (1000, "6502", "2026-01-01"),
    ]
    add(tmp_path, source_hash="b", seed=2000)
    assert blocks(tmp_path) == [(2000, "6502", "2026-01-01")], "other code, another experiment"


def test_the_record_keeps_the_others_and_is_strict_json(tmp_path: Path) -> None:
    results.write_record({"lstm": [BLOCK], "long-gone": [BLOCK]}, {}, "quick", tmp_path)
    add(tmp_path, usage={"peak": float("nan")})
    broken = {"wins": VERDICT | {"source_hash": BLOCK["source_hash"]}}
    file = results.write_record({}, {"dropout": broken}, "quick", tmp_path)
    record = results.read_record("quick", tmp_path)
    assert record.keys() == {"dropout", "lstm"}
    assert record["dropout"]["broken"] == broken
    entry: Any = parse_strictly(file.read_text())["dropout"]
    assert entry["blocks"][0]["usage"] == {"peak": None}
    assert [file.name for file in tmp_path.iterdir()] == ["quick.json"]
    add(tmp_path, source_hash="b")
    assert results.read_record("quick", tmp_path)["dropout"]["broken"] == {}, "of other code"


def test_claims_whose_idea_is_taken_out_by_the_same_code_share_a_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    fields = {"id": "a-1", "source_hash": "a", "reason": None, "status": "succeeded"}
    run = type("Run", (), fields)
    rows = [RunRow(run="a-1", number=0, at=0.0, values={"data": "digits"})]

    def finish(engine: object, requests: Any) -> Iterator[Any]:
        asked.extend(request.options["broken"] for request in requests)
        yield from [run] * len(requests)

    claims = list(implementations.read("dropout").broken)
    verdicts = [VERDICT | {"claim": claim} for claim in claims]
    monkeypatch.setattr(results, "_finished_runs", finish)
    monkeypatch.setattr(results, "_verdicts", lambda *_: verdicts)
    monkeypatch.setattr(results.store, "rows", lambda *_: rows)
    engine: Any = None
    broken = results.measure_broken(engine, "dropout", "quick", claims, print)
    assert set(broken) == set(claims) and len(asked) < len(claims)
    assert {one["source_hash"] for one in broken.values()} == {"a"}
    assert all(one["data"] == ["digits"] for one in broken.values())


def test_a_verdict_without_the_idea_on_other_data_says_nothing(tmp_path: Path) -> None:
    add(tmp_path, data=["mnist"])
    known = VERDICT | {"source_hash": BLOCK["source_hash"]}
    for data, kept in ((["digits"], set()), (["mnist"], {"wins"})):
        results.write_record({}, {"dropout": {"wins": known | {"data": data}}}, "quick", tmp_path)
        assert results.read_record("quick", tmp_path)["dropout"]["broken"].keys() == kept


def recorded(*outcomes: str, **more: Any) -> RecordedVerdict:
    return RecordedVerdict(CLAIM, VERDICT | more, BLOCK, outcomes)


def test_three_blocks_that_agree_are_stable() -> None:
    for verdict, text in [
        (recorded("weaker"), "1"),
        (recorded("weaker", "weaker", "weaker"), "3, stable"),
        (recorded("weaker", "reproduced", "weaker"), "fragile: 2 weaker, 1 reproduced"),
    ]:
        assert results_page.format_stability(verdict) == text


def test_the_headline_counts_the_papers_comparisons_apart() -> None:
    verdicts = [
        recorded(verdict="reproduced"),
        recorded(verdict="weaker"),
        recorded(verdict="reproduced"),
        recorded(verdict="reproduced", kind="ours"),
        recorded(verdict="holds", kind="identity"),
    ]
    assert results_page.headline(verdicts) == (
        "3 comparisons of the papers: 2 reproduced, 1 weaker. "
        "1 comparison of ours: 1 reproduced. 1 identity: 1 holds."
    )


def test_the_page_counts_the_claims_that_fall_without_their_idea() -> None:
    stands, falls = ({"verdict": outcome} for outcome in ("holds", "not reproduced"))
    verdicts = [
        recorded(verdict="reproduced")._replace(broken=falls),
        recorded(verdict="holds")._replace(broken=stands),
        recorded(verdict="holds"),
        recorded(verdict="weaker")._replace(broken=falls),
    ]
    assert results.count_falls(verdicts) == (
        "Of the 3 that are reproduced or hold, 2 were measured with their idea taken out: 1 fall."
    )
    assert results.count_falls([recorded(verdict="holds")]).startswith("None was measured")


def test_without_a_file_the_record_is_empty(tmp_path: Path) -> None:
    assert results.read_record("full", tmp_path) == {}


def test_the_table_has_a_line_for_each_claim() -> None:
    unmeasured = VERDICT | {
        "measured": None, "effect": None, "interval": None, "verdict": "not measured"
    }  # fmt: skip
    broken = VERDICT | {"verdict": "inconclusive"}
    verdicts = [
        RecordedVerdict(CLAIM, VERDICT, BLOCK, ("not reproduced",), broken),
        RecordedVerdict(CLAIM, unmeasured, BLOCK, ("not measured",)),
    ]
    first, second = results_page.render_table(verdicts, LABELS).splitlines()[2:]
    assert first == (
        "| [Dropout, 2014](impl/dropout.py) | It wins. | 1 against 2 "
        "| 1.5 against 1.25 % \\| errors | -0.25 (-0.5 .. 0) | not reproduced | 1 | inconclusive |"
    )
    assert second == (
        "|  | It wins. | 1 against 2 | not measured by `quick` | - | not measured | 1 | - |"
    )


def test_the_page_says_when_and_where_it_was_measured() -> None:
    later = BLOCK | {"measured": "2026-02-01", "environment": {"device_name": "Z80"}}
    verdicts = [RecordedVerdict(CLAIM, VERDICT, BLOCK), RecordedVerdict(CLAIM, VERDICT, later)]
    page = results_page.render_page(verdicts, LABELS)
    assert "Measured 2026-01-01 to 2026-02-01 on 6502, Z80." in page
    assert "Nothing has been measured yet." in results_page.render_page([], {})


def test_the_page_in_the_repository_is_what_the_record_gives(
    loaded: Engine, tmp_path: Path
) -> None:
    """After a change of the timeline or of the page's form, `kb record NAME` writes it again."""
    page = results_page.write_page(loaded, tmp_path / "RESULTS.md")
    assert results_page.page_file().read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
