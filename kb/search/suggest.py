"""Other queries to try where a query matches nothing."""

import difflib
import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, text

from kb.search.normalize import casefold_ascii
from kb.search.query_language import Query, Term, parse
from kb.search.sql import quote_phrase

MIN_CORRECTED_LENGTH = 4  # letters; shorter words are too near to too many others
MAX_LENGTH_DIFFERENCE = 3
MIN_SIMILARITY = 0.75  # as difflib counts it
NAME_COLUMNS = "{id short title} : "  # restricts an FTS5 expression to a milestone's names
# The words of a question that don't say what it is about.
STOP_WORDS = frozenset(
    """
    a about after all an and any are as at be because been before behind between by came can come
    comes could did do does doing done first for from gave get give good had has have how i in into
    is it its know made make makes many me most much my of on one or our out possible should so
    tell than that the their them then there these they this to today use used was we were what
    when where which who whom whose why will with without work works would you your
    """.split()  # noqa: SIM905
)


def suggest_queries(connection: Connection, query: Query) -> Iterator[Query]:
    """Queries to try instead, the most similar first."""
    corrected = _correct_spelling(connection, query)
    if corrected:
        yield corrected
    yield from _question_subject(connection, corrected or query)


def _correct_spelling(connection: Connection, query: Query) -> Query | None:
    """The query with each word that no milestone has replaced by the most similar one of theirs.

    None if no word is replaced.
    """
    connection.exec_driver_sql(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary "
        "USING fts5vocab(main, milestone_text, row)"
    )
    vocabulary = connection.execute(text("SELECT term FROM temp.vocabulary")).scalars().all()
    words = query.text
    for term in reversed(query.words()):
        if not term.phrase and ":" not in term.value:
            corrected = re.sub(
                r"[^\W_]+", lambda token: _nearest_word(token[0], vocabulary), term.value
            )
            words = words[: term.position] + corrected + words[term.position + term.length :]
    suggestion = parse(words)
    return None if suggestion == query else suggestion


def _nearest_word(word: str, vocabulary: Sequence[str]) -> str:
    """The word of the vocabulary most similar to this one; the word itself if it is known."""
    token = casefold_ascii(word)
    if len(token) < MIN_CORRECTED_LENGTH or any(term.startswith(token) for term in vocabulary):
        return word
    candidates = [
        term for term in vocabulary if abs(len(term) - len(token)) <= MAX_LENGTH_DIFFERENCE
    ]
    matches = difflib.get_close_matches(token, candidates, n=1, cutoff=MIN_SIMILARITY)
    return matches[0] if matches else word


def _question_subject(connection: Connection, query: Query) -> Iterator[Query]:
    """A question reduced to its subject: without stop words, then only words in milestones' names.

    Nothing for a query that has no stop words, or no other words.
    """
    words = query.words()
    content = [term for term in words if _is_content(term)]
    if not content or len(content) == len(words):
        return
    yield _keep_words(query, content)
    count = text("SELECT count(*) FROM milestone_text WHERE milestone_text MATCH :words")
    named: list[Term] = []
    for term in content:
        phrases = [NAME_COLUMNS + quote_phrase(word.value) for word in [*named, term]]
        if connection.execute(count, {"words": " AND ".join(phrases)}).scalar():
            named.append(term)
    if named:
        yield _keep_words(query, named)


def _is_content(term: Term) -> bool:
    return casefold_ascii(term.value).strip("?!.,'") not in STOP_WORDS


def _keep_words(query: Query, kept: Sequence[Term]) -> Query:
    """The query without the words that aren't among `kept`; its qualifiers stay."""
    words = query.text
    for term in reversed(query.words()):
        if term not in kept:
            words = words[: term.position] + words[term.position + term.length :]
    return parse(" ".join(words.split()))
