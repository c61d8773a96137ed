"""The query language: what it accepts, and how it points at what it doesn't."""

import contextlib

import pytest
from hypothesis import given

from kb.search import BadQuery, parse
from tests.kb.search_strategies import ANY_TEXT, EXAMPLES, QUERIES


def check_error(error: BadQuery, query: str, marked: str, message: str) -> None:
    """Whether the error says this and marks that part of the query."""
    assert query[error.position : error.position + error.length] == marked
    assert message in error.message
    first_line, shown, marker = str(error).splitlines()
    assert (first_line, shown) == (error.message, f"  {query}")
    assert marker == f"  {' ' * error.position}{'^' * len(marked)}"


@pytest.mark.parametrize(
    ("query", "marked", "message", "suggestion"),
    [
        ("x trak:theory", "trak", 'no qualifier "trak:"; did you mean "track"?', "x track:theory"),
        ("foo:bar", "foo", "known: track, kind", None),
        ("-track:teory", "teory", 'did you mean "theory"?', "-track:theory"),
        ("kind:papr", "papr", 'did you mean "paper"?', "kind:paper"),
        ("has:claims", "claims", "known: impl", None),
        ("claim:false", "false", 'did you mean "fails"?', "claim:fails"),
        ("claim:xyz", "xyz", "known: reproduced, weaker, not-reproduced", None),
        ("sort:size", "size", "known: date", None),
        ("year:14", "14", "2014..2017", None),
        ("year:..", "..", "2014..2017", None),
        ("year:2017..2014", "2017..2014", "ends before it begins", "year:2014..2017"),
        ("track: theory", "track", "lacks a value: theory, software", None),
        ('cuda "open', '"', "never closed", None),
        ("-sort:date", "sort", "can't be negated", None),
        ("sort:date sort:title", "title", "given twice", None),
    ],
)
def test_an_error_is_marked_in_the_query(
    query: str, marked: str, message: str, suggestion: str | None
) -> None:
    with pytest.raises(BadQuery) as caught:
        parse(query)
    check_error(caught.value, query, marked, message)
    assert caught.value.suggestion == suggestion


@pytest.mark.parametrize("query", ["word " * 51, "x" * 1001, "-a " * 334])
def test_a_query_too_long_is_refused(query: str) -> None:
    with pytest.raises(BadQuery, match="at most"):
        parse(query)


@EXAMPLES
@given(ANY_TEXT | QUERIES)
def test_the_normal_form_parses_to_the_same_query(query: str) -> None:
    with contextlib.suppress(BadQuery):
        parsed = parse(query)
        assert parse(str(parsed)) == parsed
        assert str(parse(str(parsed))) == str(parsed)


@EXAMPLES
@given(ANY_TEXT | QUERIES)
def test_an_error_is_within_the_query(query: str) -> None:
    try:
        parse(query)
    except BadQuery as error:
        assert 0 <= error.position < error.position + error.length <= len(query)
