"""The knowledge base at size: the shell, loading, search beside Datasette, import beside sqlite-utils, the lineage.

    make bench        # or: python -m benchmarks.knowledge [--works 500000]

Everything is generated from a fixed seed, in a folder that is removed afterwards; some minutes.
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
from pathlib import Path
from typing import Any

import networkx as nx
import yaml

from benchmarks.table import Line, percentile, seconds, show, timed
from kb import db, graph, loader
from kb.outside import finding, library
from kb.schema import TRACKS

WORDS = """neural network learning deep convolutional recurrent attention translation speech image recognition model language
    generative adversarial training optimization gradient bayesian inference graph embedding representation transfer
    reinforcement policy reward memory sequence parsing semantic syntactic corpus retrieval question answering summarization
    detection segmentation tracking pose video audio music robot control planning causal fairness privacy federated sparse
    quantization compression pruning distillation contrastive pretraining transformer dropout normalization residual capsule
    kernel manifold clustering topic variational diffusion energy boltzmann markov hidden latent factor tensor matrix""".split()  # noqa: SIM905
RARE = [a + b for a in ("bio", "geo", "hyper", "meta", "multi", "neo", "para", "poly") for b in WORDS]
BEGINNINGS, ENDINGS = (
    ("Ba", "Che", "Du", "Gri", "Ha", "Ji", "Ko", "Li", "Mo", "Na", "Ro", "Sa"),
    ("ker", "lin", "man", "nov", "shi", "ta"),
)
NAMES = [a + b for a in BEGINNINGS for b in ENDINGS]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--works", type=int, default=500_000)
    options.add_argument("--nodes", type=int, default=100_000)
    args = options.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KB_HOME"] = folder
        for measure in (shell, load, lambda at: outside(at, args.works), lambda at: lineage(at, args.nodes)):
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
    return [
        Line(
            "kb search, whole process",
            ours,
            "python -c 'import sqlite3, sqlalchemy'",
            bare,
            "within 3x",
            ours < 3 * bare,
        )
    ]


def load(folder: Path) -> list[Line]:
    file = folder / "big.yaml"
    file.write_text(big_timeline(5_000))
    text = file.read_text()
    parse = seconds(lambda: yaml.load(text, yaml.CSafeLoader), 3)

    def whole() -> None:
        timeline = loader.load(file)
        assert not timeline.errors, timeline.errors[:3]
        db.load(db.open_database(folder / f"{time.monotonic_ns()}.sqlite3"), timeline.milestones)

    ours = seconds(whole, 3)
    return [
        Line("load 5,000 milestones", ours, "", None, "under 3 s", ours < 3),
        Line("the same", ours, "parsing it with yaml.CSafeLoader", parse, "within 2x", ours < 2 * parse,
             note="it also checks every field, link and date with its place, and writes the database"),
    ]  # fmt: skip


def big_timeline(n: int) -> str:
    rng = random.Random(0)
    entries: list[dict[str, Any]] = []
    for i in range(n):
        year = 1943 + i * 80 // n
        entry: dict[str, Any] = {
            "id": f"m-{i}", "track": rng.choice(TRACKS[:1]), "kind": "event", "title": " ".join(rng.choices(WORDS, k=6)),
            "short": f"Event {i}", "date": str(year), "authors": [rng.choice(NAMES)], "tags": [rng.choice(WORDS)],
            "idea": " ".join(rng.choices(WORDS, k=20)) + ".", "story": " ".join(rng.choices(WORDS, k=120)) + ".",
            "sources": [{"url": f"https://example.org/{i}", "read": "2026-01-01"}],
        }  # fmt: skip
        if i > 10:
            ends = rng.sample(range(i), 3)
            entry["links"] = [{"to": f"m-{end}", "as": "builds_on", "how": "takes up its idea"} for end in ends]
        entries.append(entry)
    return yaml.dump(entries, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


def outside(folder: Path, n: int) -> list[Line]:
    file = folder / "works.jsonl"
    rng = random.Random(1)
    with file.open("w") as out:
        for i in range(n):
            words = [*rng.choices(WORDS, k=5), *rng.choices(RARE, k=3), f"x{i}"]
            rng.shuffle(words)
            authors = [f"{rng.choice(NAMES)} {rng.choice(NAMES)}" for _ in range(3)]
            record = {"title": " ".join(words), "authors": authors, "year": 1970 + int(55 * rng.random() ** 0.4),
                      "venue": f"Conference on {rng.choice(WORDS)}", "doi": f"10.1234/{i}"}  # fmt: skip
            out.write(json.dumps(record) + "\n")
    ours = timed(lambda: library.bring(file))
    theirs = timed(lambda: by_sqlite_utils(file, folder / "theirs.sqlite3"))
    connection = library.opened()
    questions = [(rng.choice(WORDS), rng.choice(RARE if i % 3 else WORDS), rng.randint(1980, 2015)) for i in range(200)]
    finding.find(connection, "warm up")
    mine = [
        timed(lambda q=q: finding.find(connection, f"{q[0]} {q[1]} year:{q[2]}..{q[2] + 8}", 20)) for q in questions
    ]
    datasette = asyncio.run(by_datasette(library.place(), questions[:60]))
    ours95, theirs95 = percentile(mine, 0.95), percentile(datasette, 0.95)
    return [
        Line(f"import of {n:,} works", n / ours, "sqlite-utils insert, full text and an index on year", n / theirs,
             "20,000 records/s", n / ours >= 20_000, unit="records/s",
             note="it also cleans, identifies and deduplicates each record"),
        Line(f"search in {n:,}, p95 (median {1000 * percentile(mine, 0.5):.1f} ms)", ours95,
             f"Datasette on the same file (median {1000 * percentile(datasette, 0.5):.0f} ms)", theirs95,
             "p95 under 20 ms, ahead of Datasette", ours95 < min(0.020, theirs95)),
    ]  # fmt: skip


def by_sqlite_utils(file: Path, database: Path) -> None:
    import sqlite_utils

    table = sqlite_utils.Database(database)["work"]
    with file.open() as lines:
        records = ({**r, "authors": "; ".join(r["authors"])} for r in map(json.loads, lines))
        table.insert_all(records, batch_size=5_000)
    table.enable_fts(["title", "authors", "venue"])
    table.create_index(["year"])


async def by_datasette(database: Path, questions: list[tuple[str, str, int]]) -> list[float]:
    """The same questions: two words, a span of years, counts by year; answered within the process, without a network."""
    from datasette.app import Datasette

    served = Datasette([str(database)], settings={"sql_time_limit_ms": 10_000, "facet_time_limit_ms": 10_000})
    await served.invoke_startup()
    taken = []
    for one, other, year in questions:
        address = (
            f"/outside/work.json?_search={one}+{other}&year__gte={year}&year__lte={year + 8}"
            "&_facet=year&_size=20&_fts_table=work_text&_fts_pk=rowid"
        )
        begun = time.perf_counter()
        answer = await served.client.get(address)
        taken.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text[:300]
    return taken


def lineage(folder: Path, n: int) -> list[Line]:
    rng = random.Random(2)
    engine = db.open_database(folder / "graph.sqlite3")
    with engine.begin() as connection:
        raw = connection.connection.cursor()
        raw.executemany(
            "INSERT INTO milestone (id, position, track, kind, title, short, date, first, last, entry) "
            "VALUES (?, ?, 'theory', 'event', ?, ?, ?, ?, ?, '{}')",
            ((f"m-{i}", i, f"Title {i}", f"M {i}", f"{1900 + i * 120 // n}", f"{1900 + i * 120 // n}-01-01",
              f"{1900 + i * 120 // n}-12-31") for i in range(n)),
        )  # fmt: skip
        pairs = {(i, rng.randrange(max(0, i - 20_000), i)) for i in range(1, n) for _ in range(5)}
        raw.executemany(
            "INSERT INTO link (source, target, type, how) VALUES (?, ?, 'builds_on', 'takes it up')",
            ((f"m-{a}", f"m-{b}") for a, b in pairs),
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened: list[nx.MultiDiGraph] = []
    opening = timed(lambda: opened.append(graph.lineage(engine)))
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
    whole = opened[0]
    middle, last = f"m-{n // 100}", f"m-{n - 1}"
    above = seconds(lambda: graph.ancestors(whole, middle), 5)
    above_nx = seconds(lambda: nx.ancestors(whole.reverse(copy=False), middle), 5)
    way = seconds(lambda: graph.paths(whole, last, middle, limit=1), 5)
    way_nx = seconds(lambda: nx.shortest_path(whole, last, middle), 5)
    size = f"{n:,} milestones and {len(pairs):,} links"
    return [
        Line(f"opening {size}", opening, "", None, "under 5 s", opening < 5),
        Line("memory it takes", memory, "", None, "under 1,000 MB", memory < 1000, unit="MB"),
        Line("ancestors", above, "nx.ancestors", above_nx, "under 50 ms", above < 0.05),
        Line("shortest path", way, "nx.shortest_path", way_nx, "under 50 ms", way < 0.05),
    ]


if __name__ == "__main__":
    main()
