"""The formats whose records are JSON objects: OpenAlex, Papers with Code, and plain keys."""

from collections.abc import Callable, Iterator
from typing import IO, Any

from kb.literature.readers.json_objects import read_objects
from kb.literature.works import Record, Unreadable, Work, make_work


def read_plain(file: IO[str]) -> Iterator[Record]:
    """Objects with the keys title, authors, year, venue, doi, arxiv, url, abstract and code."""
    return _read_converted(file, _convert_plain)


def read_openalex(file: IO[str]) -> Iterator[Record]:
    """Works as OpenAlex publishes them."""
    return _read_converted(file, _convert_openalex)


def read_pwc_papers(file: IO[str]) -> Iterator[Record]:
    """The papers of the Papers with Code dump."""
    return _read_converted(file, _convert_pwc_paper)


def read_pwc_links(file: IO[str]) -> Iterator[Record]:
    """The links from papers to repositories of the Papers with Code dump."""
    return _read_converted(file, _convert_pwc_link)


def _read_converted(
    file: IO[str], convert: Callable[[dict[str, Any]], Work | Unreadable]
) -> Iterator[Record]:
    for where, record in read_objects(file):
        if isinstance(record, Unreadable):
            yield where, record
            continue
        try:
            yield where, convert(record)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            yield where, Unreadable(f"not a record of this format: {error!r}"[:200])


def _convert_plain(record: dict[str, Any]) -> Work | Unreadable:
    code = record.get("code") or ()
    if isinstance(code, str):
        code = [code]
    names = [f"id:{record['id']}"] if record.get("id") else []
    return make_work(**{**record, "names": names, "cites": (), "code": code})


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
