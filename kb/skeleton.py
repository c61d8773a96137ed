"""Templates for a new milestone and its implementation, written by `kb new paper ID`."""

import re
from pathlib import Path

from kb import paths, yamlfile
from kb.schema import date_range

CLAIM = "claim-id"  # of the template, to be replaced
ENTRY_TEMPLATE = """- id: {id}
  draft: true      # checked, but not loaded; remove this line when the entry is whole
  track: theory
  kind: paper
  title: ""        # as the paper prints it
  short: ""        # the label on the timeline, at most 22 characters
  date: "{date}"         # "2015-02-11", "2015-02" or "2015": as precise as the source
                   # date_is: submitted, if that is the day on arXiv; then also arxiv: "1803.03635"
  authors: []
  venue: ""
  url: ""
  tags: []
  idea: ""         # one or two plain sentences
  story: ""        # what it changed, in markdown; equations in LaTeX
  links: []        # - {{to: backprop, as: builds_on, how: trains with it}}
  impl: {name}
  code: []         # for each equation between $$ the function or class that computes it
  claims: []       # - {{id: ..., says: ..., where: Table 2,
                   #    published: {{unit: ..., baseline: 1.6, idea: 1.35}}}}
  sources: []      # - {{url: "https://...", read: "2026-01-31", primary: true}}
"""

IMPLEMENTATION_TEMPLATE = '''"""Title. Authors, where published, year.

Claims      claim-id  what the paper claims, in one sentence (Table 1)
Deviations  1  what differs from the paper
Left out    what the paper has and this file hasn't
Shapes      B examples, D inputs, H hidden units
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import (
    Comparison,
    Event,
    Protocol,
    Row,
    TrialEvent,
    Verdict,
    judge,
    main,
    run_protocol,
)
from impl.kit.broken import Broken
from impl.kit.data import draw_split, handwriting
from impl.kit.figures import curves
from impl.kit.supervised import descend, error, standardize


class Idea(nn.Module):
    """Eq. 1: what the paper adds. [B, H] -> [B, H]"""

    def forward(self, x: Tensor) -> Tensor:
        return x


@dataclass(frozen=True)
class Config:  # the defaults are the paper's, and the comment says where it gives them
    data: str = "auto"  # ours: MNIST where it can be had, else scikit-learn's digits
    n: int = 1_000  # ours: training images
    H: int = 64  # Sec. 1
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3)  # ours: the grid, the same for both arms
    updates: int = 300  # ours
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
QUICK = replace(PAPER, updates=200)
SMOKE = replace(PAPER, data="digits", n=100, lrs=(0.1,), updates=4, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": PAPER, "paper": PAPER}

PROTOCOL = Protocol(arms=("idea", "rival"), grid={"lr": "lrs"})
CLAIMS = (
    Comparison(
        claim="claim-id",
        idea="idea",
        rival="rival",
        measure="test_error",
        better="lower",
        margin=0.5,
        because="half of the gain of Table 1",
        unit="% test error",
    ),
)
BROKEN: Broken = {"claim-id": {}}  # the settings that take the idea out


def trial(
    cfg: Config, device: torch.device, *, arm: str, seed: int, lr: float
) -> Iterator[TrialEvent]:
    """Trains one net: one arm, one seed, one point of the grid."""
    data = handwriting(cfg.data).to(device)
    split = standardize(draw_split(data, cfg.n, validation=300, seed=seed))
    x, y = split.x_train, split.y_train
    middle = Idea() if arm == "idea" else nn.Identity()
    net = nn.Sequential(nn.Linear(x.shape[1], cfg.H), nn.ReLU(), middle, nn.Linear(cfg.H, 10))
    optimizer = torch.optim.SGD(net.to(device).parameters(), lr=lr)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(net(x), y)

    for step, loss in descend(loss_of, optimizer, x, y, batch=50, updates=cfg.updates, seed=seed):
        if step % -(-cfg.updates // 4) == 0:
            val_error = error(net, split.x_val, split.y_val)
            yield dict(step=step, loss=loss.item(), val_error=val_error)
    yield dict(
        val_error=error(net, split.x_val, split.y_val),
        test_error=error(net, split.x_test, split.y_test),
        data=data.name,
    )


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    chosen = yield from run_protocol(trial, cfg, PROTOCOL, device)
    lines = {
        arm: [(trial.seed, float(trial.row["test_error"])) for trial in chosen if trial.arm == arm]
        for arm in PROTOCOL.arms
    }
    yield curves("errors", lines, "Both arms, seed by seed", x="seed", y="% test error")


def check(rows: list[Row]) -> list[Verdict]:
    return judge(CLAIMS, rows)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check, BROKEN))
'''


def is_template(module: Path) -> bool:
    """Whether an implementation still has the claim of the template, so is being written."""
    return f'claim="{CLAIM}"' in module.read_text(encoding="utf-8")


def create_paper(
    name: str,
    date: str = "",
    timeline: Path = paths.TIMELINE,
    folder: Path = paths.IMPLEMENTATIONS,
) -> list[str]:
    """Adds a draft of a milestone to the timeline and its implementation to the folder.

    The entry stands in its place by date, or at the end if there is none. A milestone that is there
    without an implementation keeps its entry. Returns lines for the user that say where they are.
    Raises ValueError if the id or the date is malformed, if the milestone has an implementation, or
    if the project is installed without a checkout.
    """
    _require_checkout(timeline)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(
            f'"{name}" is not a valid id; use small letters, digits and dashes, '
            f"beginning with a letter"
        )
    document = yamlfile.read_yaml(timeline)
    entries = document.value or []
    module = folder / f"{name.replace('-', '_')}.py"
    existing = {entry.get("id"): number for number, entry in enumerate(entries)}
    if name in existing and "impl" in entries[existing[name]]:
        raise ValueError(f'{timeline} already has a milestone "{name}" with an implementation')
    if module.exists():
        raise ValueError(f"{module} already exists")
    if name in existing:
        line = document.places[(existing[name],)][0]
        hint = f"; it needs `kind: paper`, `venue`, `impl: {module.stem}` and `claims`"
    else:
        entry = ENTRY_TEMPLATE.format(id=name, name=module.stem, date=date)
        line, hint = _insert_entry(timeline, document, entry, date), ""
    paths.replace_text(module, IMPLEMENTATION_TEMPLATE)
    return [
        f"{timeline}:{line}: the milestone{hint}",
        f"{module}:1: the implementation",
        "`kb check` says what is to be filled in",
    ]


def _require_checkout(timeline: Path) -> None:
    if not paths.IS_CHECKOUT and timeline == paths.TIMELINE:
        raise ValueError(
            "`kb new` writes into a checkout of the project; clone it and install it with "
            "pip install -e ."
        )


def _insert_entry(timeline: Path, document: yamlfile.Document, entry: str, date: str) -> int:
    """Writes the entry before the first one that is later; returns its line, counted from 1."""
    text = timeline.read_text(encoding="utf-8").rstrip() + "\n\n"
    lines = text.splitlines(keepends=True)
    before = len(lines)
    if date:
        last = date_range(date)[1]
        before = next(
            (
                document.places[(number,)][0] - 1
                for number, other in enumerate(document.value or [])
                if other.get("date") and date_range(other["date"])[0] > last
            ),
            len(lines),
        )
    written = "".join([*lines[:before], entry, "\n", *lines[before:]])
    paths.replace_text(timeline, written.rstrip() + "\n")
    return before + 1
