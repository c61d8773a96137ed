"""Which milestone of the timeline an imported work is: by identifier, address or title."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kb.literature.matching import hash_name
from kb.literature.merging import (
    MAX_YEARS_APART,
    MIN_TITLE_WORDS,
    identifier_names,
    surname,
    title_words,
)
from kb.literature.works import Work, find_doi, find_year


def milestones_by_identifier(milestones: Iterable[Any]) -> dict[int, str]:
    """From the hash of each name that only one milestone has to the id of that milestone."""
    names: dict[int, set[str]] = {}
    for row in milestones:
        of_row = {name for work in milestone_works(row.entry) for name in milestone_names(work)}
        for name in of_row:
            names.setdefault(hash_name(name), set()).add(row.id)
    return {hash: next(iter(ids)) for hash, ids in names.items() if len(ids) == 1}


def milestone_works(entry: dict[str, Any]) -> list[Work]:
    """The milestone as others would cite it: with each of its addresses, by people or by makers."""
    people = [entry.get("authors", []), entry.get("makers", [])]
    addresses = [entry.get("url", ""), entry.get("repository", "")]
    year = find_year(entry["date"]) or 0
    return [
        Work(
            entry["title"],
            authors=tuple(authors),
            year=year + apart,
            doi=find_doi(entry.get("doi") or ""),
            arxiv=entry.get("arxiv") or "",
            url=url or "",
        )
        for authors in (list(filter(None, people)) or [[]])
        for url in addresses
        for apart in range(-MAX_YEARS_APART, MAX_YEARS_APART + 1)
    ]


def milestone_names(work: Work) -> list[str]:
    """The names by which a work is recognised as a milestone, the most reliable first.

    A short title needs the author, or an address; a longer one the author or the year.
    """
    words = title_words(work.title)
    title = f"title:{' '.join(words)}"
    author = surname(work)
    names = identifier_names(work)
    names += [f"{title}|{author}"] if author else []
    names += [f"url:{_plain_url(work.url)}"] if work.url else []
    if work.year and (len(words) >= MIN_TITLE_WORDS or not author):
        names.append(f"{title}|{work.year}")
    return names


def _plain_url(url: str) -> str:
    """The address without what doesn't change where it leads."""
    return re.sub(r"^https?://(www\.)?", "", url.lower()).removesuffix("/").removesuffix(".git")


def recognise(work: Work, milestones: Mapping[int, str]) -> str | None:
    """The id of the milestone that the work is, or None. The names that point to most decide."""
    found = [milestones.get(hash_name(name)) for name in milestone_names(work)]
    known = Counter(filter(None, found))
    return known.most_common(1)[0][0] if known else None
