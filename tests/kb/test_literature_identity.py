"""Which records are one work, what a correction changes, and imports undone."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from kb.literature import database, importing, removing
from tests.kb.literature_files import search_works, write_file

LAGOON = "@article{smith2020, title={Tides of a shallow lagoon}, author={Smith, Ada}, year={2020}"
PROTEIN = "@article{smith2020, title={Sparse attention for protein folding}, author={Smith, Bruno}}"
OLD_IMPORT_TABLE = """
CREATE TABLE import (
    id INTEGER PRIMARY KEY, file TEXT, digest TEXT, records INTEGER DEFAULT 0,
    added INTEGER DEFAULT 0, merged INTEGER DEFAULT 0, rejected INTEGER DEFAULT 0,
    reasons TEXT DEFAULT '{}', begun REAL, finished REAL
);
INSERT INTO import VALUES (1, '/old/w.json', 'abc', 1, 1, 0, 0, '{}', 1.0, 2.0);
"""


def import_text(home: Path, name: str, content: Any) -> importing.Import:
    return importing.import_file(write_file(home, name, content), home=home)


def titles(home: Path) -> list[str]:
    return sorted(hit.title for hit in search_works(home, "").hits)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (LAGOON + "}", PROTEIN),
        (
            [{"id": 1, "title": "Tides of a shallow lagoon", "year": 2020}],
            [{"id": 1, "title": "Sparse attention for proteins", "year": 2021}],
        ),
        (
            "@book{, title={Without a key}, author={Nil, A.}, year={2019}}",
            "@book{, title={Also without a key}, author={Nil, B.}, year={2018}}",
        ),
        (
            [{"title": "Annual report of the office"}],
            [{"title": "Annual report of the office", "venue": "x"}],
        ),
        (
            [{"title": "Notes", "authors": ["A B"]}],
            [{"title": "Notes", "authors": ["A B"], "x": 1}],
        ),
    ],
    ids=["cite key", "id", "empty key", "title alone", "short title and author"],
)
def test_what_is_no_identity(tmp_path: Path, first: Any, second: Any) -> None:
    suffix = "bib" if isinstance(first, str) else "json"
    import_text(tmp_path, f"first.{suffix}", first)
    second = second if isinstance(second, str) else json.dumps(second, indent=1)
    done = import_text(tmp_path, f"second.{suffix}", second)
    assert (done.added, done.merged) == (1, 0)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"doi": "10.1000/a"}, {"doi": "https://doi.org/10.1000/A", "title": "Spelt otherwise"}),
        ({"arxiv": "1207.0580"}, {"arxiv": "1207.0580v2", "title": "Spelt otherwise"}),
        ({"arxiv": "1207.0580"}, {"doi": "10.48550/arXiv.1207.0580", "title": "Spelt otherwise"}),
        ({"authors": ["Ada Lind"], "year": 2014}, {"authors": ["Lind, A."], "year": 2016}),
        ({"authors": ["Ása Lind"]}, {"authors": ["Asa Lind"], "year": 2016}),
        ({"year": 2014}, {"year": 2014, "authors": ["Ada Lind"]}),
        (
            {"title": "Bees", "authors": ["Ada Lind"], "year": 2014},
            {"title": "BEES.", "authors": ["A. Lind Jr."], "year": 2014},
        ),
    ],
    ids=["doi", "arxiv", "arxiv doi", "title, author", "accents", "title, year", "short title"],
)
def test_what_is_identity(tmp_path: Path, first: dict[str, Any], second: dict[str, Any]) -> None:
    title = {"title": "Counting bees with a camera"}
    import_text(tmp_path, "first.json", [title | first])
    done = import_text(tmp_path, "second.json", [title | second])
    assert (done.added, done.merged) == (0, 1)


def test_repeats_in_one_file_are_reported(tmp_path: Path) -> None:
    record = {"title": "Counting bees with a camera", "year": 2014}
    done = import_text(
        tmp_path, "w.json", [record, {"title": "Else"}, record | {"doi": "10.1000/x"}]
    )
    assert (done.added, done.merged, done.repeated) == (2, 1, 1)
    assert done.changes == [
        "record 3: the same work is there before: 'Counting bees with a camera'"
    ]


def test_a_corrected_record_updates_the_work_and_says_what_changed(tmp_path: Path) -> None:
    import_text(tmp_path, "v1.bib", LAGOON + ", doi={10.1000/x}}")
    corrected = LAGOON.replace("shallow", "deep").replace("2020}", "2021}")
    done = import_text(tmp_path, "v2.bib", corrected + ", doi={10.1000/X}}")
    assert (done.merged, done.updated) == (1, 1)
    (change,) = done.changes
    assert "Tides of a shallow lagoon → Tides of a deep lagoon" in change
    assert "year 2020 → 2021" in change
    assert titles(tmp_path) == ["Tides of a deep lagoon"]
    assert search_works(tmp_path, "shallow").total == 0
    assert search_works(tmp_path, "deep year:2021").total == 1


def test_a_correction_that_is_not_taken_is_said(tmp_path: Path) -> None:
    import_text(tmp_path, "v1.bib", LAGOON + "}")
    done = import_text(tmp_path, "v2.bib", LAGOON.replace("shallow", "deep") + "}")
    assert done.added == 1
    assert "kept apart from 'Tides of a shallow lagoon'" in done.changes[0]
    assert done.changes[0].endswith("kb import --remove 1")


def test_a_shorter_name_of_an_author_corrects_nothing(tmp_path: Path) -> None:
    record = {"title": "Counting bees with a camera", "doi": "10.1000/x"}
    import_text(tmp_path, "a.json", [record | {"authors": ["Ola Lind", "A. Berg"]}])
    names = ["O Lind", "Ása Berg", "N. N."]
    done = import_text(tmp_path, "b.json", [record | {"authors": names}])
    assert done.updated == 1
    (hit,) = search_works(tmp_path, "").hits
    assert hit.people == "Ola Lind; Ása Berg; N. N."


def test_another_format_completes_and_changes_nothing(tmp_path: Path) -> None:
    import_text(tmp_path, "v1.bib", LAGOON + ", doi={10.1000/x}}")
    other = {"title": "TIDES", "doi": "10.1000/x", "venue": "Journal of Tides", "year": 1999}
    done = import_text(tmp_path, "v2.json", [other])
    assert (done.merged, done.updated) == (1, 0)
    (hit,) = search_works(tmp_path, "").hits
    assert (hit.title, hit.year, hit.venue) == (
        "Tides of a shallow lagoon",
        2020,
        "Journal of Tides",
    )


def test_an_import_is_undone(tmp_path: Path) -> None:
    shared = {"title": "Counting bees with a camera", "doi": "10.1000/x", "year": 2014}
    first = import_text(tmp_path, "a.json", [shared, {"title": "Only in the first"}])
    second = import_text(tmp_path, "b.json", [shared | {"venue": "Hives"}, {"title": "Only here"}])
    removed, gone, kept = removing.remove_import(second.id, tmp_path)
    assert (removed.id, gone, kept) == (second.id, 1, 1)
    assert titles(tmp_path) == ["Counting bees with a camera", "Only in the first"]
    assert search_works(tmp_path, "hives").total == 0
    again = import_text(tmp_path, "b.json", [shared | {"venue": "Hives"}, {"title": "Only here"}])
    assert (again.added, again.merged) == (1, 1)
    _, gone, kept = removing.remove_import(first.id, tmp_path)
    assert (gone, kept) == (1, 1)
    (hit, _) = search_works(tmp_path, "sort:title").hits
    assert (hit.title, hit.venue) == ("Counting bees with a camera", "Hives")
    connection = database.open_library(tmp_path)
    connection.execute("INSERT INTO work_text (work_text) VALUES ('integrity-check')")
    removing.remove_import(again.id, tmp_path)
    for table in removing.TABLES_OF_WORKS:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    assert importing.report_paths(again.id, tmp_path) == []


def test_an_import_that_does_not_exist_is_not_undone(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="kb imports"):
        removing.remove_import(7, tmp_path)


def test_a_library_of_the_first_version_is_opened(tmp_path: Path) -> None:
    with sqlite3.connect(database.library_path(tmp_path)) as old:
        old.executescript(OLD_IMPORT_TABLE)
    (entry,) = importing.list_imports(database.open_library(tmp_path))
    assert (entry.file, entry.added, entry.format, entry.updated) == ("/old/w.json", 1, "", 0)
    assert import_text(tmp_path, "w.json", [{"title": "A new one"}]).added == 1


def test_a_library_of_a_later_version_is_refused(tmp_path: Path) -> None:
    database.open_library(tmp_path).execute("PRAGMA user_version = 99")
    with pytest.raises(RuntimeError, match="later version"):
        database.open_library(tmp_path)


def test_an_import_that_brought_nothing_is_read_anew(tmp_path: Path) -> None:
    path = write_file(tmp_path, "w.json", [{"title": "...", "Name": "Counting bees"}])
    assert importing.import_file(path, home=tmp_path).rejected == 1
    options = importing.Options(columns={"title": "Name"})
    assert importing.import_file(path, home=tmp_path, options=options).added == 1
