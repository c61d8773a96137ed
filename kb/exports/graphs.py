"""The lineage as a graph: GraphML for programs, Mermaid for documents."""

from collections.abc import Iterator, Sequence
from typing import Any

Entry = dict[str, Any]
TRACK_COLORS = {  # as in the app
    "theory": "#2f6fb0",
    "software": "#b85a12",
    "hardware": "#1d7d5c",
    "data": "#8a4ea3",
}
NODE_ATTRIBUTES = ("short", "title", "date", "track", "kind")
MERMAID_ESCAPES = str.maketrans({"&": "#amp;", '"': "#quot;", "<": "#lt;", ">": "#gt;"})


def links_within(entries: Sequence[Entry]) -> Iterator[tuple[str, Entry]]:
    """The links between these milestones, each with the id of the milestone that has it."""
    ids = {entry["id"] for entry in entries}
    for entry in entries:
        for link in entry.get("links", []):
            if link["to"] in ids:
                yield entry["id"], link


def as_graphml(entries: Sequence[Entry]) -> str:
    """Nodes and edges have a `label`, which Gephi and yEd show; each edge has an id of its own."""
    import networkx as nx

    graph = nx.MultiDiGraph()
    for entry in entries:
        attributes = {name: entry[name] for name in NODE_ATTRIBUTES}
        graph.add_node(entry["id"], label=entry["short"], **attributes)
    for source, link in links_within(entries):
        type_, target = link["as"], link["to"]
        attributes = {"label": type_.replace("_", " "), "type": type_, "how": link.get("how", "")}
        graph.add_edge(source, target, key=f"{source}.{type_}.{target}", **attributes)
    return "\n".join(nx.generate_graphml(graph, prettyprint=True))


def as_mermaid(entries: Sequence[Entry]) -> str:
    """A flowchart from earlier to later milestones, coloured by track."""
    lines = ["flowchart LR"]
    for entry in entries:
        label = f"{entry['short']}, {entry['date'][:4]}".translate(MERMAID_ESCAPES)
        lines.append(f'  {_node(entry["id"])}["{label}"]:::{entry["track"]}')
    for source, link in links_within(entries):
        lines.append(f"  {_node(link['to'])} -->|{link['as'].replace('_', ' ')}| {_node(source)}")
    for track, color in TRACK_COLORS.items():
        lines.append(f"  classDef {track} fill:{color},color:#fff,stroke:none")
    return "\n".join(lines)


def _node(id: str) -> str:
    """A name for the node. The prefix is needed: Mermaid takes "end" for a keyword, and an "o" or
    "x" after an arrow for its head."""
    return "m_" + id.replace("-", "_")
