"""JSON-LD with the vocabulary of schema.org."""

import json
from collections.abc import Sequence
from typing import Any

TYPES = {  # by kind
    "paper": "ScholarlyArticle",
    "book": "Book",
    "course": "Course",
    "article": "Article",
    "library": "SoftwareSourceCode",
    "framework": "SoftwareSourceCode",
    "tool": "SoftwareApplication",
    "chip": "Product",
    "system": "Product",
    "dataset": "Dataset",
    "benchmark": "Dataset",
    "model": "CreativeWork",
    "product": "SoftwareApplication",
    "event": "Event",
}
# The properties of some types are not those of a creative work.
DATE_PROPERTIES = {"Event": "startDate", "Product": "releaseDate"}
MAKER_PROPERTIES = {"Event": "organizer", "Product": "manufacturer"}
LINK_PROPERTIES = {"Event": "about", "Product": "isRelatedTo"}
CREATIVE_WORKS = set(TYPES.values()) - {"Event", "Product"}


def as_jsonld(entries: Sequence[dict[str, Any]]) -> str:
    document = {"@context": "https://schema.org", "@graph": list(map(_thing, entries))}
    return json.dumps(document, ensure_ascii=False, indent=2)


def _thing(entry: dict[str, Any]) -> dict[str, Any]:
    type_ = TYPES[entry["kind"]]
    people = [{"@type": "Person", "name": name} for name in entry.get("authors", [])]
    makers = [{"@type": "Organization", "name": name} for name in entry.get("makers", [])]
    links = [{"@id": f"#{link['to']}"} for link in entry.get("links", [])]
    thing = {
        "@id": f"#{entry['id']}",
        "@type": type_,
        "name": entry["title"],
        "alternateName": entry["short"],
        DATE_PROPERTIES.get(type_, "datePublished"): entry["date"],
        MAKER_PROPERTIES.get(type_, "author"): [*people, *makers],
        "description": " ".join(entry["idea"].split()),
        "url": entry.get("url"),
        "sameAs": _identifiers(entry),
        "keywords": entry.get("tags", []),
        LINK_PROPERTIES.get(type_, "isBasedOn"): links,
    }
    if type_ in CREATIVE_WORKS:
        thing["license"] = entry.get("licence")
        thing["citation"] = [source["url"] for source in entry["sources"]]
    if type_ == "SoftwareSourceCode":
        thing["codeRepository"] = entry.get("repository")
    return {name: value for name, value in thing.items() if value not in (None, [], "")}


def _identifiers(entry: dict[str, Any]) -> list[str]:
    """The addresses of its DOI, its arXiv identifier and its repository, if it has them."""
    addresses = {"doi": "https://doi.org/", "arxiv": "https://arxiv.org/abs/", "repository": ""}
    return [address + entry[name] for name, address in addresses.items() if name in entry]
