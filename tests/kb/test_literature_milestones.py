"""Imported works and the timeline: which are a milestone or mention it; the works exported."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kb.literature import database, exporting, importing, related
from kb.literature.milestones import milestones_by_identifier, recognise
from kb.literature.works import Work, make_work
from tests.kb.literature_files import read_works, write_file
from tests.kb.shell import printed, run_kb

ENTRIES: list[dict[str, Any]] = [
    {
        "id": "dropout",
        "title": "Dropout: A Simple Way to Prevent Neural Networks from Overfitting",
        "short": "Dropout",
        "date": "2014-06",
        "authors": ["Nitish Srivastava", "Geoffrey Hinton"],
        "doi": "10.5555/2627435.2670313",
    },
    {
        "id": "torch",
        "title": "Torch",
        "short": "Torch",
        "date": "2002-10",
        "authors": ["Ronan Collobert"],
        "url": "http://torch.ch/",
    },
    {"id": "gpu", "title": "GeForce 3", "short": "GF3", "date": "2001", "makers": ["NVIDIA"]},
]
MILESTONES = [SimpleNamespace(id=entry["id"], entry=entry) for entry in ENTRIES]
TITLE = ENTRIES[0]["title"]


def known_milestones() -> dict[int, str]:
    return milestones_by_identifier(MILESTONES)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"title": "Another title", "doi": "10.5555/2627435.2670313"}, "dropout"),
        ({"title": TITLE.upper(), "year": 2014}, "dropout"),
        ({"title": TITLE, "year": 2012}, "dropout"),
        ({"title": TITLE, "authors": ["N. Srivastava"]}, "dropout"),
        ({"title": TITLE, "authors": ["Someone Else"], "year": 1999}, None),
        ({"title": "Torch", "authors": ["R. Collobert"]}, "torch"),
        ({"title": "torch", "url": "https://www.torch.ch"}, "torch"),
        ({"title": "Torch", "authors": ["Someone Else"], "year": 2002}, None),
        ({"title": "GeForce 3", "authors": ["NVIDIA"]}, "gpu"),
    ],
)
def test_a_work_is_recognised_as_a_milestone(fields: dict[str, Any], expected: str | None) -> None:
    work = make_work(**fields)
    assert isinstance(work, Work)
    assert recognise(work, known_milestones()) == expected


def test_works_that_are_a_milestone_or_mention_it(tmp_path: Path) -> None:
    assert related.related_works(MILESTONES[0], known_milestones, home=tmp_path).total == 0
    assert list(tmp_path.iterdir()) == [], "nothing is created where nothing was imported"
    records = [
        {"title": TITLE, "year": 2014},
        {"title": "On dropout in recurrent nets", "year": 2015},
        {"title": "Other things", "abstract": "We use dropout."},
        {"title": "Unrelated things"},
    ]
    importing.import_file(write_file(tmp_path, "w.json", records), home=tmp_path)
    found = related.related_works(MILESTONES[0], known_milestones, limit=1, home=tmp_path)
    assert [hit.title for hit in found.same] == [TITLE]
    assert [hit.title for hit in found.mentions] == ["On dropout in recurrent nets"]
    assert found.total == 2


@pytest.mark.parametrize("name", exporting.FORMATS)
def test_exported_works_are_read_back(tmp_path: Path, name: str) -> None:
    records = [
        {
            "title": "Counting 50% of {bees} & $wasps",
            "authors": ["Ola van der Lind", "Barnes and Noble", "Ása Größe"],
            "year": 2014,
            "venue": "ICML 2014",
            "doi": "10.1000/a_b<1>",
            "arxiv": "1401.00001",
            "url": "https://example.org/a_b",
            "abstract": "Bees are ~counted~, = twice.",
        },
        {"title": "Counting 50% of the ants", "authors": ["Ola van der Lind"], "year": 2014},
    ]
    importing.import_file(write_file(tmp_path, "w.json", records), home=tmp_path)
    connection = database.open_library(tmp_path)
    text = "".join(exporting.export_works(connection, "counting", name))
    back = sorted(read_works(write_file(tmp_path, f"back.{name}", text)), key=lambda w: w.title)
    for work, record in zip(back, sorted(records, key=lambda r: str(r["title"])), strict=True):
        fields = {field: getattr(work, field) for field in record}
        assert fields | {"authors": list(work.authors)} == record


def test_the_shell_shows_and_exports_imported_works(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = f"@article{{x, title={{{TITLE}}}, year={{2014}}}}\n@misc{{y, title={{On dropout}}}}"
    status, out, err = run_kb(capsys, "import", str(write_file(tmp_path, "w.bib", text)))
    assert status == 0 and "2 records: 2 added" in out
    assert "authors weren't found in any of 2 records" in err
    shown = run_kb(capsys, "show", "dropout")[1]
    assert "is it        2014  Dropout" in shown and "mentions it" in shown
    assert "Imported" not in run_kb(capsys, "show", "perceptron")[1]
    works = printed(capsys, "export", "--outside", "dropout")
    assert {work["title"] for work in works} == {TITLE, "On dropout"}
    assert "@misc{2014dropout," in run_kb(capsys, "export", "--outside", "--format", "bibtex")[1]
    assert run_kb(capsys, "export", "--outside", "--format", "html")[0] == 1
    (entry,) = printed(capsys, "imports", "--json")
    assert (entry["id"], entry["format"], entry["added"]) == (1, "bibtex", 2)
    assert "w.bib" in run_kb(capsys, "imports")[1]
    assert "2 works gone" in run_kb(capsys, "import", "--remove", "1")[1]
    assert "nothing was imported" in run_kb(capsys, "imports")[1]
    assert json.loads(run_kb(capsys, "search", "--outside", "dropout", "--json")[1]) == []
