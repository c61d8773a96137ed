"""A small timeline for the tests of the search: milestones of each kind, and runs with verdicts."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine
from sqlmodel import Session

from kb import db
from kb.schema import MODEL_OF_KIND, Claim, Figure, Link, Milestone, Source
from kb.search import Answer, search
from kb.tables import Run, RunVerdict

SOURCES = [Source(url="https://example.org", read="2026-11-23")]


def milestone(id: str, track: str, kind: str, date: str, title: str, **fields: Any) -> Milestone:
    """A milestone. `links` are ids that it builds on, `claims` are ids too."""
    links = [Link.model_validate({"to": to, "as": "builds_on"}) for to in fields.pop("links", [])]
    claims = [
        Claim(id=claim, says="It is better.", where="Table 1") for claim in fields.pop("claims", [])
    ]
    entry = {
        "id": id,
        "track": track,
        "kind": kind,
        "date": date,
        "title": title,
        "short": id.upper(),
        "story": "Nothing more.",
        "links": links,
        "sources": SOURCES,
    }
    if kind == "paper":
        entry |= {"venue": "A journal", "impl": id, "claims": claims}
    return MODEL_OF_KIND[kind].model_validate(entry | fields)


TIMELINE = [
    milestone(
        *("lstm", "theory", "paper", "1997-11", "Long Short-Term Memory"),
        idea="An error carousel.",
        story="Cells with gates \ue000 remember <b>long</b> lags.",
        authors=["Sepp Hochreiter", "Jürgen Schmidhuber"],
        tags=["rnn"],
        claims=["adding", "size"],
    ),
    milestone(
        *("cuda", "software", "tool", "2006-11", "CUDA"),
        idea="C for graphics chips.",
        makers=["NVIDIA"],
        tags=["gpu"],
        licence="proprietary",
        languages=["C"],
    ),
    milestone(
        *("attention", "theory", "paper", "2014-09-01"),
        title="Neural Machine Translation by Jointly Learning to Align",
        idea="Look back at the source while translating.",
        authors=["Dzmitry Bahdanau"],
        tags=["rnn", "attention"],
        claims=["long"],
        links=["lstm"],
    ),
    milestone(
        *("volta", "hardware", "chip", "2017", "Tesla V100"),
        idea="Tensor cores.",
        story="It is too early for attention here.",
        makers=["NVIDIA"],
        tags=["gpu"],
        links=["cuda"],
        spec={"memory": Figure(value=16, unit="GB", where="datasheet")},
    ),
    milestone(
        *("transformer", "theory", "paper", "2017-06-12", "Attention Is All You Need"),
        idea="No recurrence at all.",
        authors=["Łukasz Kaiser", "Ashish Vaswani"],
        tags=["attention"],
        claims=["bleu"],
        links=["attention", "lstm"],
    ),
    milestone(
        *("award", "theory", "event", "2019", "An award"),
        idea="Three people are thanked.",
        links=["transformer"],
    ),
]
IDS = [m.id for m in TIMELINE]
RUNS = [  # implementation, preset, status, the verdict of each claim
    ("lstm", "quick", "succeeded", {"adding": "reproduced", "size": "inconclusive"}),
    ("lstm", "quick", "succeeded", {"adding": "not reproduced"}),
    ("lstm", "quick", "failed", {"adding": "reproduced"}),
    ("attention", "smoke", "succeeded", {"long": "reproduced"}),
    ("transformer", "full", "succeeded", {"bleu": "reproduced"}),
]


def load(engine: Engine) -> None:
    db.load_timeline(engine, TIMELINE)
    with Session(engine) as session:
        session.add_all(_recorded_runs())
        session.commit()


def _recorded_runs() -> Iterator[Run | RunVerdict]:
    for number, (implementation, preset, status, verdicts) in enumerate(RUNS):
        run_id = f"run-{number}"
        yield Run(
            id=run_id,
            implementation=implementation,
            preset=preset,
            status=status,
            device="cpu",
            submitted=0.0,
            finished=float(number),
            source_hash="0",
        )
        for claim, verdict in verdicts.items():
            yield RunVerdict(
                run=run_id, claim=claim, number=0, verdict=verdict, unit="%", n=3, rule="t"
            )


def ids(answer: Answer) -> list[str]:
    return [hit.id for hit in answer.hits]


def matches(engine: Engine, query: str) -> set[str]:
    """The milestones that match the query itself, not a correction of it."""
    answer = search(engine, query)
    return set() if answer.correction else set(ids(answer))
