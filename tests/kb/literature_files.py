"""Files of literature for tests: a record of each format, and functions to write and read files."""

import gzip
import json
from pathlib import Path
from typing import Any

from kb.literature import database, readers, search
from kb.literature.works import Unreadable, Work

OPENALEX: dict[str, Any] = {
    "id": "https://openalex.org/W1",
    "doi": "https://doi.org/10.1000/A",
    "display_name": "A Work\nof Two Lines",
    "publication_year": 2015,
    "authorships": [{"author": {"display_name": "Ada B."}}, {"author": {"display_name": "Cy D."}}],
    "primary_location": {
        "landing_page_url": "https://doi.org/10.1000/a",
        "source": {"display_name": "Nature"},
    },
    "locations": [{"landing_page_url": "https://arxiv.org/abs/1501.00001", "source": None}],
    "abstract_inverted_index": {"world": [1], "Hello": [0]},
    "referenced_works": ["https://openalex.org/W2"],
}
PAPERS_WITH_CODE: dict[str, Any] = {
    "paper_url": "https://paperswithcode.com/paper/x",
    "arxiv_id": "1501.00001",
    "title": "A Work of Two Lines",
    "url_abs": "http://arxiv.org/abs/1501.00001v1",
    "abstract": "Hi.",
    "proceeding": None,
    "authors": ["Ada B."],
    "date": "2015-01-01",
}
PAPERS_WITH_CODE_LINK: dict[str, Any] = {
    "paper_url": "https://paperswithcode.com/paper/x",
    "paper_title": "A Work of Two Lines",
    "paper_arxiv_id": None,
    "paper_url_abs": None,
    "repo_url": "https://github.com/a/b",
    "is_official": True,
}


def write_file(folder: Path, name: str, content: Any) -> Path:
    """Writes text, or JSON; compressed if the name ends with .gz."""
    text = content if isinstance(content, str) else json.dumps(content)
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def read_works(path: Path) -> list[Work]:
    return [record for _, record in readers.read_works(path) if isinstance(record, Work)]


def read_errors(path: Path) -> dict[str, str]:
    """The error of each record that can't be read, by its place in the file."""
    return {
        place: str(record)
        for place, record in readers.read_works(path)
        if isinstance(record, Unreadable)
    }


def search_works(home: Path, query: str) -> search.Answer:
    return search.search_works(database.open_library(home), query)
