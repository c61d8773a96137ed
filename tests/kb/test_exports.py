"""Every export is read back by another program's reader, and text from the timeline stays text."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb import exports, loader, places

ENTRIES = [
    milestone.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for milestone in loader.load(places.TIMELINE).milestones
]
HOSTILE = {
    "id": "end", "track": "theory", "kind": "paper",
    "title": 'A <script>alert(1)</script> & 100% "title_" {x}', "short": 'a "b" <i>',
    "date": "2014-06", "authors": ["Łukasz K.", "A & B"], "idea": "</article><script>alert(2)</script>",
    "story": "<img src=x onerror=alert(3)> [x](javascript:alert(4))\n\n$$E = m c^2$$\n\nand $\\alpha < \\beta$",
    "links": [{"to": "nowhere", "as": "builds_on"}], "sources": [{"url": "https://example.org/?a=1&b=2", "read": "2026-01-01"}],
}  # fmt: skip


@pytest.mark.parametrize("name", exports.FORMATS)
def test_nothing_at_all_is_still_a_file(name: str) -> None:
    assert isinstance(exports.FORMATS[name]([]), str)


def test_json_and_csv_hold_everything() -> None:
    assert json.loads(exports.as_json(ENTRIES)) == ENTRIES
    rows = list(csv.DictReader(io.StringIO(exports.as_csv(ENTRIES))))
    assert [row["id"] for row in rows] == [entry["id"] for entry in ENTRIES]
    assert [json.loads(row["links"] or "[]") for row in rows] == [entry.get("links", []) for entry in ENTRIES]


def test_graphml_is_the_graph() -> None:
    graph = nx.parse_graphml(exports.as_graphml([*ENTRIES, HOSTILE]), force_multigraph=True)
    assert set(graph) == {entry["id"] for entry in ENTRIES} | {"end"}
    links = {(e["id"], link["to"], link["as"]) for e in ENTRIES for link in e.get("links", [])}
    assert {(a, b, data["type"]) for a, b, data in graph.edges(data=True)} == links
    assert graph.nodes["end"]["short"] == 'a "b" <i>'


def test_a_selection_has_the_links_within_it_only() -> None:
    some = [entry for entry in ENTRIES if entry["id"] in ("backprop", "dropout", "mnist")]
    graph = nx.parse_graphml(exports.as_graphml(some), force_multigraph=True)
    assert set(graph) == {"backprop", "dropout", "mnist"}
    assert exports.as_mermaid(some).count("-->") == graph.number_of_edges()


def test_mermaid_labels_cannot_break_out() -> None:
    text = exports.as_mermaid([HOSTILE])
    assert text.splitlines()[1] == '  m_end["a #quot;b#quot; #lt;i#gt;, 2014"]:::theory'


def test_bibtex_balances_and_escapes() -> None:
    text = exports.as_bibtex([HOSTILE])
    assert r"100\% " in text and r"title\_" in text and r"\{x\}" in text and "Łukasz K. and A \\& B" in text
    assert text.startswith("@article{end,") and "month = jun," in text
    every = exports.as_bibtex(ENTRIES)
    assert len(re.findall(r"(?m)^@\w+\{[a-z0-9-]+,$", every)) == len(ENTRIES)


@given(st.text())
def test_tex_leaves_no_bare_special_character(text: str) -> None:
    escaped = exports._tex(text)
    bare = re.sub(r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\[{}$&#_%]", "", escaped)
    assert not re.search(r"[\\{}$&#_%~^]", bare)


def test_jsonld_types_and_identifiers() -> None:
    things = {thing["@id"]: thing for thing in json.loads(exports.as_jsonld(ENTRIES))["@graph"]}
    assert things["#dropout"]["@type"] == "ScholarlyArticle"
    assert {"@id": "#backprop"} in things["#dropout"]["isBasedOn"]
    assert things["#dropout"]["author"][0] == {"@type": "Person", "name": "Nitish Srivastava"}


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_is_one_page_that_loads_nothing_and_runs_no_text() -> None:
    page = Seen()
    page.feed(exports.as_html([*ENTRIES, HOSTILE]))
    names = [tag for tag, _ in page.tags]
    assert names.count("article") == len(ENTRIES) + 1
    assert names.count("script") == 1 and "img" not in names and "link" not in names
    assert "math" in names
    for _, attributes in page.tags:
        assert "src" not in attributes and not any(key.startswith("on") for key in attributes)
        assert not (attributes.get("href") or "").lower().startswith(("javascript", "data"))
    inner = {a["href"] for tag, a in page.tags if tag == "a" and a["href"].startswith("#")}
    ids = {f"#{a['id']}" for tag, a in page.tags if tag == "article"}
    assert inner <= ids
