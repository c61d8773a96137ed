"""RESULTS.md: the record of the preset `quick` as a page for readers, written by `kb record`."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from kb import db, paths
from kb.formatting import format_gain, format_number, format_outcomes, format_published
from kb.results import RecordedVerdict, count_falls, recorded_verdicts

INTRODUCTION = """# Results

Every claim of every paper that runs here, as it was last measured. `kb record` runs the
implementations with the preset `quick` (about a minute each on two processor cores) and writes
this page and [results/quick.json](results/quick.json), which has the settings, the data and the
machine as well. {circumstances}

{headline} {without_ideas}

**Published** is the paper's figure, **Measured** is ours; "against" stands between the idea and its
rival. The two are often of different data and sizes; the unit says what was measured here.
The idea and its rival get the same budget and the same data, and choose their settings on data
that is not the test set. **Gain** is the mean difference over the seeds, positive where the idea is
better, with the 95% interval of the paired differences; a ratio is followed by "times".

What a **verdict** means, where the margin is the smallest gain that would matter, fixed in the
implementation beforehand:

- *reproduced*: the whole interval is at or above the margin;
- *weaker*: the gain is in the claimed direction, but smaller than the margin or not surely \
as large;
- *not reproduced*: the whole interval is below the margin, and reaches zero;
- *inconclusive*: the seeds differ too much to tell;
- *not measured*: `quick` does not run it.

If the claim is that something costs nothing or makes no difference, a tolerance takes the margin's
place, and the interval must stay within it. An *identity* is mathematics or a count: it *holds* or
*fails*. Each value measured must be within a tolerance of the value expected; the one furthest from
it is shown, and its distance is given instead of a gain.

**Stable** means that three blocks of seeds or more gave the same verdict, **fragile** that they did
not. **Without the idea** is the verdict with the idea taken out on purpose: a claim that still
stands then would prove nothing. For one that does not stand with it either, it tells little.

"""


def page_file() -> Path:
    return paths.ROOT / "RESULTS.md"


def write_page(engine: Engine, file: Path | None = None) -> Path:
    """Writes the whole page from the record and the database's milestones; returns the file."""
    file = file or page_file()
    labels = {row.id: f"{row.short}, {row.date[:4]}" for row in db.milestones(engine)}
    verdicts = list(recorded_verdicts(db.claims(engine)))
    paths.replace_text(file, render_page(verdicts, labels))
    return file


def render_page(verdicts: Sequence[RecordedVerdict], labels: Mapping[str, str]) -> str:
    """The page as Markdown; `labels` has a label for each milestone's id."""
    introduction = INTRODUCTION.format(
        circumstances=_circumstances(verdicts),
        headline=headline(verdicts),
        without_ideas=count_falls(verdicts),
    )
    return introduction + render_table(verdicts, labels) + "\n"


def _circumstances(verdicts: Sequence[RecordedVerdict]) -> str:
    """When, and on which machines, the verdicts were measured, in a sentence."""
    if not verdicts:
        return "Nothing has been measured yet."
    days = sorted({verdict.block["measured"] for verdict in verdicts})
    machines = sorted({str(verdict.block["environment"]["device_name"]) for verdict in verdicts})
    period = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    return f"Measured {period} on {', '.join(machines)}."


def headline(verdicts: Sequence[RecordedVerdict]) -> str:
    """How the papers' own comparisons stand; then our comparisons, and the identities."""
    kinds = {
        "paper": "comparison of the papers",
        "ours": "comparison of ours",
        "identity": "identity",
    }
    plurals = {"paper": "comparisons of the papers", "ours": "comparisons of ours"}
    sentences = []
    for kind, name in kinds.items():
        outcomes = Counter(v.verdict["verdict"] for v in verdicts if v.verdict["kind"] == kind)
        if outcomes:
            total = outcomes.total()
            name = name if total == 1 else plurals.get(kind, "identities")
            counts = format_outcomes(dict(outcomes.most_common()))
            sentences.append(f"{total} {name}: {counts}.")
    return " ".join(sentences)


def render_table(verdicts: Iterable[RecordedVerdict], labels: Mapping[str, str]) -> str:
    """A line for each claim; the first one of a paper has its name, linked to its file."""
    head = ["Paper", "Claim", "Published", "Measured", "Gain, 95% interval", "Verdict"]
    head += ["Blocks", "Without the idea"]
    lines = [_line(head), _line(["---"] * len(head))]
    previous = ""
    for recorded in verdicts:
        claim, verdict = recorded.claim, recorded.verdict
        paper = f"[{labels[claim.milestone]}](impl/{claim.implementation}.py)"
        cells = [
            paper if claim.milestone != previous else "",
            claim.says,
            format_published(claim.published),
            _measured(verdict),
            format_gain(verdict),
            verdict["verdict"] + (" (ours)" if verdict["kind"] == "ours" else ""),
            format_stability(recorded),
            recorded.broken["verdict"] if recorded.broken else "-",
        ]
        lines.append(_line(cells))
        previous = claim.milestone
    return "\n".join(lines)


def format_stability(recorded: RecordedVerdict) -> str:
    """ "3, stable", "fragile: 2 reproduced, 1 weaker", or "1" for a single block."""
    if recorded.is_fragile:
        return f"fragile: {format_outcomes(dict(Counter(recorded.outcomes).most_common()))}"
    return f"{len(recorded.outcomes)}{', stable' if recorded.is_stable else ''}"


def _measured(verdict: Mapping[str, Any]) -> str:
    if verdict["measured"] is None:
        return "not measured by `quick`"
    relation = "must be" if verdict["kind"] == "identity" else "against"
    idea, baseline = format_number(verdict["measured"]), format_number(verdict["baseline"])
    return f"{idea} {relation} {baseline} {verdict['unit']}"


def _line(cells: Iterable[str]) -> str:
    """A line of a Markdown table; no cell has a line break, or a bar that would end it."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
