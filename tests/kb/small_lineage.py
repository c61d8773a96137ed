"""A small timeline whose lineage is known, and graphs made of milestones without a database."""

import datetime as dt

import networkx as nx

from kb import graph
from kb.schema import Event, Link, Source

SOURCES = [Source(url="https://example.org", read="2026-11-23")]


def milestone(id: str, date: str, **links: str | list[str]) -> Event:
    """An event with links by type, as in `builds_on="a"`; a list gives several of a type."""
    several = [
        (kind, to)
        for kind, ends in links.items()
        for to in ([ends] if isinstance(ends, str) else ends)
    ]
    return Event(
        id=id,
        track="theory",
        kind="event",
        title=f"The title of {id}",
        short=id.upper(),
        date=date,
        idea="An idea.",
        story="A story.",
        links=[
            Link.model_validate({"to": to, "as": kind, "how": f"how {id} met {to}"})
            for kind, to in several
        ],
        sources=SOURCES,
    )


#     calculus <- chain-rule <- backprop <- lenet <- alexnet -> cuda      abacus (alone)
#                                  ^--- rnn <- lstm
TIMELINE = [
    milestone("calculus", "1684"),
    milestone("chain-rule", "1696", builds_on="calculus"),
    milestone("backprop", "1986-10-09", builds_on="chain-rule"),
    milestone("lenet", "1989", builds_on="backprop"),
    milestone("rnn", "1990", builds_on="backprop"),
    milestone("lstm", "1997-11", builds_on="rnn", disputes="backprop"),
    milestone("cuda", "2006-11"),
    milestone("alexnet", "2012", builds_on="lenet", implements="backprop", enabled_by="cuda"),
    milestone("abacus", "1700"),
]


def graph_of(milestones: list[Event]) -> nx.MultiDiGraph:
    """The graph that `load_lineage` gives for these milestones, made without a database."""
    lineage = nx.MultiDiGraph()
    for m in milestones:
        first = dt.date(int(m.date), 1, 1).isoformat()
        lineage.add_node(
            m.id, short=m.short, title=m.title, date=m.date, first=first, track=m.track, kind=m.kind
        )
    for m in milestones:
        for link in m.links:
            lineage.add_edge(m.id, link.to, key=link.as_, type=link.as_, how=link.how)
    return lineage


def ids(steps: list[graph.Step]) -> list[str]:
    return [step.id for step in steps]
