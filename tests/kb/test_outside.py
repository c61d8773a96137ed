"""Literature from elsewhere: every format read, every record accounted for, nothing half-imported, and found again."""

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.outside import finding, library, readers
from kb.outside.readers import Unreadable, Work
from kb.search import BadQuery

BIBTEX = r"""
A comment, as BibTeX has them.
@string{jmlr = "J. Mach. Learn. Res."}
@comment{@article{hidden, title={No}}}
@Article{dropout,
  author = {Srivastava, Nitish and Geoffrey {E}. Hinton and Mart{\'\i}n {\v{C}}ech and {\L}ukasz K.},
  title = "{Dropout}: A {S}imple Way \& more",
  journal = jmlr # " 15", year = 2014, doi = {https://doi.org/10.5555/ABC},
}
@inproceedings(parens, title = {In parentheses}, year = {1999})
@misc{preprint, title={On arXiv only}, eprint={1207.0580v2}, archivePrefix={arXiv}}
@misc{undated, title={Without a year to speak of}, year={n.d.}}
@book{nofields}
@misc{open, title = {Never closed, year = 2000
@misc{last, title={Still read, though}}
"""
OPENALEX = {
    "id": "https://openalex.org/W1", "doi": "https://doi.org/10.1000/A", "display_name": "A Work\nof Two Lines",
    "publication_year": 2015,
    "authorships": [{"author": {"display_name": "Ada B."}}, {"author": {"display_name": "Cy D."}}],
    "primary_location": {"landing_page_url": "https://doi.org/10.1000/a", "source": {"display_name": "Nature"}},
    "locations": [{"landing_page_url": "https://arxiv.org/abs/1501.00001", "source": None}],
    "abstract_inverted_index": {"world": [1], "Hello": [0]}, "referenced_works": ["https://openalex.org/W2"],
}  # fmt: skip
PWC = {
    "paper_url": "https://paperswithcode.com/paper/x", "arxiv_id": "1501.00001", "title": "A Work of Two Lines",
    "url_abs": "http://arxiv.org/abs/1501.00001v1", "abstract": "Hi.", "proceeding": None, "authors": ["Ada B."],
    "date": "2015-01-01",
}  # fmt: skip
PWC_LINK = {
    "paper_url": "https://paperswithcode.com/paper/x", "paper_title": "A Work of Two Lines", "paper_arxiv_id": None,
    "paper_url_abs": None, "repo_url": "https://github.com/a/b", "is_official": True,
}  # fmt: skip


def file(folder: Path, name: str, content: Any) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def works(path: Path, form: str = "auto") -> list[Work]:
    return [found for _, found in readers.read(path, form) if isinstance(found, Work)]


def rejected(path: Path, form: str = "auto") -> dict[str, str]:
    return {where: str(found) for where, found in readers.read(path, form) if isinstance(found, Unreadable)}


def found(home: Path, query: str) -> finding.Answer:
    return finding.find(library.opened(home), query)


# Reading


def test_bibtex(tmp_path: Path) -> None:
    path = file(tmp_path, "some.bib", BIBTEX)
    dropout, parens, preprint, last = works(path)
    assert dropout.title == "Dropout: A Simple Way & more"
    assert dropout.authors == ("Nitish Srivastava", "Geoffrey E. Hinton", "Martín Čech", "Łukasz K.")
    assert (dropout.venue, dropout.year, dropout.doi) == ("J. Mach. Learn. Res. 15", 2014, "10.5555/abc")
    assert (parens.title, parens.year) == ("In parentheses", 1999)
    assert preprint.arxiv == "1207.0580"
    assert last.title == "Still read, though"
    assert rejected(path) == {
        "line 12": "'n.d.' is no year",
        "line 13": "an entry without fields",
        "line 14": "a brace is opened and not closed",
    }


@pytest.mark.parametrize("name", ["works.jsonl", "works.jsonl.gz"])
def test_openalex(tmp_path: Path, name: str) -> None:
    bad = OPENALEX | {"authorships": [{"author": None}]}
    path = file(tmp_path, name, "\n".join([json.dumps(OPENALEX), "", "{broken", json.dumps(bad), "[1]"]))
    (work,) = works(path)
    assert (work.title, work.authors, work.year) == ("A Work of Two Lines", ("Ada B.", "Cy D."), 2015)
    assert (work.doi, work.arxiv, work.venue, work.abstract) == ("10.1000/a", "1501.00001", "Nature", "Hello world")
    assert work.names == ("openalex:W1",) and work.cites == ("openalex:W2",)
    assert list(rejected(path)) == ["line 3", "line 4", "line 5"]


@pytest.mark.parametrize("name", ["papers.json", "papers.json.gz"])
def test_papers_with_code(tmp_path: Path, name: str) -> None:
    (paper,) = works(file(tmp_path, name, [PWC, {"title": "", "paper_url": "https://x.y/z"}, 7]))
    assert (paper.arxiv, paper.year, paper.authors) == ("1501.00001", 2015, ("Ada B.",))
    (link,) = works(file(tmp_path, f"links-{name}", [PWC_LINK]))
    assert link.code == ("https://github.com/a/b",)


def test_csv(tmp_path: Path) -> None:
    text = '\ufeffTitle;Year;Authors;DOI\n"One; two\nthree";2001;A B;10.1000/x\n;2002;;\nFour;MMI;;\n'
    (work,) = works(file(tmp_path, "a.csv", text))
    assert (work.title, work.year, work.authors, work.doi) == ("One; two three", 2001, ("A B",), "10.1000/x")
    assert list(rejected(tmp_path / "a.csv").values()) == ["no title", "'MMI' is no year"]


def test_a_large_json_array_is_read_in_pieces(tmp_path: Path) -> None:
    records = [{"title": f"Number {i} of many", "abstract": "ä" * 2000} for i in range(3000)]
    assert len(works(file(tmp_path, "whole.json", json.dumps(records, indent=1)))) == 3000


def test_an_array_that_ends_too_soon_costs_one_record(tmp_path: Path) -> None:
    text = json.dumps([{"title": f"Number {i}"} for i in range(100)])
    path = file(tmp_path, "cut.json", text[:-10])
    assert len(works(path)) == 99 and list(rejected(path)) == ["record 100"]


@pytest.mark.parametrize("content", ["", "hello", "\0\1\2", "%PDF-1.5", "a,b\n1,2\n"])
def test_what_is_no_literature_is_refused_before_anything_is_written(tmp_path: Path, content: str) -> None:
    with pytest.raises(Unreadable, match="BibTeX"):
        library.bring(file(tmp_path, "x", content), home=tmp_path / "home")
    assert library.imports(library.opened(tmp_path / "home")) == []


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet='@{}"#=,\\ \nabc1'), st.binary().map(lambda b: b.decode("utf-8", "replace"))),
       st.sampled_from(sorted(readers.FORMS)))  # fmt: skip
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str, form: str) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_text("@misc{" * (form == "bibtex") + text, newline="")
    for _, one in readers.read(path, form):
        assert isinstance(one, Work | Unreadable)
        if isinstance(one, Work):
            assert one.title.strip() and "\n" not in one.title


# Keeping


def test_the_same_work_from_three_sources_is_one(tmp_path: Path) -> None:
    bib = "@article{w, title={A work of {Two} lines.}, author={B., Ada}, year=2016, journal={Nature}}"
    for name, content in {"o.jsonl": OPENALEX, "p.json": [PWC], "l.json": [PWC_LINK], "b.bib": bib}.items():
        library.bring(file(tmp_path, name, content), home=tmp_path)
    assert [(one.added, one.merged) for one in library.imports(library.opened(tmp_path))] == [
        (1, 0),
        (0, 1),
        (0, 1),
        (0, 1),
    ]
    (hit,) = found(tmp_path, "work two lines").hits
    assert (hit.doi, hit.arxiv, hit.venue, hit.code) == (
        "10.1000/a",
        "1501.00001",
        "Nature",
        ("https://github.com/a/b",),
    )
    assert found(tmp_path, "has:code").total == 1


def test_a_title_alone_does_not_join_what_differs(tmp_path: Path) -> None:
    records = [
        {"title": "Proceedings of the workshop", "year": 2001},
        {"title": "Proceedings of the Workshop", "year": 2010},
        {"title": "Introduction", "authors": ["A B"]},
        {"title": "Introduction", "authors": ["C D"]},
        {"title": "The very same title", "authors": ["A B"], "doi": "10.1000/x"},
        {"title": "The very same title", "authors": ["A B"], "doi": "10.1000/y"},
        {"title": "The very same title", "authors": ["Q Z"]},
    ]
    done = library.bring(file(tmp_path, "w.json", records), home=tmp_path)
    assert (done.added, done.merged) == (7, 0)


def test_what_was_rejected_is_counted_and_reported(tmp_path: Path) -> None:
    records = [{"title": "Good enough"}, {"title": " "}, {"title": "x", "year": 9999}, {"title": "y", "year": "0007"}]
    done = library.bring(file(tmp_path, "w.json", records), home=tmp_path)
    assert (done.records, done.added, done.rejected) == (4, 1, 3)
    assert sum(done.reasons.values()) == 3
    (report,) = (tmp_path / "imports").iterdir()
    assert [json.loads(line)["where"] for line in report.read_text().splitlines()] == [
        "record 2",
        "record 3",
        "record 4",
    ]


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path = file(tmp_path, "w.json", [{"title": "Only once"}])
    assert library.bring(path, home=tmp_path) == library.bring(path, home=tmp_path)
    assert found(tmp_path, "once").total == 1


MANY = 4 * library.BATCH + 17
KILLED = """
import os, signal, sys
from pathlib import Path
from kb.outside import library
def say(now):
    if now.records >= int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
library.bring(Path(sys.argv[1]), home=Path(sys.argv[1]).parent, say=say)
"""


def test_an_import_that_was_killed_is_taken_up_again(tmp_path: Path) -> None:
    path = file(tmp_path, "w.jsonl", "\n".join(json.dumps({"title": f"Paper number {i}"}) for i in range(MANY)))
    for after in (1, 2 * library.BATCH):
        killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(after)])
        assert killed.returncode == -signal.SIGKILL
        (state,) = library.imports(library.opened(tmp_path))
        assert 0 < state.records < MANY and state.finished is None
        assert found(tmp_path, "paper").total == 0, "nothing of it is found before all of it is"
    done = library.bring(path, home=tmp_path)
    assert (done.records, done.added, done.merged) == (MANY, MANY, 0)
    assert found(tmp_path, "paper").total == MANY
    connection = library.opened(tmp_path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.execute("INSERT INTO work_text (work_text) VALUES ('integrity-check')")


def test_two_imports_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    path = file(tmp_path, "w.json", [{"title": "Only once"}])
    library.opened(tmp_path)
    with library._alone(library.place(tmp_path).with_suffix(".lock")), pytest.raises(library.Busy, match="going on"):
        library.bring(path, home=tmp_path)


def test_a_work_completed_later_is_found_by_what_it_gained(tmp_path: Path) -> None:
    library.bring(file(tmp_path, "a.json", [{"title": "A plain old title", "doi": "10.1000/x"}]), home=tmp_path)
    library.bring(
        file(tmp_path, "b.json", [{"title": "Another spelling", "doi": "10.1000/x", "venue": "Zeitschrift"}]),
        home=tmp_path,
    )
    assert found(tmp_path, "zeitschrift").total == 1
    library.opened(tmp_path).execute("INSERT INTO work_text (work_text) VALUES ('integrity-check')")


# Finding


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("outside")
    dropout = "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"
    records = [
        {
            "title": "Attention is all you need",
            "authors": ["Ashish Vaswani"],
            "year": 2017,
            "code": ["https://github.com/t/t"],
        },
        {"title": "Neural machine translation", "year": 2014, "abstract": "attention to <b>words</b>"},
        {"title": "Sur la prédiction", "authors": ["Álvaro Vázquez"], "year": 1985},
        {"title": "Undated and unloved"},
        {"title": dropout, "authors": ["Nitish Srivastava"], "year": 2014},
    ]
    library.bring(file(folder, "w.json", records), home=folder)
    return folder


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("attention", ["Attention is", "Neural machine"]),  # the title counts for more than the abstract
        ("attention year:2014..2016", ["Neural machine"]),
        ("attention -year:2014", ["Attention is"]),
        ("attention -translation", ["Attention is"]),
        ("atten", ["Attention is", "Neural machine"]),
        ('"machine translation"', ["Neural machine"]),
        ('"translation machine"', []),
        ("author:vazquez", ["Sur la"]),
        ("predic", ["Sur la"]),
        ("has:code", ["Attention is"]),
        ("-has:code attention", ["Neural machine"]),
        ("-attention year:2010.. sort:title", ["Dropout"]),
        ("year:..1990", ["Sur la"]),
        ("neural sort:-date -dropout", ["Neural machine"]),
        ("nothing of the kind", []),
        ('""', ["Attention is", "Dropout", "Neural machine", "Sur la", "Undated"]),
    ],
)
def test_queries(home: Path, query: str, titles: list[str]) -> None:
    answer = found(home, query)
    seen = [hit.title for hit in answer.hits]
    assert answer.total == len(titles)
    assert all(any(title.startswith(start) for title in seen) for start in titles), seen
    if "attention" in query and len(titles) == 2:
        assert seen[0].startswith("Attention")


def test_facets_count_all_that_was_found(home: Path) -> None:
    answer = finding.find(library.opened(home), "", limit=1)
    assert answer.facets["decade"] == {"1980s": 1, "2010s": 3, "unknown": 1}
    assert answer.facets["has"] == {"code": 1, "no code": 4} and answer.facets["source"] == {"w.json": 5}
    assert len(answer.hits) == 1 and answer.total == 5


def test_what_is_on_the_timeline_is_said(home: Path) -> None:
    known = {
        library.key(library.title_name("Dropout: a simple way to prevent neural networks from overfitting")): "dropout"
    }
    (hit,) = finding.find(library.opened(home), "dropout", known=known).hits
    assert hit.milestone == "dropout"


def test_snippets_are_text_in_pieces(home: Path) -> None:
    hit = next(hit for hit in found(home, "words").hits)
    assert ("words", True) in hit.snippet and "<b>" in "".join(text for text, _ in hit.snippet)


@pytest.mark.parametrize(
    ("query", "why"), [("track:theory", "track: is about"), ("has:impl", "has:code"), ("yeer:2014", "year")]
)
def test_what_has_no_meaning_here_is_said(home: Path, query: str, why: str) -> None:
    with pytest.raises(BadQuery, match=why):
        found(home, query)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_query_is_answered_or_refused(home: Path, query: str) -> None:
    connection = library.opened(home)
    try:
        finding.find(connection, query)
    except BadQuery:
        pass
    finally:
        connection.close()
