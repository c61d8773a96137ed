"""The tools for language models, asked by the protocol's own client."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from kb import db, loader
from kb.knowledge import KnowledgeBase
from kb.mcp_server import create_server
from kb.runs import polling
from tests.asynchronous import run_to_end


@pytest.fixture(scope="module")
def knowledge(tmp_path_factory: pytest.TempPathFactory, timeline: loader.Timeline) -> KnowledgeBase:
    file: Path = tmp_path_factory.mktemp("mcp") / "kb.sqlite3"
    db.load_timeline(db.open_database(file), timeline.milestones)
    return KnowledgeBase.open(file)


def ask(kb: KnowledgeBase, tool: str, **arguments: Any) -> Any:
    """The structured answer of a tool, or the text of its error."""

    async def call() -> Any:
        async with Client(create_server(kb, read_only=True)) as client:
            result = await client.call_tool(tool, arguments)
            return result.content[0].text if result.is_error else result.structured_content

    return run_to_end(call())


def test_every_tool_says_what_it_is_for_and_what_it_takes(knowledge: KnowledgeBase) -> None:
    async def tools(read_only: bool) -> dict[str, Any]:
        async with Client(create_server(knowledge, read_only=read_only)) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    reading, all_tools = run_to_end(tools(True)), run_to_end(tools(False))
    assert set(all_tools) - set(reading) == {"start_run", "run_state", "stop_run"}
    for tool in all_tools.values():
        assert tool.description and tool.input_schema["properties"], tool.name


def test_a_question_leads_to_its_answer(knowledge: KnowledgeBase) -> None:
    found = ask(knowledge, "search", query="What made AlexNet possible?")
    assert found["hits"][0]["id"] == "alexnet"
    before = ask(knowledge, "lineage", id="alexnet", direction="before", depth=1)
    assert {"dropout", "gtx-580"} <= {step["id"] for step in before["steps"]}
    assert before["total"] == len(before["steps"])
    after = ask(knowledge, "lineage", id="lstm", direction="after")
    assert "gru" in {step["id"] for step in after["steps"]}
    told = ask(knowledge, "path", start="backprop", end="dropout")["told"]
    assert told.startswith("From Back-propagation") or "Dropout" in told


def test_a_milestone_and_its_claims(knowledge: KnowledgeBase) -> None:
    dropout = ask(knowledge, "milestone", id="dropout")
    assert dropout["authors"][0] == "Nitish Srivastava"
    claims = {claim["id"]: claim for claim in ask(knowledge, "claims", id="dropout")["claims"]}
    claim = claims["lower-test-error"]
    assert claim["published"]["idea"] < claim["published"]["baseline"]
    assert claim["measured"]["verdicts"][0] in ("reproduced", "weaker", "inconclusive")
    assert claim["measured"]["measured"] < 100
    assert ask(knowledge, "claims", id="cuda")["claims"] == []


def test_a_run_is_started_and_followed() -> None:
    kb = KnowledgeBase.open()

    async def run() -> Any:
        async with Client(create_server(kb, read_only=False)) as client:
            started = await client.call_tool(
                "start_run", {"implementation": "perceptron", "preset": "smoke"}
            )
            id = started.structured_content["run"]
            await asyncio.to_thread(lambda: list(polling.watch(kb.engine, id)))
            return (await client.call_tool("run_state", {"run": id})).structured_content

    state = run_to_end(run())
    assert state["status"] == "succeeded" and state["done"] == state["total"]
    assert {verdict["claim"] for verdict in state["verdicts"]} >= {"convergence", "xor"}


def test_sql_reads_and_never_writes(knowledge: KnowledgeBase) -> None:
    counted = ask(knowledge, "sql", query="select track, count(*) n from milestone group by 1")
    assert sum(row["n"] for row in counted["rows"]) == len(knowledge)
    cut = ask(knowledge, "sql", query="select m.id from milestone m, milestone n")
    assert cut["truncated"] and len(cut["rows"]) == 200
    assert "only reading is allowed" in ask(knowledge, "sql", query="delete from milestone")


@pytest.mark.parametrize(
    ("tool", "arguments", "remedy"),
    [
        ("milestone", {"id": "alexnett"}, 'did you mean "alexnet"'),
        ("path", {"start": "alexnet", "end": "nothing-like-it"}, "nothing-like-it"),
        ("claims", {"id": "dropuot"}, 'did you mean "dropout"'),
        ("search", {"query": "trak:hardware"}, 'did you mean "track"'),
        ("search", {"query": "x", "limit": 10_000}, "less than or equal to 50"),
        ("lineage", {"id": "lstm", "direction": "up"}, "'before' or 'after'"),
    ],
)
def test_an_error_says_what_to_do(
    knowledge: KnowledgeBase, tool: str, arguments: dict[str, Any], remedy: str
) -> None:
    assert remedy in ask(knowledge, tool, **arguments)
