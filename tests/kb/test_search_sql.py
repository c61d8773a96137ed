"""Answers of the search on a small timeline: what matches, in which order, with which facets."""

import contextlib

import pytest
from hypothesis import example, given
from sqlalchemy import Engine

from kb import graph
from kb.search import BadQuery, search
from tests.kb.search_strategies import ANY_TEXT, EXAMPLES, FILTERS, QUERIES, WORDS
from tests.kb.search_timeline import IDS, TIMELINE, ids, matches
from tests.kb.test_search_query_language import check_error


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["lstm", "cuda", "attention", "volta", "transformer", "award"]),
        ("cud", ["cuda"]),  # the beginning of a word
        ("JURGEN", ["lstm"]),
        ("neural align", ["attention"]),
        ("align cuda", []),
        ("nvidia", ["cuda", "volta"]),
        ('"long short"', ["lstm"]),
        ('"short long"', []),
        ('"long sho"', []),  # a phrase is of whole words
        ("“long short”", ["lstm"]),
        ("short-term", ["lstm"]),
        ("track:theory kind:event", ["award"]),
        ("Track:HARDWARE", ["volta"]),
        ("track:theory track:hardware", []),
        ("year:2014", ["attention"]),
        ("year:2006..2014", ["cuda", "attention"]),
        ("year:..2006", ["lstm", "cuda"]),
        ("year:2017..", ["volta", "transformer", "award"]),
        ("author:schmidhuber", ["lstm"]),
        ('author:"JÜRGEN S"', ["lstm"]),
        ("author:lukasz", ["transformer"]),
        ("author:vidi", ["cuda", "volta"]),
        ("author:nobody", []),
        ("tag:attention", ["attention", "transformer"]),
        ("has:impl", ["lstm", "attention", "transformer"]),
        ("-has:impl", ["cuda", "volta", "award"]),
        ("before:attention", ["lstm", "cuda"]),
        ("after:attention", ["volta", "transformer", "award"]),
        ("after:volta", ["award"]),  # the transformer is of the same year, and more isn't known
        ("before:transformer after:cuda", ["attention"]),
        ("from:lstm", ["attention", "transformer", "award"]),
        ("to:award", ["lstm", "attention", "transformer"]),
        ("from:lstm to:transformer", ["attention"]),
        ("from:award", []),
        ("-track:theory -gpu", []),
        ("-from:lstm", ["lstm", "cuda", "volta"]),
        ('-"graphics chips" tag:gpu', ["volta"]),
        ("sort:-date has:impl", ["transformer", "attention", "lstm"]),
        ("sort:title has:impl", ["transformer", "lstm", "attention"]),
        ("sort:date attention", ["attention", "volta", "transformer"]),
        ("http://x", []),
        ("10:30", []),
        ("Attention: is all", ["transformer"]),  # a colon at the end of a word is no qualifier's
        ("- ... ::", []),
        ("🙂", []),
        ("machinetranslation", ["attention"]),  # two words there, written as one
        ("cuda\0\ud800", ["cuda"]),
    ],
)
def test_queries(search_engine: Engine, query: str, expected: list[str]) -> None:
    answer = search(search_engine, query)
    assert ids(answer) == expected
    assert answer.correction is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reproduced", ["transformer"]),
        ('"not reproduced"', ["lstm"]),  # the newest run that succeeded counts
        ("not-reproduced", ["lstm"]),
        ("inconclusive", ["lstm"]),  # the claim that the newest run didn't judge keeps its verdict
        ("unchecked", ["attention"]),  # a smoke run proves nothing
    ],
)
def test_claims_match_by_their_newest_verdict(
    search_engine: Engine, query: str, expected: list[str]
) -> None:
    assert ids(search(search_engine, f"claim:{query}")) == expected


@pytest.mark.parametrize(
    ("query", "marked", "message", "suggestion"),
    [
        ("from:lsmt", "lsmt", 'the id "lsmt"; did you mean "lstm"?', "from:lstm"),
        ('before:"zzz"', "zzz", 'no milestone has the id "zzz"', None),
        ("tag:attn", "attn", 'no milestone has the tag "attn"', "tag:attention"),
    ],
)
def test_an_unknown_id_or_tag_is_marked_in_the_query(
    search_engine: Engine, query: str, marked: str, message: str, suggestion: str | None
) -> None:
    with pytest.raises(BadQuery) as caught:
        search(search_engine, query)
    check_error(caught.value, query, marked, message)
    assert caught.value.suggestion == suggestion


def test_a_title_ranks_above_a_tag_and_a_tag_above_a_story(search_engine: Engine) -> None:
    assert ids(search(search_engine, "attention")) == ["attention", "transformer", "volta"]


def test_the_limit_restricts_the_hits_but_not_the_total(search_engine: Engine) -> None:
    answer = search(search_engine, "", limit=2)
    assert ids(answer) == ["lstm", "cuda"]
    assert answer.total == sum(answer.facets["track"].values()) == 6
    assert search(search_engine, "", limit=0).hits == []
    assert search(search_engine, "", limit=-1).hits == []


def test_a_hit_has_the_fields_that_a_list_shows(search_engine: Engine) -> None:
    [hit] = search(search_engine, "carousel").hits
    assert (hit.id, hit.short, hit.title) == ("lstm", "LSTM", "Long Short-Term Memory")
    assert (hit.date, hit.track, hit.kind) == ("1997-11", "theory", "paper")
    assert (hit.implementation, hit.idea) == ("lstm", "An error carousel.")
    assert hit.score > 0


def test_a_snippet_is_plain_text_in_pieces(search_engine: Engine) -> None:
    def snippet(query: str) -> list[tuple[str, bool]]:
        return search(search_engine, query).hits[0].snippet

    assert snippet("carousel") == [("An error ", False), ("carousel", True), (".", False)]
    story = snippet("remember")
    assert ("remember", True) in story
    assert "<b>long</b>" in "".join(piece for piece, _ in story)
    assert snippet("cuda") == [("CUDA", True)]
    assert snippet("author:kaiser") == [("No recurrence at all.", False)]
    assert snippet("kaiser") == [("No recurrence at all.", False)]


@EXAMPLES
@given(ANY_TEXT)
@example('"" *')
@example("a AND (b OR")
@example("{id}: x")
def test_any_text_is_answered_or_refused(search_engine: Engine, query: str) -> None:
    with contextlib.suppress(BadQuery):
        answer = search(search_engine, query)
        assert 0 <= len(answer.hits) == answer.total <= len(TIMELINE)


@EXAMPLES
@given(QUERIES, WORDS | FILTERS)
def test_a_term_and_its_negation_split_the_matches(
    search_engine: Engine, query: str, term: str
) -> None:
    with_term = matches(search_engine, f"{query} {term}")
    without_term = matches(search_engine, f"{query} -{term}")
    assert with_term | without_term == matches(search_engine, query)
    assert not with_term & without_term


@EXAMPLES
@given(QUERIES, QUERIES)
def test_terms_intersect_in_any_order(search_engine: Engine, one: str, other: str) -> None:
    both = matches(search_engine, f"{one} {other}")
    assert both == matches(search_engine, f"{other} {one}")
    assert both == matches(search_engine, one) & matches(search_engine, other)


@EXAMPLES
@given(QUERIES)
def test_a_facet_counts_what_its_qualifier_would_leave(search_engine: Engine, query: str) -> None:
    answer = search(search_engine, query)
    query = answer.correction or query
    for facet in ("track", "kind", "decade", "impl"):
        assert sum(answer.facets[facet].values()) == answer.total
    for facet, counts in answer.facets.items():
        for value, count in counts.items():
            term = qualifier_of(facet, value)
            assert count == len(matches(search_engine, f"{query} {term}")), term


def qualifier_of(facet: str, value: str) -> str:
    """The term that restricts a query to a value of a facet."""
    if facet == "decade":
        return f"year:{value[:4]}..{value[:3]}9"
    if facet == "impl":
        return "has:impl" if value == "yes" else "-has:impl"
    return f"{'claim' if facet == 'verdict' else facet}:{value}"


@pytest.mark.parametrize("id", IDS)
def test_lineage_qualifiers_agree_with_the_graph(search_engine: Engine, id: str) -> None:
    lineage = graph.load_lineage(search_engine)
    descendants = {step.id for step in graph.descendants(lineage, id)}
    ancestors = {step.id for step in graph.ancestors(lineage, id)}
    assert matches(search_engine, f"from:{id}") == descendants
    assert matches(search_engine, f"to:{id}") == ancestors
