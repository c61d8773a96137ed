"""A door for language models: the knowledge base as tools of the Model Context Protocol.

`kb mcp` serves them on standard input and output. Every tool answers with data of known form, or
with an error that says what to do instead. Unless it is read-only, runs can be started and
followed.
"""

import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from kb import db, graph, results, search, sql
from kb.knowledge import KnowledgeBase
from kb.runs import control, description, store, submission
from kb.tables import ClaimRow

INSTRUCTIONS = (
    "The executable history of deep learning: milestones of theory, software, hardware and data "
    "since 1936, linked by what made what possible; papers whose claims were measured again. Begin "
    "with `search`; ids in its answer are what the other tools take. Say the verdict of a claim "
    "with its figures, and that it was measured at a small scale."
)
MAX_HITS, MAX_STEPS, MAX_ROWS = 50, 200, 200
P = ParamSpec("P")
R = TypeVar("R")
Id = Annotated[str, Field(description="a milestone's id, as `search` gives it: alexnet")]


def create_server(kb: KnowledgeBase, *, read_only: bool) -> MCPServer:
    server = MCPServer("executable-history", instructions=INSTRUCTIONS)
    tools = Tools(kb)
    names = ["search", "milestone", "lineage", "path", "claims", "sql"]
    if not read_only:
        names += ["start_run", "run_state", "stop_run"]
    for name in names:
        server.tool(structured_output=True)(_with_remedies(getattr(tools, name)))
    return server


def _with_remedies(tool: Callable[P, R]) -> Callable[P, R]:
    """The tool with what its caller can mend as an error of the protocol."""

    @functools.wraps(tool)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return tool(*args, **kwargs)
        except OSError as error:
            raise ToolError(str(error)) from None
        except (ValueError, LookupError, sql.Refused) as error:
            raise ToolError(str(error.args[0] if error.args else error)) from None
        except SQLAlchemyError as error:
            raise ToolError(f"the database can't be read now, try again: {error}") from None

    return call


class Tools:
    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def search(
        self,
        query: Annotated[
            str,
            Field(
                description="words, and qualifiers such as track:hardware year:2006..2012 "
                "kind:paper author:hinton has:impl from:lstm to:alexnet claim:reproduced; a "
                "question about one milestone works, too"
            ),
        ],
        limit: Annotated[int, Field(ge=1, le=MAX_HITS)] = 10,
    ) -> dict[str, Any]:
        """Finds milestones, the best first. `corrected_to` is what was answered instead; with
        `any_word` they have only some of its words."""
        answer = search.search(self.kb.engine, query, limit)
        hits = [
            {name: getattr(hit, name) for name in ("id", "title", "date", "track", "kind", "idea")}
            | {"runs_here": hit.implementation is not None}
            for hit in answer.hits
        ]
        corrected = {"corrected_to": answer.correction, "any_word": answer.any_word}
        return {"total": answer.total, **corrected, "hits": hits}

    def milestone(self, id: Id) -> dict[str, Any]:
        """Everything about one milestone: story, authors, figures, links, claims, sources."""
        return self.kb[id].model_dump(mode="json", by_alias=True, exclude_unset=True)

    def lineage(
        self,
        id: Id,
        direction: Literal["before", "after"],
        depth: Annotated[int | None, Field(ge=1, description="links away; null for all")] = 2,
    ) -> dict[str, Any]:
        """What made a milestone possible (before) or what it made possible (after)."""
        walk = self.kb.ancestors if direction == "before" else self.kb.descendants
        steps = walk(id, depth)
        told = [
            {"id": step.id, "links_away": step.depth, "link": step.via, "how": step.how}
            for step in steps[:MAX_STEPS]
        ]
        return {"total": len(steps), "steps": told}

    def path(self, start: Id, end: Id) -> dict[str, Any]:
        """How one milestone led to another, told in sentences; empty where nothing links them."""
        graph.require_known(self.kb.graph, start)
        graph.require_known(self.kb.graph, end)
        return {"told": self.kb.story(start, end)}

    def claims(self, id: Id) -> dict[str, Any]:
        """The claims of a milestone: published figures, recorded verdicts and measurements."""
        graph.require_known(self.kb.graph, id)
        rows = db.claims(self.kb.engine, id)
        recorded = {item.claim.id: item for item in results.recorded_verdicts(rows)}
        return {"claims": [_describe_claim(row, recorded.get(row.id)) for row in rows]}

    def sql(
        self,
        query: Annotated[str, Field(description="one SELECT; PRAGMA table_info(milestone) works")],
    ) -> dict[str, Any]:
        """At most 200 rows of a read-only query over the SQLite database.

        Its tables: milestone, link, claim, run, verdict, run_row, artifact.
        """
        table = sql.query(query, self.kb.file, rows=MAX_ROWS)
        return {"rows": list(table), "truncated": table.truncated}

    def start_run(
        self,
        implementation: Annotated[str, Field(description="impl/NAME.py without .py: dropout")],
        preset: Literal["smoke", "quick", "full"] = "quick",
    ) -> dict[str, Any]:
        """Measures a paper's claims on this machine: smoke takes seconds, quick about a minute."""
        return {"run": submission.submit(self.kb.engine, implementation, preset)}

    def run_state(self, run: str) -> dict[str, Any]:
        """A run's status and, when it has ended, its verdicts."""
        state = store.get(self.kb.engine, run)
        told = {"status": state.status, "done": state.done, "total": state.total}
        if state.status not in store.ENDED:
            return told | {"note": state.note}
        return told | {"verdicts": description.describe(self.kb.engine, run)["verdicts"]}

    def stop_run(self, run: str) -> dict[str, Any]:
        """Stops a run that was started."""
        control.cancel(self.kb.engine, run)
        return {"stopping": run}


def _describe_claim(row: ClaimRow, recorded: results.RecordedVerdict | None) -> dict[str, Any]:
    told: dict[str, Any] = {"id": row.id, "says": row.says, "where": row.where}
    told["published"] = row.published
    told["measured"] = recorded and {
        "verdicts": list(recorded.outcomes),
        "is_stable": recorded.is_stable,
        **{
            name: recorded.verdict.get(name)
            for name in ("kind", "measured", "baseline", "interval", "unit", "rule", "note")
        },
        "with_idea_taken_out": recorded.broken and recorded.broken["verdict"],
    }
    return told
