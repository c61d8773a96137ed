"""The search box: its grammar, its answers on a small timeline, and laws that hold for whatever is typed."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db, graph
from kb.schema import KINDS, MODEL_OF_KIND, TRACKS, Claim, Figure, Link, Milestone, Source
from kb.search import QUALIFIERS, Answer, BadQuery, parse, search
from kb.tables import Run, RunVerdict

SOURCES = [Source(url="https://example.org", read="2026-11-23")]


def milestone(id: str, track: str, kind: str, date: str, title: str, idea: str, **more: Any) -> Milestone:
    """`links` are given as ids, `claims` too."""
    claims = [Claim(id=claim, says="It is better.", where="Table 1") for claim in more.pop("claims", [])]
    links = [Link.model_validate({"to": to, "as": "builds_on"}) for to in more.pop("links", [])]
    entry = {"id": id, "track": track, "kind": kind, "date": date, "title": title, "idea": idea, "links": links}
    entry |= {"short": id.upper(), "story": "Nothing more.", "sources": SOURCES}
    if kind == "paper":
        entry |= {"venue": "A journal", "impl": id, "claims": claims}
    return MODEL_OF_KIND[kind].model_validate(entry | more)


TIMELINE = [
    milestone(
        *("lstm", "theory", "paper", "1997-11", "Long Short-Term Memory", "An error carousel."),
        story="Cells with gates \ue000 remember <b>long</b> lags.",
        authors=["Sepp Hochreiter", "Jürgen Schmidhuber"],
        tags=["rnn"],
        claims=["adding", "size"],
    ),
    milestone(
        *("cuda", "software", "tool", "2006-11", "CUDA", "C for graphics chips."),
        makers=["NVIDIA"],
        tags=["gpu"],
        licence="proprietary",
        languages=["C"],
    ),
    milestone(
        *("attention", "theory", "paper", "2014-09-01", "Neural Machine Translation by Jointly Learning to Align"),
        idea="Look back at the source while translating.",
        authors=["Dzmitry Bahdanau"],
        tags=["rnn", "attention"],
        claims=["long"],
        links=["lstm"],
    ),
    milestone(
        *("volta", "hardware", "chip", "2017", "Tesla V100", "Tensor cores."),
        story="It is too early for attention here.",
        makers=["NVIDIA"],
        tags=["gpu"],
        links=["cuda"],
        spec={"memory": Figure(value=16, unit="GB", where="datasheet")},
    ),
    milestone(
        *("transformer", "theory", "paper", "2017-06-12", "Attention Is All You Need", "No recurrence at all."),
        authors=["Łukasz Kaiser", "Ashish Vaswani"],
        tags=["attention"],
        claims=["bleu"],
        links=["attention", "lstm"],
    ),
    milestone(*("award", "theory", "event", "2019", "An award", "Three people are thanked."), links=["transformer"]),
]
IDS = [m.id for m in TIMELINE]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    engine = db.open_database(tmp_path_factory.mktemp("search") / "kb.sqlite3")
    db.load(engine, TIMELINE)
    with Session(engine) as session:
        for item in judged():
            session.add(item)
        session.commit()
    return engine


def judged() -> Iterator[Run | RunVerdict]:
    runs = [
        ("lstm", "quick", "succeeded", {"adding": "reproduced", "size": "inconclusive"}),
        ("lstm", "quick", "succeeded", {"adding": "not reproduced"}),
        ("lstm", "quick", "failed", {"adding": "reproduced"}),
        ("attention", "smoke", "succeeded", {"long": "reproduced"}),
        ("transformer", "full", "succeeded", {"bleu": "reproduced"}),
    ]
    for number, (implementation, preset, status, verdicts) in enumerate(runs):
        run = f"run-{number}"
        common: dict[str, Any] = {"device": "cpu", "submitted": 0.0, "source_hash": "0", "finished": float(number)}
        yield Run(id=run, implementation=implementation, preset=preset, status=status, **common)
        for claim, verdict in verdicts.items():
            yield RunVerdict(run=run, claim=claim, number=0, verdict=verdict, unit="%", n=3, rule="t")


def ids(answer: Answer) -> list[str]:
    return [hit.id for hit in answer.hits]


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
        ("- ... ::", ["lstm", "cuda", "attention", "volta", "transformer", "award"]),
        ("cuda\0\ud800", ["cuda"]),
    ],
)
def test_queries(engine: Engine, query: str, expected: list[str]) -> None:
    answer = search(engine, query)
    assert ids(answer) == expected
    assert answer.correction is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reproduced", ["transformer"]),
        ('"not reproduced"', ["lstm"]),  # the newest that succeeded counts
        ("not-reproduced", ["lstm"]),
        ("inconclusive", ["lstm"]),  # the claim that the newest run didn't judge keeps its verdict
        ("unchecked", ["attention"]),  # a smoke run proves nothing
    ],
)
def test_claims_by_their_latest_verdict(engine: Engine, query: str, expected: list[str]) -> None:
    assert ids(search(engine, f"claim:{query}")) == expected


def test_a_name_counts_for_more_than_a_tag_and_a_tag_for_more_than_a_story(engine: Engine) -> None:
    assert ids(search(engine, "attention")) == ["attention", "transformer", "volta"]


def test_the_limit_cuts_the_hits_and_not_the_total(engine: Engine) -> None:
    answer = search(engine, "", limit=2)
    assert (ids(answer), answer.total, sum(answer.facets["track"].values())) == (["lstm", "cuda"], 6, 6)
    assert search(engine, "", limit=0).hits == search(engine, "", limit=-1).hits == []


def test_a_hit_tells_what_a_list_needs(engine: Engine) -> None:
    [hit] = search(engine, "carousel").hits
    assert (hit.id, hit.short, hit.title, hit.date) == ("lstm", "LSTM", "Long Short-Term Memory", "1997-11")
    assert (hit.track, hit.kind, hit.implementation, hit.idea) == ("theory", "paper", "lstm", "An error carousel.")
    assert hit.score > 0


def test_a_snippet_is_plain_pieces_of_what_matched(engine: Engine) -> None:
    assert search(engine, "carousel").hits[0].snippet == [("An error ", False), ("carousel", True), (".", False)]
    story = search(engine, "remember").hits[0].snippet
    assert ("remember", True) in story
    assert "<b>long</b>" in "".join(words for words, _ in story)
    assert search(engine, "cuda").hits[0].snippet == [("CUDA", True)]
    assert search(engine, "author:kaiser").hits[0].snippet == [("No recurrence at all.", False)]
    assert search(engine, "kaiser").hits[0].snippet == [("No recurrence at all.", False)]


@pytest.mark.parametrize(
    ("query", "correction", "expected"),
    [
        ("atention", "attention", ["attention", "transformer", "volta"]),
        ("atention track:hardware", "attention track:hardware", ["volta"]),
        ("-cuda Transfromer  sort:date", "-cuda transformer  sort:date", ["transformer"]),
        ("neurla-machine", "neural-machine", ["attention"]),
        ("lukasz", "łukasz", ["transformer"]),
    ],
)
def test_a_typo_is_corrected_and_said(engine: Engine, query: str, correction: str, expected: list[str]) -> None:
    answer = search(engine, query)
    assert (answer.correction, ids(answer)) == (correction, expected)
    assert ids(search(engine, correction)) == expected


@pytest.mark.parametrize(
    ("query", "gist", "expected"),
    [
        ("what is attention good for?", "attention", ["attention", "transformer", "volta"]),
        ("Who made the transfromer", "transformer", ["transformer"]),
        ("does the transformer work on an abacus? track:theory", "transformer track:theory", ["transformer"]),
        ("why -cuda after the transformer", "-cuda transformer", ["transformer"]),
    ],
)
def test_a_question_is_answered_by_what_it_is_about(engine: Engine, query: str, gist: str, expected: list[str]) -> None:
    answer = search(engine, query)
    assert (answer.correction, ids(answer)) == (gist, expected)


@pytest.mark.parametrize(
    "query", ["atention track:software", "xqzzyw", "cuda lstm", '"atention"', "ab", "12ab:attentio"]
)
def test_what_cannot_be_corrected_stays_as_it_is(engine: Engine, query: str) -> None:
    answer = search(engine, query)
    assert (answer.total, answer.correction) == (0, None)


@pytest.mark.parametrize(
    ("query", "marked", "says", "suggestion"),
    [
        ("x trak:theory", "trak", 'no qualifier "trak:"; did you mean "track"?', "x track:theory"),
        ("foo:bar", "foo", "known: track, kind", None),
        ("-track:teory", "teory", 'did you mean "theory"?', "-track:theory"),
        ("kind:papr", "papr", 'did you mean "paper"?', "kind:paper"),
        ("has:claims", "claims", "known: impl", None),
        ("claim:false", "false", "known: reproduced, not-reproduced", None),
        ("sort:size", "size", "known: date", None),
        ("year:14", "14", "2014..2017", None),
        ("year:..", "..", "2014..2017", None),
        ("year:2017..2014", "2017..2014", "end before they begin", "year:2014..2017"),
        ("from:lsmt", "lsmt", 'the id "lsmt"; did you mean "lstm"?', "from:lstm"),
        ('before:"zzz"', "zzz", 'no milestone has the id "zzz"', None),
        ("tag:attn", "attn", 'no milestone has the tag "attn"', "tag:attention"),
        ("track: theory", "track", "lacks a value: theory, software", None),
        ('cuda "open', '"', "never closed", None),
        ("-sort:date", "sort", "can't be negated", None),
        ("sort:date sort:title", "title", "one sort: already", None),
    ],
)
def test_a_bad_query_is_pointed_at(engine: Engine, query: str, marked: str, says: str, suggestion: str | None) -> None:
    with pytest.raises(BadQuery) as caught:
        search(engine, query)
    error = caught.value
    assert query[error.position : error.position + error.length] == marked
    assert says in error.message
    assert error.suggestion == suggestion
    message, shown, marker = str(error).splitlines()
    assert (message, shown) == (error.message, f"  {query}")
    assert marker == f"  {' ' * error.position}{'^' * len(marked)}"


@pytest.mark.parametrize("query", ["word " * 51, "x" * 1001, "-a " * 334])
def test_a_query_too_long_is_refused(engine: Engine, query: str) -> None:
    with pytest.raises(BadQuery, match="at most"):
        search(engine, query)


# Laws

words = st.sampled_from(["attention", "cuda", "neural", "long", "zebra", '"long short"', "lstm", "a", "short-term"])
years = st.integers(1990, 2020)
filters = st.one_of(
    st.sampled_from(TRACKS).map("track:{}".format),
    st.sampled_from(KINDS).map("kind:{}".format),
    st.sampled_from(["reproduced", '"not reproduced"', "inconclusive", "unchecked"]).map("claim:{}".format),
    st.sampled_from(["rnn", "gpu", "attention"]).map("tag:{}".format),
    st.sampled_from(["sepp", '"Ashish V"', "NVIDIA", "é"]).map("author:{}".format),
    st.tuples(st.sampled_from(["before", "after", "from", "to"]), st.sampled_from(IDS)).map(":".join),
    years.map("year:{}".format),
    st.lists(years, min_size=2, max_size=2).map(lambda two: "year:{}..{}".format(*sorted(two))),
    st.just("has:impl"),
)
terms = st.builds("{}{}".format, st.sampled_from(["", "-"]), words | filters)
queries = st.lists(terms, max_size=4).map(" ".join)
anything = st.text() | st.lists(
    st.sampled_from(
        [*QUALIFIERS, ":", '"', "-", " ", "*", "(", ")", "OR", "NOT", "NEAR", "^", "+", "'", "..", "2014", "a"]
    )
).map("".join)
law = settings(max_examples=100, deadline=None)


@law
@given(anything)
@example('"" *')
@example("a AND (b OR")
@example("{id}: x")
def test_any_text_is_answered_or_refused(engine: Engine, query: str) -> None:
    with contextlib.suppress(BadQuery):
        answer = search(engine, query)
        assert 0 <= len(answer.hits) == answer.total <= len(TIMELINE)


@law
@given(anything | queries)
def test_the_grammar_goes_round(query: str) -> None:
    with contextlib.suppress(BadQuery):
        once = parse(query)
        assert parse(str(once)) == once
        assert str(parse(str(once))) == str(once)


@law
@given(anything | queries)
def test_a_refusal_points_into_the_query(query: str) -> None:
    try:
        parse(query)
    except BadQuery as error:
        assert 0 <= error.position < error.position + error.length <= len(query)


@law
@given(queries, words | filters)
def test_a_term_and_its_negation_part_the_whole(engine: Engine, query: str, term: str) -> None:
    whole, with_it, without = (uncorrected(engine, f"{query} {more}") for more in ("", term, f"-{term}"))
    assert with_it | without == whole
    assert not with_it & without


@law
@given(queries, queries)
def test_terms_narrow_in_any_order(engine: Engine, one: str, other: str) -> None:
    both = uncorrected(engine, f"{one} {other}")
    assert both == uncorrected(engine, one) & uncorrected(engine, other) == uncorrected(engine, f"{other} {one}")


@law
@given(queries)
def test_facets_count_what_their_qualifier_would_leave(engine: Engine, query: str) -> None:
    answer = search(engine, query)
    query = answer.correction or query
    for facet in ("track", "kind", "decade", "impl"):
        assert sum(answer.facets[facet].values()) == answer.total
    qualifiers = {"track": "track:{}", "kind": "kind:{}", "tag": "tag:{}", "verdict": "claim:{}"}
    for facet, counts in answer.facets.items():
        for value, count in counts.items():
            if facet == "decade":
                term = f"year:{value[:4]}..{value[:3]}9"
            elif facet == "impl":
                term = "has:impl" if value == "yes" else "-has:impl"
            else:
                term = qualifiers[facet].format(value)
            assert count == len(uncorrected(engine, f"{query} {term}")), term


@pytest.mark.parametrize("id", IDS)
def test_lineage_qualifiers_agree_with_the_graph(engine: Engine, id: str) -> None:
    whole = graph.lineage(engine)
    assert uncorrected(engine, f"from:{id}") == {step.id for step in graph.descendants(whole, id)}
    assert uncorrected(engine, f"to:{id}") == {step.id for step in graph.ancestors(whole, id)}


def uncorrected(engine: Engine, query: str) -> set[str]:
    answer = search(engine, query)
    return set() if answer.correction else set(ids(answer))
