"""Which format a file has, by how it begins. A known form that can't be read is refused by name."""

import json
import re

from kb.literature.readers.csv_table import find_header, header_names
from kb.literature.readers.field_names import assign_names, normalize
from kb.literature.readers.json_objects import find_container
from kb.literature.readers.source import FORMS, TextSource
from kb.literature.works import Unreadable

BIBTEX = re.compile(r"(?m)^[ \t]{0,50}@[ \t]{0,20}\w+\s{0,20}[{(]")
RIS = re.compile(r"(?m)^(?:\ufeff)?TY {1,3}- ?\w*[ \t]*$")
WOS = re.compile(r"(?m)^(?:FN (?:Clarivate|Thomson|ISI)|PT [A-Z]\s*$)")
REFUSED = {  # a pattern at the beginning of a line, and what to do
    r"PMID- ?\d": "PubMed's own format: export RIS, or CSV",
    r"%0 \w+": "EndNote's tagged format: export RIS or BibTeX",
    r"<\?xml|<(?:xml|modsCollection|records|dblp|feed)\b": "XML: export BibTeX, RIS or CSV",
    r"<!DOCTYPE html|<html": "a web page, perhaps an error of the server: download it again",
    r"- id:|references:|---\s*$": "YAML: convert it to CSL-JSON, as pandoc can",
}
MAX_KEYS = 12  # in an error


def detect_format(source: TextSource) -> str:
    """A name of READERS. Raises Unreadable."""
    if source.no_text:
        raise Unreadable(f"{source.path} is {source.no_text}; what can be read is {FORMS}")
    start = source.head.lstrip("\ufeff \t\n")
    if "\0" in start:
        raise Unreadable(f"{source.path} is not a text file; what can be read is {FORMS}")
    if start.startswith(("{", "[")):
        return _detect_json_format(source, start)
    for pattern, name in REFUSED.items():
        if re.match(pattern, start):
            raise Unreadable(f"{source.path} is {name}; what can be read is {FORMS}")
    if RIS.search(start):
        return "ris"
    if WOS.search(start):
        return "wos"
    if BIBTEX.search(start):
        return "bibtex"
    if find_header(source):
        return "csv"
    raise Unreadable(describe_table(source))


def describe_table(source: TextSource) -> str:
    """Why a file can't be read as a table, with the remedy."""
    names = [name for name in header_names(source) if name.strip()]
    if len(names) > 1:
        return (
            f"{source.path}: no column for the title; there are {', '.join(names)[:300]}. "
            f"If one is it, name it: --map title={names[0][:40]!r}. What can be read besides CSV "
            f"is {FORMS}"
        )
    return (
        f"{source.path} has none of the formats that can be read: {FORMS}; "
        "the first line of CSV names its columns, `title` among them"
    )


def _detect_json_format(source: TextSource, start: str) -> str:
    record = _first_record(start)
    keys = set(record)
    if {"paper_url", "repo_url"} <= keys:
        return "pwc-links"
    if "paper_url" in keys:
        return "pwc-papers"
    if {"authorships", "abstract_inverted_index", "referenced_works"} & keys:
        return "openalex"
    if {"paperId", "externalIds", "externalids", "corpusid", "corpusId"} & keys:
        return "semantic-scholar"
    if "container-title" in keys or ("issued" in keys and "title" in keys):
        return "csl"
    if {"type", "author"} <= keys and _has_family_names(record["author"]):
        return "csl"
    if "display_name" in keys and "openalex" in str(record.get("id")):
        return "openalex"
    if keys and "title" not in assign_names(keys, source.columns):
        shown = ", ".join(sorted(keys, key=normalize)[:MAX_KEYS])
        raise Unreadable(
            f"{source.path} is JSON of no known format: its records have {shown}, and no title. "
            f"If one of them is it, name it: --map title=KEY. What can be read is {FORMS}"
        )
    return "json"


def _has_family_names(authors: object) -> bool:
    return isinstance(authors, list) and any(
        isinstance(author, dict) and {"family", "literal"} & set(author) for author in authors
    )


def _first_record(start: str) -> dict[str, object]:
    """The first object, of those in an array or in a page of results; {} if it can't be read."""
    array = 1 if start.startswith("[") else find_container(start)
    text = start[array:].lstrip()
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):  # it is longer than what was read, or damaged
        return dict.fromkeys(re.findall(r'"([\w-]{1,60})"\s{0,5}:', text[:5000]))
    return record if isinstance(record, dict) else {}
