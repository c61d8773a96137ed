"""The formats of JSON objects: OpenAlex, Semantic Scholar, CSL, Papers with Code, plain keys."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kb.literature.readers.field_names import (
    assign_names,
    catalogue_names,
    people,
    unread_notes,
)
from kb.literature.readers.json_objects import read_objects
from kb.literature.readers.source import TextSource
from kb.literature.works import Record, Unreadable, Work, make_work

Convert = Callable[[dict[str, Any]], Work | Unreadable]


def read_plain(source: TextSource) -> Iterator[Record]:
    """Objects with keys such as title, authors, year, venue, doi, arxiv, url, abstract and code."""
    return _read_converted(source, lambda record: _convert_plain(record, source.columns))


def read_openalex(source: TextSource) -> Iterator[Record]:
    """Works as OpenAlex publishes them."""
    return _read_converted(source, _convert_openalex)


def read_pwc_papers(source: TextSource) -> Iterator[Record]:
    """The papers of the Papers with Code dump."""
    return _read_converted(source, _convert_pwc_paper)


def read_pwc_links(source: TextSource) -> Iterator[Record]:
    """The links from papers to repositories of the Papers with Code dump."""
    return _read_converted(source, _convert_pwc_link)


def read_csl(source: TextSource) -> Iterator[Record]:
    """CSL-JSON, as Zotero, Pandoc and Crossref write it."""
    return _read_converted(source, _convert_csl)


def read_semantic_scholar(source: TextSource) -> Iterator[Record]:
    """Papers as Semantic Scholar's API and its data sets have them."""
    return _read_converted(source, _convert_semantic_scholar)


def _read_converted(source: TextSource, convert: Convert) -> Iterator[Record]:
    for where, record in read_objects(source):
        if isinstance(record, Unreadable):
            yield where, record
            continue
        try:
            yield where, convert(record)
        except (TypeError, AttributeError, KeyError, ValueError, RecursionError) as error:
            yield where, Unreadable(f"not a record of this format: {error!r}"[:200])


def _convert_plain(record: dict[str, Any], columns: Mapping[str, str]) -> Work | Unreadable:
    assigned = assign_names(record, columns)
    fields = {field: _plain_value(record[name]) for field, name in assigned.items()}
    if "authors_parsed" in record:  # the catalogue of arXiv
        fields.setdefault("arxiv", record.get("id"))
    code = record[assigned["code"]] if "code" in assigned else ()
    return make_work(
        **fields
        | {
            "authors": people(record[assigned["authors"]]) if "authors" in assigned else (),
            "code": [code] if isinstance(code, str) else code or (),
            "key": f"id:{record['id']}" if record.get("id") else "",
            "names": catalogue_names(record.get("id"), fields.get("url")),
            "notes": unread_notes(record, assigned),
        }
    )


def _plain_value(value: Any) -> Any:
    """The first of several values, as Crossref has titles; the name of a venue's object."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get("name") or value.get("display_name") or _csl_year(value)
    return value


def _convert_csl(record: dict[str, Any]) -> Work | Unreadable:
    return make_work(
        title=_plain_value(record.get("title")),
        authors=people(record.get("author") or record.get("editor")),
        year=next(
            filter(None, (_csl_year(record.get(name)) for name in ("issued", "published"))), ""
        ),
        venue=_plain_value(record.get("container-title"))
        or record.get("event-title")
        or record.get("publisher"),
        doi=record.get("DOI"),
        arxiv=_csl_arxiv(record),
        url=record.get("URL"),
        abstract=record.get("abstract"),
        key=f"csl:{record['id']}" if record.get("id") else "",
    )


def _csl_year(date: Any) -> str:
    if not isinstance(date, dict):
        return str(date or "")
    parts = date.get("date-parts") or []
    first = parts[0] if parts else None
    year = first[0] if isinstance(first, list) and first else first
    return str(year or date.get("raw") or date.get("literal") or date.get("season") or "")


def _csl_arxiv(record: dict[str, Any]) -> str:
    number = str(record.get("number") or record.get("note") or "")
    return number.lower().removeprefix("arxiv:") if number.lower().startswith("arxiv:") else ""


def _convert_semantic_scholar(record: dict[str, Any]) -> Work | Unreadable:
    ids = record.get("externalIds") or record.get("externalids") or {}
    corpus_id = record.get("corpusId") or record.get("corpusid")
    names = [f"s2:{record['paperId']}"] if record.get("paperId") else []
    names += [f"s2corpus:{corpus_id}"] if corpus_id else []
    references = record.get("references") or []
    open_access = record.get("openAccessPdf") or {}
    return make_work(
        title=record.get("title"),
        authors=people(record.get("authors")),
        year=record.get("year") or record.get("publicationDate") or record.get("publicationdate"),
        venue=record.get("venue") or _plain_value(record.get("journal") or ""),
        doi=ids.get("DOI") or ids.get("doi"),
        arxiv=ids.get("ArXiv") or ids.get("arxiv"),
        url=record.get("url") or open_access.get("url"),
        abstract=record.get("abstract"),
        names=names,
        cites=[f"s2:{paper['paperId']}" for paper in references if paper.get("paperId")],
    )


def _convert_openalex(record: dict[str, Any]) -> Work | Unreadable:
    locations = [record.get("primary_location"), *(record.get("locations") or [])]
    locations = [location for location in locations if location]
    urls = [location.get("landing_page_url") or "" for location in locations]
    source = (locations[0].get("source") or {}) if locations else {}
    inverted_index = record.get("abstract_inverted_index") or {}
    words = [(place, word) for word, places in inverted_index.items() for place in places]
    return make_work(
        title=record.get("display_name") or record.get("title"),
        authors=[
            authorship["author"]["display_name"] for authorship in record.get("authorships") or []
        ],
        year=record.get("publication_year"),
        venue=source.get("display_name") or "",
        doi=record.get("doi"),
        arxiv=next((url for url in urls if "arxiv.org/abs/" in url), ""),
        url=next(filter(None, urls), ""),
        abstract=" ".join(word for _, word in sorted(words)),
        names=[_openalex_name(record.get("id"))],
        cites=[_openalex_name(work) for work in record.get("referenced_works") or []],
    )


def _openalex_name(url: Any) -> str:
    """https://openalex.org/W1 -> openalex:W1"""
    name = str(url or "").rsplit("/", 1)[-1]
    return f"openalex:{name}" if name else ""


def _convert_pwc_paper(record: dict[str, Any]) -> Work | Unreadable:
    return make_work(
        title=record.get("title"),
        authors=record.get("authors"),
        year=(record.get("date") or "")[:4],
        venue=record.get("proceeding") or record.get("conference"),
        arxiv=record.get("arxiv_id"),
        url=record.get("url_abs") or record.get("paper_url"),
        abstract=record.get("abstract"),
        names=[f"pwc:{record['paper_url']}"],
        code=[record["repo_url"]] if record.get("repo_url") else (),
    )


def _convert_pwc_link(record: dict[str, Any]) -> Work | Unreadable:
    """A paper's title and one repository; the name is the paper's, so the two are merged."""
    return make_work(
        title=record.get("paper_title"),
        arxiv=record.get("paper_arxiv_id"),
        url=record.get("paper_url_abs") or record.get("paper_url"),
        names=[f"pwc:{record['paper_url']}"],
        code=[record["repo_url"]],
    )
