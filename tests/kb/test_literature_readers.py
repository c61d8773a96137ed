"""Reading files of literature: each format, and files that are damaged or of no known format."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.literature import database, importing, readers
from kb.literature.works import Unreadable, Work
from tests.kb.literature_files import (
    OPENALEX,
    PAPERS_WITH_CODE,
    PAPERS_WITH_CODE_LINK,
    read_errors,
    read_works,
    write_file,
)

BIBTEX = r"""
A comment, as BibTeX has them.
@string{jmlr = "J. Mach. Learn. Res."}
@comment{@article{hidden, title={No}}}
@Article{dropout,
  author={Srivastava, Nitish and Geoffrey {E}. Hinton and Mart{\'\i}n {\v{C}}ech and {\L}ukasz K.},
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
CSV = '\ufeffTitle;Year;Authors;DOI\n"One; two\nthree";2001;A B;10.1000/x\n;2002;;\nFour;MMI;;\n'
TEXTS = st.one_of(
    st.text(),
    st.text(alphabet='@{}"#=,\\ \nabc1'),
    st.binary().map(lambda data: data.decode("utf-8", "replace")),
)


def test_bibtex(tmp_path: Path) -> None:
    path = write_file(tmp_path, "some.bib", BIBTEX)
    dropout, parens, preprint, undated, last = read_works(path)
    assert dropout.title == "Dropout: A Simple Way & more"
    assert dropout.authors[:2] == ("Nitish Srivastava", "Geoffrey E. Hinton")
    assert dropout.authors[2:] == ("Martín Čech", "Łukasz K.")
    assert dropout.venue == "J. Mach. Learn. Res. 15"
    assert (dropout.year, dropout.doi) == (2014, "10.5555/abc")
    assert (parens.title, parens.year) == ("In parentheses", 1999)
    assert preprint.arxiv == "1207.0580"
    assert undated.year is None
    assert undated.notes == ("the year isn't known: 'n.d.' is no year",)
    assert last.title == "Still read, though"
    assert read_errors(path) == {
        "line 13": "an entry without fields",
        "line 14": "a brace is opened and not closed",
    }


@pytest.mark.parametrize("name", ["works.jsonl", "works.jsonl.gz"])
def test_openalex(tmp_path: Path, name: str) -> None:
    invalid = OPENALEX | {"authorships": [{"author": None}]}
    lines = [json.dumps(OPENALEX), "", "{broken", json.dumps(invalid), "[1]"]
    path = write_file(tmp_path, name, "\n".join(lines))
    (work,) = read_works(path)
    assert (work.title, work.year) == ("A Work of Two Lines", 2015)
    assert work.authors == ("Ada B.", "Cy D.")
    assert (work.doi, work.arxiv) == ("10.1000/a", "1501.00001")
    assert (work.venue, work.abstract) == ("Nature", "Hello world")
    assert work.names == ("openalex:W1",)
    assert work.cites == ("openalex:W2",)
    assert list(read_errors(path)) == ["line 3", "line 4", "line 5"]


@pytest.mark.parametrize("name", ["papers.json", "papers.json.gz"])
def test_papers_with_code(tmp_path: Path, name: str) -> None:
    records = [PAPERS_WITH_CODE, {"title": "", "paper_url": "https://x.y/z"}, 7]
    (paper,) = read_works(write_file(tmp_path, name, records))
    assert (paper.arxiv, paper.year, paper.authors) == ("1501.00001", 2015, ("Ada B.",))
    (link,) = read_works(write_file(tmp_path, f"links-{name}", [PAPERS_WITH_CODE_LINK]))
    assert link.code == ("https://github.com/a/b",)


def test_csv(tmp_path: Path) -> None:
    path = write_file(tmp_path, "a.csv", CSV)
    work, undated = read_works(path)
    assert (work.title, work.year) == ("One; two three", 2001)
    assert (work.authors, work.doi) == (("A B",), "10.1000/x")
    assert (undated.title, undated.year) == ("Four", None)
    assert list(read_errors(path).values()) == ["no title"]


def test_a_large_json_array_is_read_in_pieces(tmp_path: Path) -> None:
    records = [{"title": f"Number {i} of many", "abstract": "ä" * 2000} for i in range(3000)]
    path = write_file(tmp_path, "whole.json", json.dumps(records, indent=1))
    assert len(read_works(path)) == 3000


def test_a_json_array_cut_short_loses_one_record(tmp_path: Path) -> None:
    text = json.dumps([{"title": f"Number {i}"} for i in range(100)])
    path = write_file(tmp_path, "cut.json", text[:-10])
    assert len(read_works(path)) == 99
    assert list(read_errors(path)) == ["record 100"]


@pytest.mark.parametrize("content", ["", "hello", "\0\1\2", "%PDF-1.5", "a,b\n1,2\n"])
def test_a_file_of_no_known_format_is_refused_before_anything_is_written(
    tmp_path: Path, content: str
) -> None:
    with pytest.raises(Unreadable, match="BibTeX"):
        importing.import_file(write_file(tmp_path, "x", content), home=tmp_path / "home")
    assert importing.list_imports(database.open_library(tmp_path / "home")) == []


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(sorted(readers.READERS)))
def test_any_text_gives_works_and_errors(
    tmp_path_factory: pytest.TempPathFactory, text: str, form: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_text("@misc{" * (form == "bibtex") + text, newline="")
    for _, record in readers.read_works(path, form):
        assert isinstance(record, Work | Unreadable)
        if isinstance(record, Work):
            assert record.title.strip()
            assert "\n" not in record.title
