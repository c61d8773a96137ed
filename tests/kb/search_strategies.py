"""Queries for property tests: valid ones about the small timeline, and arbitrary text."""

from hypothesis import settings
from hypothesis import strategies as st

from kb.schema import KINDS, TRACKS
from kb.search import QUALIFIERS
from tests.kb.search_timeline import IDS

EXAMPLES = settings(max_examples=100, deadline=None)
WORDS = st.sampled_from(
    ["attention", "cuda", "neural", "long", "zebra", '"long short"', "lstm", "a", "short-term"]
)
VERDICTS = ["reproduced", '"not reproduced"', "inconclusive", "unchecked"]
YEARS = st.integers(1990, 2020)
YEAR_RANGES = st.lists(YEARS, min_size=2, max_size=2).map(sorted)
LINEAGE = st.tuples(st.sampled_from(["before", "after", "from", "to"]), st.sampled_from(IDS))
FILTERS = st.one_of(
    st.sampled_from(TRACKS).map("track:{}".format),
    st.sampled_from(KINDS).map("kind:{}".format),
    st.sampled_from(VERDICTS).map("claim:{}".format),
    st.sampled_from(["rnn", "gpu", "attention"]).map("tag:{}".format),
    st.sampled_from(["sepp", '"Ashish V"', "NVIDIA", "é"]).map("author:{}".format),
    LINEAGE.map(":".join),
    YEARS.map("year:{}".format),
    YEAR_RANGES.map(lambda years: "year:{}..{}".format(*years)),
    st.just("has:impl"),
)
TERMS = st.builds("{}{}".format, st.sampled_from(["", "-"]), WORDS | FILTERS)
QUERIES = st.lists(TERMS, max_size=4).map(" ".join)
# What means something to FTS5 or to the query language.
OPERATORS = [":", '"', "-", " ", "*", "(", ")", "OR", "NOT", "NEAR", "^", "+", "'", ".."]
TOKENS = st.sampled_from([*QUALIFIERS, *OPERATORS, "2014", "a"])
ANY_TEXT = st.text() | st.lists(TOKENS).map("".join)
