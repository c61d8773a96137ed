"""Importing literature: works are merged, errors reported, and nothing is ever half imported."""

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kb.literature import database, importing
from tests.kb.literature_files import (
    OPENALEX,
    PAPERS_WITH_CODE,
    PAPERS_WITH_CODE_LINK,
    search_works,
    write_file,
)

BIBTEX = """
@article{w, title={A work of {Two} lines.}, author={B., Ada}, year=2016, journal={Nature}}
"""
SAME_WORK = {
    "openalex.jsonl": OPENALEX,
    "papers.json": [PAPERS_WITH_CODE],
    "links.json": [PAPERS_WITH_CODE_LINK],
    "bibtex.bib": BIBTEX,
}
MANY = 4 * importing.BATCH_RECORDS + 17
# Imports a file, and kills itself when a number of records has been read.
KILLED_IMPORT = """
import os, signal, sys
from pathlib import Path
from kb.literature import importing

file, last_record = Path(sys.argv[1]), int(sys.argv[2])

def on_progress(state):
    if state.records >= last_record:
        os.kill(os.getpid(), signal.SIGKILL)

importing.import_file(file, home=file.parent, on_progress=on_progress)
"""


def import_records(home: Path, name: str, content: Any) -> importing.Import:
    return importing.import_file(write_file(home, name, content), home=home)


def check_index(connection: sqlite3.Connection) -> None:
    """Whether the index of words agrees with the works: SQLite raises an error if not."""
    connection.execute("INSERT INTO work_text (work_text) VALUES ('integrity-check')")


def test_a_work_from_several_sources_is_merged(tmp_path: Path) -> None:
    done = [import_records(tmp_path, name, content) for name, content in SAME_WORK.items()]
    assert [(one.added, one.merged) for one in done] == [(1, 0), (0, 1), (0, 1), (0, 1)]
    assert importing.list_imports(database.open_library(tmp_path)) == done
    (hit,) = search_works(tmp_path, "work two lines").hits
    assert (hit.doi, hit.arxiv, hit.venue) == ("10.1000/a", "1501.00001", "Nature")
    assert hit.code == ("https://github.com/a/b",)
    assert search_works(tmp_path, "has:code").total == 1


def test_works_with_the_same_title_but_other_details_stay_apart(tmp_path: Path) -> None:
    records = [
        {"title": "Proceedings of the workshop", "year": 2001},
        {"title": "Proceedings of the Workshop", "year": 2010},
        {"title": "Introduction", "authors": ["A B"]},
        {"title": "Introduction", "authors": ["C D"]},
        {"title": "The very same title", "authors": ["A B"], "doi": "10.1000/x"},
        {"title": "The very same title", "authors": ["A B"], "doi": "10.1000/y"},
        {"title": "The very same title", "authors": ["Q Z"]},
    ]
    done = import_records(tmp_path, "w.json", records)
    assert (done.added, done.merged) == (7, 0)


def test_rejected_records_are_counted_and_reported(tmp_path: Path) -> None:
    records = [
        {"title": "Good enough"},
        {"title": " "},
        {"title": "...", "year": 1999},
        7,
    ]
    done = import_records(tmp_path, "w.json", records)
    assert (done.records, done.added, done.rejected) == (4, 1, 3)
    assert sum(done.reasons.values()) == 3
    (report,) = (tmp_path / "imports").iterdir()
    places = [json.loads(line)["where"] for line in report.read_text().splitlines()]
    assert places == ["record 2", "record 3", "record 4"]


def test_importing_a_file_again_changes_nothing(tmp_path: Path) -> None:
    path = write_file(tmp_path, "w.json", [{"title": "Only once"}])
    assert importing.import_file(path, home=tmp_path) == importing.import_file(path, home=tmp_path)
    assert search_works(tmp_path, "once").total == 1


def test_a_killed_import_is_continued(tmp_path: Path) -> None:
    lines = [json.dumps({"title": f"Paper number {i}"}) for i in range(MANY)]
    path = write_file(tmp_path, "w.jsonl", "\n".join(lines))
    for last_record in (1, 2 * importing.BATCH_RECORDS):
        command = [sys.executable, "-c", KILLED_IMPORT, str(path), str(last_record)]
        assert subprocess.run(command).returncode == -signal.SIGKILL
        (state,) = importing.list_imports(database.open_library(tmp_path))
        assert 0 < state.records < MANY
        assert state.finished is None
        assert search_works(tmp_path, "paper").total == 0, "a part of a file is not found"
    done = importing.import_file(path, home=tmp_path)
    assert (done.records, done.added, done.merged) == (MANY, MANY, 0)
    assert search_works(tmp_path, "paper").total == MANY
    connection = database.open_library(tmp_path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check_index(connection)


def test_a_second_import_at_the_same_time_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, "w.json", [{"title": "Only once"}])
    database.open_library(tmp_path)
    refused = pytest.raises(importing.ImportRunning, match="is running")
    with importing.lock_library(tmp_path), refused:
        importing.import_file(path, home=tmp_path)


def test_a_work_is_found_by_details_that_a_later_import_added(tmp_path: Path) -> None:
    first = {"title": "A plain old title", "doi": "10.1000/x"}
    second = {"title": "Another spelling", "doi": "10.1000/x", "venue": "Zeitschrift"}
    import_records(tmp_path, "a.json", [first])
    import_records(tmp_path, "b.json", [second])
    assert search_works(tmp_path, "zeitschrift").total == 1
    check_index(database.open_library(tmp_path))
