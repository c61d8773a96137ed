"""Other queries to try where a query matches nothing."""

import dataclasses
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
PUNCTUATION = "?!.,;:'"
NAME_COLUMNS = "{id short title} : "  # restricts an FTS5 expression to a milestone's names
# The words of a question that don't say what it is about.
STOP_WORDS = frozenset(
    """
    a about after all an and any are as at be because become became been before behind between build
    built by came can come comes could did do does doing done enable enabled first for from gave get
    give good had has have hold holds how i in influence influenced into invented is it its know
    lead led machine made make makes many me mean means most much my need needed needs of on one or
    our out possible reproduce reproduced reproduces should so tell than that the their them then
    there these they this to today true use used was we were what when where which who whom whose
    why will with without work works would you your
    """.split()  # noqa: SIM905
)
QUESTION_WORDS = frozenset(
    "are can did do does how is was were what when where which who why".split()  # noqa: SIM905
)


def question_about(connection: Connection, query: Query) -> Query | None:
    """The query for what a question is about: all of its content words are in a milestone's names.

    None where the query isn't a question, or not about a milestone.
    """
    words = query.words()
    if len(words) < 2 or casefold_ascii(words[0].value) not in QUESTION_WORDS:
        return None
    content = [term for term in words if _is_content(term)]
    if content and _is_named(connection, content):
        return _keep_words(query, content)
    return None


def _is_named(connection: Connection, terms: Sequence[Term]) -> bool:
    """Whether a milestone has all of these words in its names."""
    count = text("SELECT count(*) FROM milestone_text WHERE milestone_text MATCH :words")
    phrases = [NAME_COLUMNS + quote_phrase(term.value.strip(PUNCTUATION)) for term in terms]
    return bool(connection.execute(count, {"words": " AND ".join(phrases)}).scalar())


def suggest_queries(connection: Connection, query: Query) -> Iterator[Query]:
    """Queries to try instead, the most similar first."""
    corrected = _correct_spelling(connection, query)
    if corrected:
        yield corrected
    if subject := _question_subject(corrected or query):
        yield subject
    # Any word will do: one that no milestone has does no harm, so it isn't corrected at first.
    for written in filter(None, [query, corrected]):
        if subject := _question_subject(written):
            yield dataclasses.replace(subject, any_word=True)


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


def _question_subject(query: Query) -> Query | None:
    """A question without its stop words; None if it has none, or no other words."""
    words = query.words()
    content = [term for term in words if _is_content(term)]
    return _keep_words(query, content) if 0 < len(content) < len(words) else None


def _is_content(term: Term) -> bool:
    return casefold_ascii(term.value).strip(PUNCTUATION) not in STOP_WORDS


def _keep_words(query: Query, kept: Sequence[Term]) -> Query:
    """The query without the words that aren't among `kept`; its qualifiers stay."""
    words = query.text
    for term in reversed(query.words()):
        if term not in kept:
            words = words[: term.position] + words[term.position + term.length :]
    return parse(" ".join(words.split()).rstrip("?! "))
