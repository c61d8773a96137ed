"""The knowledge base as one object, for notebooks and scripts.

from kb import open_kb
kb = open_kb()
kb["dropout"].authors
[hit.id for hit in kb.search("attention year:2014..")]
print(kb.story("backprop", "dropout"))
kb.pillars("dropout")           # without these it would lose every root
kb.run("dropout", "quick")      # minutes; prints nothing, returns the verdicts
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from kb import db, graph, graph_paths, loader, paths, search, sql
from kb.graph import Step
from kb.graph_paths import Path

if TYPE_CHECKING:
    import networkx as nx

    from kb.schema import Milestone


class KnowledgeBase:
    """The timeline of one database as it was when it was opened, and runs as they are now."""

    def __init__(self, engine: Engine, file: File | None = None):
        self.engine, self.file = engine, file

    @classmethod
    def open(cls, path: File | str | None = None) -> "KnowledgeBase":
        """See `kb.open_kb`."""
        file = File(path) if path else None
        engine = db.open_database(file)
        if db.is_stale(engine, paths.TIMELINE):
            timeline = loader.read_timeline()
            if not timeline.errors:
                db.load_timeline(engine, timeline.milestones, paths.TIMELINE)
            elif db.timeline_digest(engine) is None:
                raise ValueError(
                    f"{paths.TIMELINE} has errors:\n" + "\n".join(map(str, timeline.errors))
                )
        return cls(engine, file)

    @cached_property
    def milestones(self) -> "dict[str, Milestone]":
        """Every milestone by its id, in order of date."""
        from pydantic import TypeAdapter

        from kb.schema import Entry

        adapter: TypeAdapter[Milestone] = TypeAdapter(Entry)
        return {row.id: adapter.validate_python(row.entry) for row in db.milestones(self.engine)}

    @cached_property
    def graph(self) -> "nx.MultiDiGraph":
        """The lineage for algorithms of NetworkX; its links lead from later to earlier."""
        return graph.load_lineage(self.engine)

    def __getitem__(self, id: str) -> "Milestone":
        """The milestone with that id. Raises kb.graph.UnknownMilestone, with a suggestion."""
        graph.require_known(self.graph, id)
        return self.milestones[id]

    def __iter__(self) -> "Iterator[Milestone]":
        return iter(self.milestones.values())

    def __len__(self) -> int:
        return len(self.milestones)

    def __contains__(self, id: object) -> bool:
        return id in self.milestones

    def search(self, query: str, limit: int = 50) -> list[search.Hit]:
        """What the search box finds, the best first. Raises kb.search.BadQuery."""
        return search.search(self.engine, query, limit).hits

    def facets(self, query: str = "") -> dict[str, dict[str, int]]:
        """How many of the milestones found have each track, kind, decade, tag, ..."""
        return search.search(self.engine, query, 0).facets

    def ancestors(self, id: str, depth: int | None = None) -> list[Step]:
        """What made `id` possible, the nearest first, each with the link that led there."""
        return graph.ancestors(self.graph, id, depth)

    def descendants(self, id: str, depth: int | None = None) -> list[Step]:
        """What `id` made possible, the nearest first."""
        return graph.descendants(self.graph, id, depth)

    def paths(self, a: str, b: str, limit: int = 3) -> list[Path]:
        """The ways along links between two milestones, the one in the smallest steps first."""
        return graph_paths.find_paths(self.graph, a, b, limit)

    def story(self, a: str, b: str) -> str:
        """The first of these, told in sentences; empty if nothing links the two."""
        return "\n".join(
            graph_paths.describe_path(path, self.graph) for path in self.paths(a, b, limit=1)
        )

    def common_ancestors(self, a: str, b: str) -> list[str]:
        """What both descend from, the nearest to the two together first."""
        return graph.common_ancestors(self.graph, a, b)

    def pillars(self, id: str) -> list[str]:
        """What every line of descent of `id` passes through (its dominators), the nearest first."""
        return graph.pillars(self.graph, id)

    def contemporaries(self, id: str, years: float = 1.0) -> list[str]:
        """What happened in the other tracks at about that time, the nearest first."""
        return graph.contemporaries(self.graph, id, years)

    def influence(self) -> dict[str, float]:
        """How much came of each, from 0 to 1, the most first."""
        return dict(sorted(graph.influence(self.graph).items(), key=lambda item: -item[1]))

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a SELECT over the database, read-only. Raises kb.sql.Refused."""
        return list(sql.query(query, self.file))

    def run(self, name: str, preset: str = "quick", **settings: Any) -> dict[str, Any]:
        """Runs an implementation to its end.

        Returns its status, metrics, verdicts and the files of its figures. Raises FileNotFoundError
        for an unknown name, ValueError for an unknown preset or setting.
        """
        from kb.runs import description, polling, submission

        if self.file and self.file.resolve() != paths.database_file():
            raise ValueError(
                f"runs belong to the database in KB_HOME, {paths.database_file()}; "
                "set KB_HOME instead of a path"
            )
        run_id = submission.submit(self.engine, name, preset, changes=settings)
        list(polling.watch(self.engine, run_id))
        return description.describe(self.engine, run_id)
