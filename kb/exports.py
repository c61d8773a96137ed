"""Milestones for other programs: JSON, CSV, BibTeX, GraphML, Mermaid, JSON-LD, and one HTML page that works offline.

Each format is a function from milestones (as the YAML has them) to text; links that lead out of the selection are left
out of the graphs and kept in the rest.
"""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

Entry = dict[str, Any]


def as_json(entries: Sequence[Entry]) -> str:
    return json.dumps(list(entries), ensure_ascii=False, indent=2)


def as_csv(entries: Sequence[Entry]) -> str:
    """One line a milestone; lists and mappings stand in their cell as JSON."""
    keys = list(dict.fromkeys(key for entry in entries for key in entry))
    out = io.StringIO()
    writer = csv.DictWriter(out, keys, lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        writer.writerow({k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in entry.items()})
    return out.getvalue()


# BibTeX (for biber: names and titles keep their accents)

BIBTEX_TYPE = {"paper": "article", "book": "book", "library": "software", "framework": "software", "tool": "software",
               "dataset": "dataset", "benchmark": "dataset"}  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def as_bibtex(entries: Sequence[Entry]) -> str:
    return "\n\n".join(_bibtex(entry) for entry in entries)


def _bibtex(entry: Entry) -> str:
    year, _, rest = entry["date"].partition("-")
    month = rest[:2]
    makers = " and ".join(f"{{{_tex(maker)}}}" for maker in entry.get("makers", []))
    people = " and ".join(map(_tex, entry.get("authors", [])))
    fields = {
        "title": "{" + _tex(entry["title"]) + "}",  # braces inside: the title keeps its capitals
        "author": people or makers,
        "publisher": makers if people else "",
        "year": year,
        "month": MONTHS[int(month) - 1] if month else "",
        "journal" if entry["kind"] == "paper" else "howpublished": _tex(entry.get("venue", "")),
        "doi": entry.get("doi", ""),
        "eprint": entry.get("arxiv", ""),
        "archiveprefix": "arXiv" if entry.get("arxiv") else "",
        "url": entry.get("url", ""),
    }
    lines = [
        f"  {name} = {value if name == 'month' else '{' + value + '}'}," for name, value in fields.items() if value
    ]
    return "\n".join([f"@{BIBTEX_TYPE.get(entry['kind'], 'misc')}{{{entry['id']},", *lines, "}"])


def _tex(text: str) -> str:
    """The ten characters that mean something to TeX, made harmless."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return re.sub(r"[\\{}$&#_%~^]", lambda found: special.get(found[0], "\\" + found[0]), " ".join(text.split()))


# Graphs


def _links(entries: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    """From each milestone to those of the selection that it is linked to."""
    ids = {entry["id"] for entry in entries}
    for entry in entries:
        for link in entry.get("links", []):
            if link["to"] in ids:
                yield entry["id"], link


def as_graphml(entries: Sequence[Entry]) -> str:
    import networkx as nx

    graph = nx.MultiDiGraph()
    for entry in entries:
        graph.add_node(entry["id"], **{key: entry[key] for key in ("short", "title", "date", "track", "kind")})
    for source, link in _links(entries):
        graph.add_edge(source, link["to"], key=link["as"], type=link["as"], how=link.get("how", ""))
    return "\n".join(nx.generate_graphml(graph, prettyprint=True))


def as_mermaid(entries: Sequence[Entry]) -> str:
    """A flowchart from earlier to later, coloured by track."""
    colours = {"theory": "#3b82c4", "software": "#2f9e77", "hardware": "#e07b39", "data": "#a56cc1"}
    lines = ["flowchart LR"]
    for entry in entries:
        label = f"{entry['short']}, {entry['date'][:4]}".replace("&", "#amp;").replace('"', "#quot;")
        label = label.replace("<", "#lt;").replace(">", "#gt;")
        lines.append(f'  {_node(entry["id"])}["{label}"]:::{entry["track"]}')
    for source, link in _links(entries):
        lines.append(f"  {_node(link['to'])} -->|{link['as'].replace('_', ' ')}| {_node(source)}")
    lines += [f"  classDef {track} fill:{colour},color:#fff,stroke:none" for track, colour in colours.items()]
    return "\n".join(lines)


def _node(name: str) -> str:
    """Mermaid takes `end` for a keyword, and a name that begins with o or x, after a link, for an arrow's head."""
    return "m_" + name.replace("-", "_")


# JSON-LD, in schema.org's words

SCHEMA_TYPE = {"paper": "ScholarlyArticle", "book": "Book", "course": "Course", "article": "Article",
               "library": "SoftwareSourceCode", "framework": "SoftwareSourceCode", "tool": "SoftwareApplication",
               "chip": "Product", "system": "Product",
               "dataset": "Dataset", "benchmark": "Dataset", "event": "Event"}  # fmt: skip
DATE_OF = {"Event": "startDate", "Product": "releaseDate"}


def as_jsonld(entries: Sequence[Entry]) -> str:
    return json.dumps({"@context": "https://schema.org", "@graph": [_thing(entry) for entry in entries]},
                      ensure_ascii=False, indent=2)  # fmt: skip


def _thing(entry: Entry) -> Entry:
    kind = SCHEMA_TYPE[entry["kind"]]
    people = [{"@type": "Person", "name": name} for name in entry.get("authors", [])]
    makers = [{"@type": "Organization", "name": name} for name in entry.get("makers", [])]
    same = [f"https://doi.org/{entry['doi']}" if "doi" in entry else None,
            f"https://arxiv.org/abs/{entry['arxiv']}" if "arxiv" in entry else None]  # fmt: skip
    thing = {
        "@id": f"#{entry['id']}",
        "@type": kind,
        "name": entry["title"],
        "alternateName": entry["short"],
        DATE_OF.get(kind, "datePublished"): entry["date"],
        {"Event": "organizer", "Product": "manufacturer"}.get(kind, "author"): [*people, *makers],
        "description": " ".join(entry["idea"].split()),
        "url": entry.get("url"),
        "sameAs": [address for address in same if address],
        "keywords": entry.get("tags", []),
        "license": entry.get("licence"),
        "codeRepository": entry.get("repository"),
        "isBasedOn" if kind not in ("Event", "Product") else "subjectOf": [
            {"@id": f"#{link['to']}"} for link in entry.get("links", [])
        ],
        "citation": [source["url"] for source in entry["sources"]],
    }
    return {key: value for key, value in thing.items() if value not in (None, [], "")}


# One page, nothing loaded from outside

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>The executable history of deep learning</title>
<style>
:root {{ color-scheme: light dark; --theory: #2f6fb0; --software: #23805f; --hardware: #b85a1b; --data: #8a4fb0 }}
body {{ font: 17px/1.55 Georgia, serif; max-width: 44rem; margin: 0 auto; padding: 1.5rem }}
h1 {{ font-size: 1.9rem; line-height: 1.15 }} h2 {{ font-size: 1.35rem; margin: .2rem 0 }}
a {{ color: LinkText }} math {{ font-size: 1.05em }} .math.block {{ display: block; overflow-x: auto; margin: 1em 0 }}
form {{ position: sticky; top: 0; z-index: 1; background: Canvas; padding: .6rem 0; font: 15px system-ui, sans-serif;
  border-bottom: 1px solid #8886; display: flex; gap: .8rem; flex-wrap: wrap; align-items: center }}
input[type=search] {{ font: inherit; padding: .35rem .6rem; flex: 1; min-width: 10rem }}
article {{ border-left: 4px solid; padding: .2rem 0 .2rem 1rem; margin: 2.2rem 0; scroll-margin-top: 4.5rem }}
.theory {{ border-color: var(--theory) }} .software {{ border-color: var(--software) }}
.hardware {{ border-color: var(--hardware) }} .data {{ border-color: var(--data) }}
.small {{ font: 14px/1.5 system-ui, sans-serif; opacity: .85 }} .idea {{ font-style: italic }}
dl {{ display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .1rem .8rem }}
dd {{ margin: 0; overflow-wrap: anywhere }} [hidden] {{ display: none }}
</style></head><body>
<h1>The executable history of deep learning</h1>
<p>{count} milestones of theory, software, hardware and data, by date. This page works without a network.</p>
<form role="search"><input type="search" aria-label="Search" placeholder="Search {count} milestones">
{boxes}<output aria-live="polite"></output></form>
<main>
{articles}
</main>
<script>
const form = document.querySelector("form"), articles = [...document.querySelectorAll("article")];
const fold = text => text.normalize("NFD").replace(/\\p{{M}}/gu, "").toLowerCase();
const texts = articles.map(article => fold(article.textContent));
function filter() {{
  const words = fold(form.querySelector("[type=search]").value).split(/\\s+/);
  const tracks = [...form.querySelectorAll(":checked")].map(box => box.value);
  let shown = 0;
  articles.forEach((article, i) => {{
    article.hidden = !tracks.includes(article.className) || !words.every(word => texts[i].includes(word));
    shown += !article.hidden;
  }});
  form.querySelector("output").textContent = shown + " shown";
}}
form.addEventListener("input", filter);
form.addEventListener("submit", event => event.preventDefault());
addEventListener("hashchange", () => {{
  const to = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (to && to.hidden) {{ to.hidden = false; to.scrollIntoView(); }}
}});
</script></body></html>
"""


def as_html(entries: Sequence[Entry]) -> str:
    by_id = {entry["id"]: entry for entry in entries}
    later: dict[str, list[tuple[str, Entry]]] = {}
    for source, link in _links(entries):
        later.setdefault(link["to"], []).append((source, link))
    story = markdown()
    tracks = list(dict.fromkeys(entry["track"] for entry in entries))
    return PAGE.format(
        count=len(entries),
        boxes="".join(f'<label><input type="checkbox" value="{t}" checked> {t}</label>\n' for t in tracks),
        articles="\n".join(_article(entry, by_id, later.get(entry["id"], []), story) for entry in entries),
    )


def _article(entry: Entry, by_id: dict[str, Entry], later: list[tuple[str, Entry]], story: Callable[[str], str]) -> str:
    esc = html.escape
    people = ", ".join([*entry.get("authors", []), *entry.get("makers", [])])
    facts = [
        *((name, esc(str(entry[name]))) for name in ("venue", "licence", "date_note") if name in entry),
        *((name.replace("_", " "), f"{f['value']:,} {esc(f['unit'])} {esc(f.get('format', ''))} ({esc(f['where'])})")
          for name, f in entry.get("spec", {}).items()),
        *(("checked here", f"{esc(claim['says'])} ({esc(claim['where'])})") for claim in entry.get("claims", [])),
        *((link["as"].replace("_", " "), _linked(by_id[link["to"]], link))
          for link in entry.get("links", []) if link["to"] in by_id),
        *((f"{link['as'].replace('_', ' ')}, later", _linked(by_id[source], link)) for source, link in later),
        *(("not confirmed", esc(sentence)) for sentence in entry.get("unconfirmed", [])),
        *(("source", f'<a href="{esc(source["url"])}" rel="noreferrer">{esc(source["url"][:90])}</a>')
          for source in entry["sources"]),
    ]  # fmt: skip
    return (
        f'<article id="{esc(entry["id"])}" class="{esc(entry["track"])}">\n'
        f'<div class="small">{esc(entry["date"])}, {esc(entry["track"])}, {esc(entry["kind"])}</div>\n'
        f'<h2>{esc(entry["title"])}</h2>\n<div class="small">{esc(people)}</div>\n'
        f'<p class="idea">{esc(entry["idea"])}</p>\n{story(entry["story"])}'
        f'<dl class="small">{"".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)}</dl>\n</article>'
    )


def _linked(other: Entry, link: Entry) -> str:
    how = f": {html.escape(link['how'])}" if link.get("how") else ""
    return f'<a href="#{html.escape(other["id"])}">{html.escape(other["short"])}</a>, {other["date"][:4]}{how}'


def markdown() -> Callable[[str], str]:
    """Markdown to HTML with equations as MathML; raw HTML in the text is shown, not obeyed, and pictures are links."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).disable("image").use(dollarmath_plugin, renderer=_equation)
    parser.validateLink = lambda url: url.lower().startswith(("http://", "https://"))  # type: ignore[method-assign]
    return parser.render


def _equation(latex: str, options: dict[str, Any]) -> str:
    """MathML of an equation; what isn't one is shown as it was written."""
    from latex2mathml.converter import Converter

    try:
        tree = Converter(display="block" if options["display_mode"] else "inline").convert_to_element(latex)
    except Exception:  # its errors have no class in common
        return html.escape(latex)
    for part in tree.iter():  # its own `convert` leaves what \text{} holds unescaped
        part.text = html.unescape(part.text or "")
        for name in ("href", "style"):
            part.attrib.pop(name, None)
    return ElementTree.tostring(tree, encoding="unicode")


FORMATS: dict[str, Callable[[Sequence[Entry]], str]] = {
    "json": as_json,
    "csv": as_csv,
    "bibtex": as_bibtex,
    "graphml": as_graphml,
    "mermaid": as_mermaid,
    "jsonld": as_jsonld,
    "html": as_html,
}
