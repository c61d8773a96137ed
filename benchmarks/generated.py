"""Generated data of any size, the same in every run: a timeline, literature, a lineage."""

import json
import random
from pathlib import Path
from typing import Any

import yaml
from sqlalchemy import Engine

WORDS = """
    neural network learning deep convolutional recurrent attention translation speech image
    recognition model language generative adversarial training optimization gradient bayesian
    inference graph embedding representation transfer reinforcement policy reward memory sequence
    parsing semantic syntactic corpus retrieval question answering summarization detection
    segmentation tracking pose video audio music robot control planning causal fairness privacy
    federated sparse quantization compression pruning distillation contrastive pretraining
    transformer dropout normalization residual capsule kernel manifold clustering topic variational
    diffusion energy boltzmann markov hidden latent factor tensor matrix
""".split()  # noqa: SIM905
PREFIXES = ("bio", "geo", "hyper", "meta", "multi", "neo", "para", "poly")
RARE_WORDS = [prefix + word for prefix in PREFIXES for word in WORDS]
FIRST_SYLLABLES = ("Ba", "Che", "Du", "Gri", "Ha", "Ji", "Ko", "Li", "Mo", "Na", "Ro", "Sa")
LAST_SYLLABLES = ("ker", "lin", "man", "nov", "shi", "ta")
NAMES = [first + last for first in FIRST_SYLLABLES for last in LAST_SYLLABLES]
LINKS = 3  # of each milestone of the timeline
LINEAGE_LINKS = 5  # of each milestone of the lineage
LINEAGE_REACH = 20_000  # how many milestones earlier a link leads at most


def timeline(count: int) -> str:
    """A valid timeline of events, as YAML."""
    rng = random.Random(0)
    entries: list[dict[str, Any]] = []
    for i in range(count):
        entry: dict[str, Any] = {
            "id": f"m-{i}",
            "track": "theory",
            "kind": "event",
            "title": " ".join(rng.choices(WORDS, k=6)),
            "short": f"Event {i}",
            "date": str(1943 + i * 80 // count),
            "authors": [rng.choice(NAMES)],
            "tags": [rng.choice(WORDS)],
            "idea": " ".join(rng.choices(WORDS, k=20)) + ".",
            "story": " ".join(rng.choices(WORDS, k=120)) + ".",
            "sources": [{"url": f"https://example.org/{i}", "read": "2026-01-01"}],
        }
        if i > 10:
            entry["links"] = [
                {"to": f"m-{target}", "as": "builds_on", "how": "takes up its idea"}
                for target in rng.sample(range(i), LINKS)
            ]
        entries.append(entry)
    return yaml.dump(entries, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)


def write_works(file: Path, count: int) -> None:
    """Literature, a JSON object in each line; every title is unique."""
    rng = random.Random(1)
    with file.open("w") as out:
        for i in range(count):
            words = [*rng.choices(WORDS, k=5), *rng.choices(RARE_WORDS, k=3), f"x{i}"]
            rng.shuffle(words)
            work = {
                "title": " ".join(words),
                "authors": [f"{rng.choice(NAMES)} {rng.choice(NAMES)}" for _ in range(3)],
                "year": 1970 + int(55 * rng.random() ** 0.4),
                "venue": f"Conference on {rng.choice(WORDS)}",
                "doi": f"10.1234/{i}",
            }
            out.write(json.dumps(work) + "\n")


def insert_lineage(engine: Engine, count: int) -> int:
    """Writes milestones with links to the database; returns how many links."""
    rng = random.Random(2)
    links = {
        (i, rng.randrange(max(0, i - LINEAGE_REACH), i))
        for i in range(1, count)
        for _ in range(LINEAGE_LINKS)
    }
    years = [1900 + i * 120 // count for i in range(count)]
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.executemany(
            "INSERT INTO milestone "
            "(id, position, track, kind, title, short, date, first, last, entry) "
            "VALUES (?, ?, 'theory', 'event', ?, ?, ?, ?, ?, '{}')",
            (
                (f"m-{i}", i, f"Title {i}", f"M {i}", f"{year}", f"{year}-01-01", f"{year}-12-31")
                for i, year in enumerate(years)
            ),
        )
        cursor.executemany(
            "INSERT INTO link (source, target, type, how) VALUES (?, ?, 'builds_on', 'uses it')",
            ((f"m-{source}", f"m-{target}") for source, target in links),
        )
    return len(links)
