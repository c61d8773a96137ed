"""One HTML page with all milestones, which loads nothing and so works without a network.

Text of the milestones is escaped; their Markdown can't contain HTML.
"""

import html
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from kb.exports.graphs import Entry, links_within
from kb.mathml import to_mathml

TEMPLATE = Path(__file__).with_name("page.html")
MAX_ADDRESS_LENGTH = 90  # characters of a source's address that are shown
LaterLinks = dict[str, list[tuple[str, Entry]]]  # by target: the links from later milestones


def as_html(entries: Sequence[Entry]) -> str:
    by_id = {entry["id"]: entry for entry in entries}
    later: LaterLinks = {}
    for source, link in links_within(entries):
        later.setdefault(link["to"], []).append((source, link))
    render = markdown_renderer()
    tracks = dict.fromkeys(entry["track"] for entry in entries)
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        count=len(entries),
        boxes="".join(map(_track_box, tracks)),
        articles="\n".join(_article(entry, by_id, later, render) for entry in entries),
    )


def _track_box(track: str) -> str:
    return f'<label><input type="checkbox" value="{track}" checked> {track}</label>\n'


def _article(
    entry: Entry, by_id: dict[str, Entry], later: LaterLinks, render: Callable[[str], str]
) -> str:
    escape = html.escape
    people = ", ".join([*entry.get("authors", []), *entry.get("makers", [])])
    head = f"{entry['date']}, {entry['track']}, {entry['kind']}"
    facts = [*_facts(entry), *_links(entry, by_id, later), *_notes(entry)]
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts)
    return (
        f'<article id="{escape(entry["id"])}" class="{escape(entry["track"])}">\n'
        f'<div class="small">{escape(head)}</div>\n'
        f"<h2>{escape(entry['title'])}</h2>\n"
        f'<div class="small">{escape(people)}</div>\n'
        f'<p class="idea">{escape(entry["idea"])}</p>\n'
        f"{render(entry['story'])}"
        f'<dl class="small">{rows}</dl>\n'
        "</article>"
    )


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    """Names and values, as HTML."""
    escape = html.escape
    for name in ("venue", "licence", "date_note"):
        if name in entry:
            yield name, escape(str(entry[name]))
    for name, figure in entry.get("spec", {}).items():
        unit = f"{figure['unit']} {figure.get('format', '')}"
        value = f"{figure['value']:,} {escape(unit)} ({escape(figure['where'])})"
        yield name.replace("_", " "), value
    for claim in entry.get("claims", []):
        yield "checked here", f"{escape(claim['says'])} ({escape(claim['where'])})"


def _links(entry: Entry, by_id: dict[str, Entry], later: LaterLinks) -> Iterator[tuple[str, str]]:
    for link in entry.get("links", []):
        if link["to"] in by_id:
            yield link["as"].replace("_", " "), _anchor(by_id[link["to"]], link)
    for source, link in later.get(entry["id"], []):
        yield f"{link['as'].replace('_', ' ')}, later", _anchor(by_id[source], link)


def _anchor(other: Entry, link: Entry) -> str:
    id, short = html.escape(other["id"]), html.escape(other["short"])
    how = f": {html.escape(link['how'])}" if link.get("how") else ""
    return f'<a href="#{id}">{short}</a>, {other["date"][:4]}{how}'


def _notes(entry: Entry) -> Iterator[tuple[str, str]]:
    for sentence in entry.get("unconfirmed", []):
        yield "not confirmed", html.escape(sentence)
    for source in entry["sources"]:
        address, shown = source["url"], source["url"][:MAX_ADDRESS_LENGTH]
        anchor = f'<a href="{html.escape(address)}" rel="noreferrer">{html.escape(shown)}</a>'
        yield "source", anchor


def markdown_renderer() -> Callable[[str], str]:
    """A function from Markdown to HTML, with equations as MathML.

    HTML in the text is shown as text, and a picture is only a link to it.
    """
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    parser.use(dollarmath_plugin, renderer=_equation)
    parser.validateLink = _is_web_address  # type: ignore[assignment, method-assign]
    return parser.render


def _is_web_address(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))


def _equation(latex: str, options: dict[str, Any]) -> str:
    """The equation as MathML; its LaTeX, as text, if it can't be converted."""
    display = "block" if options["display_mode"] else "inline"
    try:
        return ElementTree.tostring(to_mathml(latex, display=display), encoding="unicode")
    except ValueError:
        return html.escape(latex)
