"""Every export is read back by another program's reader, and text from the timeline stays text."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyld import jsonld

from kb import loader, paths
from kb.exports import FORMATS
from kb.exports.bibtex import escape_tex, venue_type
from kb.literature import database, importing
from kb.literature.milestones import milestones_by_identifier
from kb.literature.search import search_works

ENTRIES = [
    milestone.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for milestone in loader.read_timeline(paths.TIMELINE).milestones
]
HOSTILE = {
    "id": "end",
    "track": "theory",
    "kind": "paper",
    "title": 'A <script>alert(1)</script> & 100% "title_" {x} $count',
    "short": 'a "b" <i>',
    "date": "2014-06",
    "authors": ["Łukasz K.", "A & B"],
    "idea": "</article><script>alert(2)</script>",
    "story": (
        "<img src=x onerror=alert(3)> [x](javascript:alert(4))\n\n"
        "$$E = m c^2$$\n\nand $\\alpha < \\beta$"
    ),
    "links": [{"to": "nowhere", "as": "builds_on"}],
    "sources": [{"url": "https://example.org/?a=1&b=2", "read": "2026-01-01"}],
}
SCHEMA_ORG = {  # the properties that schema.org gives these types, of those that are of use here
    "Thing": {"name", "alternateName", "description", "url", "sameAs", "subjectOf", "identifier"},
    "CreativeWork": {"author", "datePublished", "keywords", "license", "isBasedOn", "citation"},
    "Event": {"startDate", "organizer", "keywords", "about"},
    "Product": {"releaseDate", "manufacturer", "keywords", "isRelatedTo"},
}
SCHEMA_ORG["SoftwareSourceCode"] = SCHEMA_ORG["CreativeWork"] | {"codeRepository"}
NMTOKEN = re.compile(r"[-.:\w]+")  # what XML Schema lets an id be
KINDS = ("key", "node", "edge")  # the elements of GraphML that have an id
TEX_ESCAPES = re.compile(
    r"\\textbackslash\{\}|\\textasciitilde\{\}|\\textasciicircum\{\}|\\[{}$&#_%]"
)


@pytest.mark.parametrize("name", FORMATS)
def test_no_milestones_are_a_valid_export(name: str) -> None:
    assert isinstance(FORMATS[name]([]), str)


def test_json_and_csv_have_everything() -> None:
    assert json.loads(FORMATS["json"](ENTRIES)) == ENTRIES
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](ENTRIES))))
    assert [row["id"] for row in rows] == [entry["id"] for entry in ENTRIES]
    links = [json.loads(row["links"] or "[]") for row in rows]
    assert links == [entry.get("links", []) for entry in ENTRIES]


def test_no_cell_is_a_formula_or_a_number_by_mistake() -> None:
    entry = HOSTILE | {"title": "=HYPERLINK(1)", "idea": "-1 at most", "arxiv": "1409.1550"}
    [row] = csv.DictReader(io.StringIO(FORMATS["csv"]([entry])))
    assert row["title"] == "'=HYPERLINK(1)" and row["idea"] == "'-1 at most"
    assert row["arxiv"] == "arXiv:1409.1550"


def parse_graphml(entries: list[dict[str, Any]]) -> nx.MultiDiGraph:
    return nx.parse_graphml(FORMATS["graphml"](entries), force_multigraph=True)


def test_graphml_is_the_lineage() -> None:
    graph = parse_graphml([*ENTRIES, HOSTILE])
    assert set(graph) == {entry["id"] for entry in ENTRIES} | {"end"}
    links = {(e["id"], link["to"], link["as"]) for e in ENTRIES for link in e.get("links", [])}
    assert {(a, b, data["type"]) for a, b, data in graph.edges(data=True)} == links
    assert graph.nodes["end"]["label"] == 'a "b" <i>'
    assert {data["label"] for *_, data in graph.edges(data=True)} >= {"builds on", "runs on"}
    xml = ElementTree.fromstring(FORMATS["graphml"](ENTRIES))
    edges = xml.findall(".//{*}edge")
    assert len({edge.get("id") for edge in edges}) == len(edges) == len(links)
    declared = {key.get("id") for key in xml.findall("{*}key")}
    assert {data.get("key") for data in xml.findall(".//{*}data")} <= declared


@pytest.mark.parametrize("entries", [[], ENTRIES[:1], [*ENTRIES, HOSTILE]])
def test_graphml_keeps_to_its_schema(entries: list[dict[str, Any]]) -> None:
    """What graphml-structure.xsd and graphml-attributes.xsd ask of the elements that we write."""
    root = ElementTree.fromstring(FORMATS["graphml"](entries))
    namespace = "{http://graphml.graphdrawing.org/xmlns}"
    assert {element.tag.partition("}")[0] + "}" for element in root.iter()} == {namespace}
    *keys, graph = root
    assert root.tag == f"{namespace}graphml" and graph.tag == f"{namespace}graph"
    assert graph.attrib == {"edgedefault": "directed"}
    for key in keys:
        assert key.tag == f"{namespace}key" and set(key.attrib) == {
            *("id", "for", "attr.name", "attr.type")
        }
        assert NMTOKEN.fullmatch(key.get("attr.name", "")) and key.get("attr.type") == "string"
    ids_of = {kind: [e.get("id", "") for e in root.iter(namespace + kind)] for kind in KINDS}
    for kind, ids in ids_of.items():
        assert len(set(ids)) == len(ids), f"two of one id: {kind}"
        assert all(map(NMTOKEN.fullmatch, ids)), kind
    for element in graph:
        kind = element.tag.removeprefix(namespace)
        ends = {"id", "source", "target"} if kind == "edge" else {"id"}
        assert kind in ("node", "edge") and set(element.attrib) == ends
        assert {element.get(end) for end in ends - {"id"}} <= set(ids_of["node"])
        data = [each.get("key", "") for each in element.findall(f"{namespace}data")]
        assert len(set(data)) == len(data) == len(element), "one value for each key, nothing else"
        assert {key.get("for") for key in keys if key.get("id") in data} <= {kind}
        assert set(data) <= set(ids_of["key"])


def test_a_selection_has_only_the_links_within_it() -> None:
    selected = {"backprop", "dropout", "mnist"}
    entries = [entry for entry in ENTRIES if entry["id"] in selected]
    graph = parse_graphml(entries)
    assert set(graph) == selected
    assert FORMATS["mermaid"](entries).count("-->") == graph.number_of_edges()


def test_mermaid_labels_are_escaped() -> None:
    text = FORMATS["mermaid"]([HOSTILE])
    assert text.splitlines()[1] == '  m_end["a #quot;b#quot; #lt;i#gt;, 2014"]:::theory'


def test_bibtex_is_escaped() -> None:
    text = FORMATS["bibtex"]([HOSTILE])
    assert text.startswith("@article{end,") and "month = jun," in text
    for escaped in (r"100\% ", r"title\_", r"\{x\}", r"Łukasz K. and A \& B"):
        assert escaped in text
    first_lines = re.findall(r"(?m)^@\w+\{[a-z0-9-]+,$", FORMATS["bibtex"](ENTRIES))
    assert len(first_lines) == len(ENTRIES)


@pytest.mark.parametrize(
    ("venue", "expected"),
    [
        ("ICML 2006, 369-376", "inproceedings"),
        ("arXiv 1512.03385; CVPR 2016, 770-778", "inproceedings"),
        ("CVPR 2014, 580-587; arXiv:1311.2524", "inproceedings"),
        ("Proceedings of the 1988 Connectionist Models Summer School, 21-28", "inproceedings"),
        ("NeurIPS 2021 Workshop on Deep Generative Models", "inproceedings"),
        ("Proceedings of the IEEE 86(11), 2278-2324", "article"),
        ("Proceedings of the National Academy of Sciences 79(8), 2554-2558", "article"),
        ("Journal of Machine Learning Research 15, 1929-1958", "article"),
        ("Nature 323, 533-536", "article"),
        ("PhD thesis, Harvard University", "phdthesis"),
        ("Diploma thesis, Technische Universität München", "mastersthesis"),
        ("ICS Report 8604", "techreport"),
        ("arXiv 1301.3781", "misc"),
        ("Blog post", "misc"),
    ],
)
def test_the_type_of_an_entry_is_that_of_its_venue(venue: str, expected: str) -> None:
    assert venue_type(venue) == expected


def test_volume_and_pages_have_their_fields() -> None:
    entry = HOSTILE | {"venue": "Neural Computation 9(8), 1735-1780"}
    text = FORMATS["bibtex"]([entry])
    for field in ("journal = {Neural Computation}", "volume = {9}", "number = {8}"):
        assert field in text
    assert "pages = {1735--1780}" in text
    assert "booktitle = {ICML 2006}" in FORMATS["bibtex"]([HOSTILE | {"venue": "ICML 2006, 1-8"}])


def test_our_own_bibtex_brought_back_is_all_of_our_milestones(tmp_path: Path) -> None:
    (tmp_path / "milestones.bib").write_text(FORMATS["bibtex"](ENTRIES), encoding="utf-8")
    done = importing.import_file(tmp_path / "milestones.bib", home=tmp_path)
    assert (done.added, done.merged, done.rejected) == (len(ENTRIES), 0, 0)
    rows = [SimpleNamespace(id=entry["id"], entry=entry) for entry in ENTRIES]
    known = milestones_by_identifier(rows)
    hits = search_works(database.open_library(tmp_path), "", len(ENTRIES), known).hits
    assert {hit.milestone for hit in hits} == {entry["id"] for entry in ENTRIES}


@given(st.text())
def test_tex_has_no_special_character_left(text: str) -> None:
    assert not re.search(r"[\\{}$&#_%~^]", TEX_ESCAPES.sub("", escape_tex(text)))


def test_jsonld_has_types_and_identifiers() -> None:
    graph = json.loads(FORMATS["jsonld"](ENTRIES))["@graph"]
    dropout = next(thing for thing in graph if thing["@id"] == "#dropout")
    assert dropout["@type"] == "ScholarlyArticle"
    assert {"@id": "#backprop"} in dropout["isBasedOn"]
    assert dropout["author"][0] == {"@type": "Person", "name": "Nitish Srivastava"}


def test_jsonld_is_read_by_its_reference_processor() -> None:
    """Every name becomes a term of schema.org that its type has; nothing is dropped."""

    def load(url: str, options: dict[str, Any]) -> dict[str, Any]:
        assert url == "https://schema.org"
        context = {"@context": {"@vocab": "https://schema.org/"}}
        return {"document": context, "documentUrl": url, "contextUrl": None, "contentType": None}

    document = json.loads(FORMATS["jsonld"](ENTRIES))
    expanded = jsonld.expand(document, {"documentLoader": load, "base": "https://example.org/"})
    assert len(expanded) == len(ENTRIES)
    for thing in expanded:
        [type_] = thing.pop("@type")
        names = {name.removeprefix("https://schema.org/") for name in thing if name != "@id"}
        own = SCHEMA_ORG.get(type_.removeprefix("https://schema.org/"), set())
        assert names <= SCHEMA_ORG["Thing"] | (own or SCHEMA_ORG["CreativeWork"]), type_


class TagCollector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_loads_nothing_and_executes_no_text_of_milestones() -> None:
    page = TagCollector()
    page.feed(FORMATS["html"]([*ENTRIES, HOSTILE]))
    names = [tag for tag, _ in page.tags]
    assert names.count("article") == len(ENTRIES) + 1
    assert names.count("script") == 1
    assert "math" in names
    assert not {"img", "link"} & set(names)
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
        assert not (attributes.get("href") or "").lower().startswith(("javascript", "data"))


def test_links_within_the_html_page_have_targets() -> None:
    page = TagCollector()
    page.feed(FORMATS["html"]([*ENTRIES, HOSTILE]))
    addresses = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    ids = {f"#{attributes['id']}" for tag, attributes in page.tags if tag == "article"}
    assert {address for address in addresses if address.startswith("#")} <= ids
