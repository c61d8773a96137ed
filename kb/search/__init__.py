"""The search box: a query in, ranked milestones with snippets and facets out.

    attention "neural machine" track:theory year:2014..2017 -tag:rnn has:impl from:lstm sort:date

`query_language` parses the text, `sql` answers the parsed query from the database, `suggest`
proposes other queries where nothing matches.
"""

import dataclasses

from sqlalchemy import Engine

from kb.search.query_language import QUALIFIERS, BadQuery, Query, Term, parse
from kb.search.sql import NO_ANSWER, Answer, Hit, answer_query, register_functions
from kb.search.suggest import question_about, suggest_queries

__all__ = ["QUALIFIERS", "Answer", "BadQuery", "Hit", "Query", "Term", "parse", "search"]


def search(engine: Engine, query: str, limit: int = 50) -> Answer:
    """Answers a query; the empty query matches every milestone and sorts by date.

    A question about one milestone ("What made AlexNet possible?") finds that milestone first, and
    what else has its name: `Answer.subject` is its id. What has no letters or digits, such as an
    emoji alone, matches nothing.

    Where nothing matches, the suggested queries are tried: first with the spelling corrected, then
    with only the words that a question is about, of which in the end one is enough. The first one
    with a match is answered instead, and `Answer.correction` is its text. `limit` restricts the
    hits, not the total or the facets.

    Raises BadQuery.
    """
    parsed = parse(query)
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")  # all statements read the same state of the database
        register_functions(connection)
        if query.strip() and not parsed.is_readable():
            return NO_ANSWER
        if about := question_about(connection, parsed):
            answer = answer_query(connection, about, limit)
            return dataclasses.replace(answer, correction=about.text, subject=answer.ids[0])
        answer = answer_query(connection, parsed, limit)
        if answer.total:
            return answer
        for suggestion in suggest_queries(connection, parsed):
            corrected = answer_query(connection, suggestion, limit)
            if corrected.total:
                return dataclasses.replace(
                    corrected, correction=suggestion.text, any_word=suggestion.any_word
                )
        return answer
