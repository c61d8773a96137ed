"""Searching the imported literature: queries, facets, snippets, and links to the timeline."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kb.literature import database, importing, matching, merging, search
from kb.search import BadQuery
from tests.kb.literature_files import search_works, write_file

DROPOUT = "Dropout: A Simple Way to Prevent Neural Networks from Overfitting"
RECORDS = [
    {
        "title": "Attention is all you need",
        "authors": ["Ashish Vaswani"],
        "year": 2017,
        "code": ["https://github.com/t/t"],
    },
    {
        "title": "Neural machine translation",
        "year": 2014,
        "abstract": "attention to <b>words</b>",
    },
    {"title": "Sur la prédiction", "authors": ["Álvaro Vázquez"], "year": 1985},
    {"title": "Undated and unloved"},
    {"title": DROPOUT, "authors": ["Nitish Srivastava"], "year": 2014},
]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a library that has RECORDS."""
    folder = tmp_path_factory.mktemp("literature")
    importing.import_file(write_file(folder, "w.json", RECORDS), home=folder)
    return folder


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("attention", ["Attention is", "Neural machine"]),
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
def test_queries(library: Path, query: str, titles: list[str]) -> None:
    answer = search_works(library, query)
    assert answer.total == len(titles)
    found = [hit.title for hit in answer.hits]
    assert all(any(title.startswith(start) for title in found) for start in titles), found


def test_a_title_ranks_above_an_abstract(library: Path) -> None:
    first, second = search_works(library, "attention").hits
    assert first.title.startswith("Attention")
    assert second.title.startswith("Neural")


def test_facets_count_all_matches_and_not_only_the_hits(library: Path) -> None:
    answer = search.search_works(database.open_library(library), "", limit=1)
    assert (len(answer.hits), answer.total) == (1, 5)
    assert answer.facets["decade"] == {"1980s": 1, "2010s": 3, "unknown": 1}
    assert answer.facets["has"] == {"code": 1, "no code": 4}
    assert answer.facets["source"] == {"w.json": 5}


def test_a_work_on_the_timeline_has_the_id_of_its_milestone(library: Path) -> None:
    title = merging.title_name(DROPOUT.capitalize())
    milestones = {matching.hash_name(title): "dropout"}
    connection = database.open_library(library)
    (hit,) = search.search_works(connection, "dropout", milestones=milestones).hits
    assert hit.milestone == "dropout"


def test_a_snippet_is_plain_text_in_pieces(library: Path) -> None:
    (hit,) = search_works(library, "words").hits
    assert ("words", True) in hit.snippet
    assert "<b>" in "".join(text for text, _ in hit.snippet)


@pytest.mark.parametrize(
    ("query", "reason"),
    [("track:theory", "track: applies to"), ("has:impl", "has:code"), ("yeer:2014", "year")],
)
def test_qualifiers_of_the_timeline_are_refused(library: Path, query: str, reason: str) -> None:
    with pytest.raises(BadQuery, match=reason):
        search_works(library, query)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_query_is_answered_or_refused(library: Path, query: str) -> None:
    with (
        contextlib.closing(database.open_library(library)) as connection,
        contextlib.suppress(BadQuery),
    ):
        search.search_works(connection, query)
