"""The knowledge base with much data: the shell, loading, imported literature, the lineage.

    make bench        # or: python -m benchmarks.knowledge [--works 500000]

It takes some minutes. The data are generated, in a folder that is removed afterwards.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import yaml

from benchmarks import generated
from benchmarks.generated import RARE_WORDS, WORDS
from benchmarks.table import Line, percentile, seconds, show, timed
from kb import db, graph, graph_paths, loader
from kb.literature import database, importing, search

MILESTONES = 5_000
QUERIES = 200
DATASETTE_QUERIES = 60  # it is slow
Query = tuple[str, str, int]  # two words, and the first of nine years


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--works", type=int, default=500_000)
    options.add_argument("--nodes", type=int, default=100_000)
    args = options.parse_args()
    measures: list[Callable[[Path], list[Line]]] = [
        shell,
        load,
        lambda folder: literature(folder, args.works),
        lambda folder: lineage(folder, args.nodes),
    ]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KB_HOME"] = folder
        for measure in measures:
            for line in measure(Path(folder)):
                lines.append(line)
                print(f"{line.what}: done", file=sys.stderr, flush=True)
    print(show(lines))


def shell(folder: Path) -> list[Line]:
    def process(*command: str) -> None:
        subprocess.run([sys.executable, *command], check=True, capture_output=True)

    process("-m", "kb.cli", "load")
    bare = seconds(lambda: process("-c", "import sqlite3, sqlalchemy"), 9)
    ours = seconds(lambda: process("-m", "kb.cli", "search", "dropout"), 9)
    against = "python -c 'import sqlite3, sqlalchemy'"
    return [Line("kb search, whole process", ours, against, bare, "within 3x", ours < 3 * bare)]


def load(folder: Path) -> list[Line]:
    file = folder / "large.yaml"
    file.write_text(generated.timeline(MILESTONES))
    text = file.read_text()
    parse = seconds(lambda: yaml.load(text, yaml.CSafeLoader), 3)

    def load_file() -> None:
        timeline = loader.read_timeline(file)
        assert not timeline.errors, timeline.errors[:3]
        engine = db.open_database(folder / f"{time.monotonic_ns()}.sqlite3")
        db.load_timeline(engine, timeline.milestones)

    ours = seconds(load_file, 3)
    return [
        Line(f"load {MILESTONES:,} milestones", ours, "", None, "under 3 s", ours < 3),
        Line(
            "the same",
            ours,
            "parsing it with yaml.CSafeLoader",
            parse,
            "within 2x",
            ours < 2 * parse,
            note="it also checks every field, link and date, and writes the database",
        ),
    ]


def literature(folder: Path, count: int) -> list[Line]:
    file = folder / "works.jsonl"
    generated.write_works(file, count)
    rate = count / timed(lambda: importing.import_file(file))
    their_rate = count / timed(lambda: import_with_sqlite_utils(file, folder / "theirs.sqlite3"))
    rng = random.Random(1)
    queries = [
        (rng.choice(WORDS), rng.choice(RARE_WORDS if i % 3 else WORDS), rng.randint(1980, 2015))
        for i in range(QUERIES)
    ]
    ours = search_times(queries)
    theirs = asyncio.run(datasette_times(database.library_path(), queries[:DATASETTE_QUERIES]))
    slow, their_slow = percentile(ours, 0.95), percentile(theirs, 0.95)
    median, their_median = (1000 * percentile(times, 0.5) for times in (ours, theirs))
    return [
        Line(
            f"import of {count:,} works",
            rate,
            "sqlite-utils insert, full text and an index on year",
            their_rate,
            "20,000 records/s",
            rate >= 20_000,
            unit="records/s",
            note="it also cleans, identifies and deduplicates each record",
        ),
        Line(
            f"search in {count:,}, p95 (median {median:.1f} ms)",
            slow,
            f"Datasette on the same file (median {their_median:.0f} ms)",
            their_slow,
            "p95 under 20 ms, ahead of Datasette",
            slow < min(0.020, their_slow),
        ),
    ]


def search_times(queries: list[Query]) -> list[float]:
    connection = database.open_library()
    search.search_works(connection, "warm up")
    times = []
    for one, other, year in queries:
        query = f"{one} {other} year:{year}..{year + 8}"
        start = time.perf_counter()
        search.search_works(connection, query, 20)
        times.append(time.perf_counter() - start)
    return times


def import_with_sqlite_utils(file: Path, database: Path) -> None:
    import sqlite_utils

    table = sqlite_utils.Database(database)["work"]
    with file.open() as lines:
        works = ({**w, "authors": "; ".join(w["authors"])} for w in map(json.loads, lines))
        table.insert_all(works, batch_size=5_000)
    table.enable_fts(["title", "authors", "venue"])
    table.create_index(["year"])


async def datasette_times(database: Path, queries: list[Query]) -> list[float]:
    """The same queries, with counts by year too, answered within this process."""
    from datasette.app import Datasette

    limits = {"sql_time_limit_ms": 10_000, "facet_time_limit_ms": 10_000}
    datasette = Datasette([str(database)], settings=limits)
    await datasette.invoke_startup()
    times = []
    for one, other, year in queries:
        address = (
            f"/outside/work.json?_search={one}+{other}&year__gte={year}&year__lte={year + 8}"
            "&_facet=year&_size=20&_fts_table=work_text&_fts_pk=rowid"
        )
        start = time.perf_counter()
        answer = await datasette.client.get(address)
        times.append(time.perf_counter() - start)
        assert answer.status_code == 200, answer.text[:300]
    return times


def lineage(folder: Path, count: int) -> list[Line]:
    engine = db.open_database(folder / "graph.sqlite3")
    links = generated.insert_lineage(engine, count)
    before = peak_memory()
    loaded: list[nx.MultiDiGraph] = []
    opening = timed(lambda: loaded.append(graph.load_lineage(engine)))
    memory = (peak_memory() - before) / 1000
    (whole,) = loaded
    early, last = f"m-{count // 100}", f"m-{count - 1}"
    ancestors = seconds(lambda: graph.ancestors(whole, early))
    nx_ancestors = seconds(lambda: nx.ancestors(whole.reverse(copy=False), early))
    path = seconds(lambda: graph_paths.find_paths(whole, last, early, limit=1))
    nx_path = timed(
        lambda: nx.dijkstra_path(
            whole, last, early, lambda u, v, _: graph_paths.link_cost(whole, u, v)
        )
    )
    size = f"{count:,} milestones and {links:,} links"
    limit = "under 50 ms"
    return [
        Line(f"opening {size}", opening, "", None, "under 5 s", opening < 5),
        Line("memory it takes", memory, "", None, "under 1,000 MB", memory < 1000, unit="MB"),
        Line("ancestors", ancestors, "nx.ancestors", nx_ancestors, limit, ancestors < 0.05),
        Line("best path", path, "nx.dijkstra_path", nx_path, "under 500 ms", path < 0.5),
    ]


def peak_memory() -> int:
    """In kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
