"""Verbs that follow the timeline's links: path, lineage."""

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from kb.cli import shell

if TYPE_CHECKING:
    import networkx as nx

    from kb.graph import Step


def add_verbs(add_verb: shell.AddVerb) -> None:
    verb = add_verb(
        print_paths,
        "path",
        "Print how one milestone led to another.",
        "kb path backprop dropout",
    )
    verb.add_argument("start", help="a milestone's id")
    verb.add_argument("end", help="another milestone's id")
    verb = add_verb(
        print_lineage,
        "lineage",
        "Print the milestones before and after one, along the links of the timeline.",
        "kb lineage dropout",
    )
    verb.add_argument("id", help="a milestone's id")
    verb.add_argument("--depth", type=int, help="how many links to follow at most (no limit)")


def print_paths(args: argparse.Namespace) -> None:
    from kb import graph, graph_paths

    links = graph.load_lineage(shell.database())
    paths = graph_paths.find_paths(links, args.start, args.end)
    if args.json:
        shell.print_json([dataclasses.asdict(path) for path in paths])
        return
    if not paths:
        raise shell.CommandError(f"no links on the timeline connect {args.start} and {args.end}")
    print("\n\n".join(graph_paths.describe_path(path, links) for path in paths))
    if not paths[0].directed and (common := graph.common_ancestors(links, args.start, args.end)):
        print(f"\nBoth descend from {', '.join(common[:8])}.")


def print_lineage(args: argparse.Namespace) -> None:
    from kb import graph

    links = graph.load_lineage(shell.database())
    before = graph.ancestors(links, args.id, args.depth)
    after = graph.descendants(links, args.id, args.depth)
    pillars = graph.pillars(links, args.id)
    contemporaries = graph.contemporaries(links, args.id)
    if args.json:
        shell.print_json(
            {
                "ancestors": [dataclasses.asdict(step) for step in before],
                "descendants": [dataclasses.asdict(step) for step in after],
                "pillars": pillars,
                "contemporaries": contemporaries,
            }
        )
        return
    _print_steps("Before it", before, links, "{step.from_id} {verb} it")
    _print_steps("After it", after, links, "{verb} {step.from_id}")
    if pillars:
        print(f"On every path from its earliest ancestors\n  {', '.join(pillars)}")
    if contemporaries:
        print("Within a year of it, in other tracks")
    for id in sorted(contemporaries, key=lambda id: links.nodes[id]["first"]):
        print(f"  {id} ({links.nodes[id]['date']}), {links.nodes[id]['track']}")


def _print_steps(title: str, steps: "list[Step]", links: "nx.MultiDiGraph[Any]", form: str) -> None:
    """Prints the milestones, indented by their distance, each with the link that leads to it."""
    print(f"{title}{'' if steps else ': nothing on the timeline'}")
    for step in steps:
        link = form.format(step=step, verb=step.via.replace("_", " "))
        how = f": {step.how}" if step.how else ""
        print(f"{'  ' * step.depth}{step.id} ({links.nodes[step.id]['date']}), {link}{how}")
