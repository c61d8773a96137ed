"""The forms and encodings in which literature is exported, each read as what it is."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from kb.literature import database, importing, readers
from kb.literature.works import Unreadable, Work
from tests.kb.literature_files import OPENALEX, read_errors, read_works, write_file

BEES = "Counting bees with a camera"
BIBTEX: dict[str, tuple[str, dict[str, Any]]] = {  # entry, what is read of it
    "biblatex": (
        "@article{l, title={T}, author={Lind, Ola}, journaltitle={Journal of Hives}, "
        "date={2019-04}, eprint={1904.01234}, eprinttype={arxiv}}",
        {"venue": "Journal of Hives", "year": 2019, "arxiv": "1904.01234"},
    ),
    "corporation": (
        "@misc{l, title={T}, author={{Barnes and Noble, Inc.} and Lind, Ola}}",
        {"authors": ("Barnes and Noble, Inc.", "Ola Lind")},
    ),
    "von": (
        "@misc{l, title={T}, author={van der Berg, Hans and Ludwig van Beethoven}}",
        {"authors": ("Hans van der Berg", "Ludwig van Beethoven")},
    ),
    "jr": (
        "@misc{l, title={T}, author={King, Jr., Martin Luther AND Ann Oak}}",
        {"authors": ("Martin Luther King Jr.", "Ann Oak")},
    ),
    "others": (
        "@misc{l, title={T}, author={Ann Oak and others}}",
        {"authors": ("Ann Oak",), "notes": ("the list of authors ends with others",)},
    ),
    "accents": (
        r"@misc{l, title={{\'E}cole {\o}st $\alpha$ 5% \& more}, author={G{\"o}del, Kurt}}",
        {"title": "École øst α 5% & more", "authors": ("Kurt Gödel",)},
    ),
    "macros": (
        r"@misc{l, title={{\textless}i{\textgreater} H\textsubscript{2}O \LaTeX{} $\mathbb{R}$}}",
        {"title": "<i> H2O LaTeX ℝ"},
    ),
    "string": (
        '@string{jh = "Journal of"}\n@misc{l, title={T}, journal = jh # " Hives"}',
        {"venue": "Journal of Hives"},
    ),
    "undefined": (
        "@misc{l, title={T}, journal = jh}",
        {"venue": "jh", "notes": ("an abbreviation isn't defined: 'jh'",)},
    ),
    "missing comma": (
        "@misc{l, title={T} author={Ola Lind}, year=2001 journal={Hives}}",
        {"authors": ("Ola Lind",), "year": 2001, "venue": "Hives"},
    ),
    "old doi": (
        "@misc{l, title={T}, doi={10.5555/(SICI)1111-2222(1998)17:15<1661::AID-XY1>3.0.CO;2-2}}",
        {"doi": "10.5555/(sici)1111-2222(1998)17:15<1661::aid-xy1>3.0.co;2-2"},
    ),
    "preprint in words": (
        "@article{l, title={T}, journal={arXiv preprint arXiv:1412.6980}}",
        {"arxiv": "1412.6980"},
    ),
    "twice": (
        "@misc{l, title={T}, year={2001}, year={2002}}",
        {"year": 2001, "notes": ("a field is there twice; the first counts",)},
    ),
    "in press": ("@book{l, title={T}, year={in press}}", {"year": None}),
    "circa": ("@book{l, title={T}, year={c. 1990}}", {"year": 1990}),
    "199X": ("@book{l, title={T}, date={199X}}", {"year": None}),
}
CROSSREF = """
@inproceedings{kid, author={Ek, Ia}, title={A chapter of the whole}, crossref={whole}}
@inproceedings{xkid, author={Ek, Ia}, title={Another chapter of the whole}, xdata={ser}}
@inproceedings{orphan, title={A chapter of nothing}, crossref={nothing}}
@proceedings{whole, title={Proceedings of the Whole}, year={1994}, editor={Od, Bo}}
@xdata{ser, date={1997-08}, publisher={Hill Press}}
"""
CSL = {
    "id": "http://zotero.org/users/1/items/AB12CD34",
    "type": "article-journal",
    "title": BEES,
    "container-title": "Journal of Hives",
    "author": [{"family": "Lind", "given": "Ola"}, {"family": "Berg", "given": "Ása"}],
    "issued": {"date-parts": [[2014, 5]]},
    "DOI": "10.5555/bees.14",
    "URL": "https://example.org/bees",
}
SEMANTIC_SCHOLAR = {
    "paperId": "abc",
    "externalIds": {"DOI": "10.5555/bees.14", "ArXiv": "1401.00001"},
    "title": BEES,
    "authors": [{"authorId": "1", "name": "Ola Lind"}, {"authorId": "2", "name": "Ása Berg"}],
    "year": 2014,
    "venue": "Journal of Hives",
    "references": [{"paperId": "def"}],
}
RIS = """TY  - JOUR
AU  - Lind, Ola
AU  - Berg, Ása
TI  - Counting bees with a camera
T2  - Journal of Hives
PY  - 2014/05//
DO  - 10.5555/bees.14
ER  -
"""
WOS = """FN Clarivate Analytics Web of Science
VR 1.0
PT J
AU Lind, O
   Berg, A
AF Lind, Ola
   Berg, Ása
TI Counting bees
   with a camera
SO Journal of Hives
PY 2014
DI 10.5555/bees.14
ER

EF
"""
ZOTERO = (
    '"Key","Item Type","Publication Year","Author","Title","Publication Title","DOI","Pages"\n'
    f'"A","journalArticle","2014","Lind, Ola; Berg, Ása","{BEES}","Journal of Hives",'
    '"10.5555/bees.14","1-9"\n'
)
SCOPUS = (
    '"Authors","Author full names","Title","Year","Source title","Cited by","DOI"\n'
    f'"Lind O.; Berg A.","Lind, Ola (123456); Berg, Ása (654321)","{BEES}",2014,'
    '"Journal of Hives",3,"10.5555/bees.14"\n'
)
FORMS: dict[str, tuple[str, str]] = {  # file: its content and format
    "list.json": (json.dumps([CSL]), "csl"),
    "crossref.json": (json.dumps({"message": {"items": [CSL | {"title": [BEES]}]}}), "csl"),
    "paper.json": (json.dumps(SEMANTIC_SCHOLAR, indent=1), "semantic-scholar"),
    "search.json": (json.dumps({"total": 1, "data": [SEMANTIC_SCHOLAR]}), "semantic-scholar"),
    "bees.ris": (RIS, "ris"),
    "savedrecs.txt": (WOS, "wos"),
    "zotero.csv": (ZOTERO, "csv"),
    "scopus.csv": (SCOPUS, "csv"),
    "comments.csv": ("# exported today\n\nsep=;\n" + ZOTERO.replace('","', '";"'), "csv"),
    "tabs.tsv": (ZOTERO.replace('","', '"\t"'), "csv"),
    "columns.txt": (
        "PT\tAU\tAF\tTI\tSO\tDI\tPY\n"
        f"J\tLind, Ola; Berg, Ása\t\t{BEES}\tJournal of Hives\t10.5555/bees.14\t2014\n",
        "csv",
    ),
}


@pytest.mark.parametrize("name", BIBTEX)
def test_bibtex_as_it_is_defined(tmp_path: Path, name: str) -> None:
    text, expected = BIBTEX[name]
    (work,) = read_works(write_file(tmp_path, "a.bib", text))
    assert {field: getattr(work, field) for field in expected} == expected


def test_entries_inherit_from_others_that_may_come_later(tmp_path: Path) -> None:
    path = write_file(tmp_path, "a.bib", CROSSREF)
    kid, xkid, orphan, whole = read_works(path)
    assert (kid.year, kid.venue) == (1994, "Proceedings of the Whole")
    assert (xkid.year, xkid.venue) == (1997, "Hill Press")
    assert orphan.notes == ("the entry of its crossref isn't in the file: 'nothing'",)
    assert whole.title == "Proceedings of the Whole"
    assert read_errors(path) == {}


def test_what_a_parser_of_bibtex_swallows_is_counted(tmp_path: Path) -> None:
    entries = [
        "@article{a, title={One}} @article{b, title={Two}}",
        "@article{c title={No comma}}",
        "@article no brace, title={No brace}}",
        "@article{d, title={Closed too early}}, year={2001}}",
        "@article{e, title={Last}}",
    ]
    path = write_file(tmp_path, "a.bib", "\ufeff" + "\n".join(entries))
    one, two, early, last = read_works(path)
    assert [one.title, two.title, last.title] == ["One", "Two", "Last"]
    assert early.notes == ("fields follow the closing brace of their entry: one too many?",)
    assert list(read_errors(path)) == ["line 2", "line 3"]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read_as_what_it_is(tmp_path: Path, name: str) -> None:
    text, expected = FORMS[name]
    path = write_file(tmp_path, name, text)
    assert readers.choose_format(readers.open_source(path)) == expected
    (work,) = read_works(path)
    assert (work.title, work.year, work.venue) == (BEES, 2014, "Journal of Hives")
    assert (work.authors, work.doi) == (("Ola Lind", "Ása Berg"), "10.5555/bees.14")
    assert work.notes == ()


@pytest.mark.parametrize("indent", [None, 1])
def test_a_page_of_openalex_is_its_works(tmp_path: Path, indent: int | None) -> None:
    other = OPENALEX | {"id": "https://openalex.org/W2", "display_name": "Another work"}
    page = {"meta": {"count": 2, "page": 1}, "results": [OPENALEX, other], "group_by": []}
    path = write_file(tmp_path, "page.json", json.dumps(page, indent=indent))
    assert readers.choose_format(readers.open_source(path)) == "openalex"
    assert [work.names for work in read_works(path)] == [("openalex:W1",), ("openalex:W2",)]
    single = write_file(tmp_path, "one.json", json.dumps(OPENALEX, indent=indent))
    assert [work.names for work in read_works(single)] == [("openalex:W1",)]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("PMID- 1234\nTI  - x\n", "PubMed"),
        ("<?xml version='1.0'?><records/>", "XML"),
        ("%0 Journal Article\n%T x\n", "EndNote"),
        ("%PDF-1.7", "PDF"),
        ('[{"itemType": "book", "shelf": "A"}]', "itemType, shelf"),
        ("name of it,when\nx,2001\n", "--map title='name of it'"),
    ],
)
def test_a_form_that_is_not_known_is_refused_by_name(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(Unreadable, match=names):
        importing.import_file(write_file(tmp_path, "x", text), home=tmp_path)
    assert importing.list_imports(database.open_library(tmp_path)) == []


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_the_number_of_a_catalogue_is_identity_in_any_form(tmp_path: Path, name: str) -> None:
    records = {
        "a.csv": "id,title\nhttps://openalex.org/W12,Counting bees\n",
        "a.json": json.dumps([{"id": "https://openalex.org/W12", "title": "Counting bees"}]),
    }
    (work,) = read_works(write_file(tmp_path, name, records[name]))
    assert work.names == ("openalex:W12",)


def test_columns_are_named_where_guessing_fails(tmp_path: Path) -> None:
    path = write_file(tmp_path, "x.csv", "was,wer,wann\nCounting bees,Ola Lind,2014\n")
    columns = {"title": "was", "authors": "wer", "year": "wann"}
    done = importing.import_file(path, home=tmp_path, options=importing.Options(columns=columns))
    assert (done.added, done.found) == (1, {"authors": 1, "year": 1})
    for wrong, reason in (({"title": "wo"}, "was, wer, wann"), ({"titel": "was"}, "no such field")):
        with pytest.raises(Unreadable, match=reason):
            importing.import_file(
                path.with_name(path.name),
                "csv",
                tmp_path / "other",
                options=importing.Options(columns=wrong),
            )


def test_what_is_not_understood_is_said(tmp_path: Path) -> None:
    path = write_file(tmp_path, "x.csv", "title,hand,pages\nCounting bees,Ola Lind,1-9\n")
    done = importing.import_file(path, home=tmp_path)
    assert done.notes == {
        "a field isn't read: 'hand'": 1,
        "authors weren't found in any of 1 record": 1,
        "years weren't found in any of 1 record": 1,
    }


@pytest.mark.parametrize(
    ("encoding", "mark", "note"),
    [
        ("utf-8", "", ""),
        ("utf-8", "\ufeff", ""),
        ("utf-16", "", "UTF-16"),
        ("utf-16-le", "", "UTF-16-LE without"),
        ("cp1252", "", "Windows-1252"),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_an_encoding_is_detected_and_said(
    tmp_path: Path, encoding: str, mark: str, note: str, compressed: bool
) -> None:
    data = f"{mark}title,authors,year\nÜber die Bienen,Åsa Größe,2014\n".encode(encoding)
    path = tmp_path / "x.csv"
    path.write_bytes(gzip.compress(data) if compressed else data)
    (work,) = read_works(path)
    assert (work.title, work.authors) == ("Über die Bienen", ("Åsa Größe",))
    notes = readers.open_source(path).notes
    assert note in "".join(notes) and bool(notes) == bool(note)


def test_single_bytes_of_another_encoding_are_read_and_said(tmp_path: Path) -> None:
    path = tmp_path / "x.bib"
    lines = ["@misc{a, title={Größe und Maß}}\n"] * 3 + ["@misc{b, title={Größe}}\n"]
    path.write_bytes("".join(lines[:3]).encode() + lines[3].encode("cp1252"))
    source = readers.open_source(path)
    works = [work for _, work in readers.read_source(source, "bibtex") if isinstance(work, Work)]
    assert [work.title for work in works] == ["Größe und Maß"] * 3 + ["Größe"]
    assert source.notes == ["some bytes aren't UTF-8 and were read as Windows-1252"]
