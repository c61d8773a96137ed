"""`kb new paper ID`: a milestone and its implementation to be filled in. `kb check` names what is still empty."""

import re
from pathlib import Path

import yaml

from kb import places

ENTRY = """
- id: {id}
  track: theory
  kind: paper
  title: ""        # as the paper prints it
  short: ""        # the label on the timeline, at most 22 characters
  date: ""         # "2015-02-11", "2015-02" or "2015": as precise as the source
  authors: []
  venue: ""
  url: ""
  tags: []
  idea: ""         # one or two plain sentences
  story: ""        # what it changed, in markdown; equations in LaTeX
  links: []        # - {{to: backprop, as: builds_on, how: trains with it}}
  impl: {name}
  claims: []       # - {{id: ..., says: ..., where: Table 2, published: {{unit: ..., baseline: 1.6, idea: 1.35}}}}
  sources: []      # - {{url: "https://...", read: "2026-01-31"}}
"""

IMPLEMENTATION = '''"""Title. Authors, where published, year.

Claims      claim-id  what the paper claims, in one sentence (Table 1)
Deviations  1  what differs from the paper
Left out    what the paper has and this file hasn't
Shapes      B examples
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from impl.kit import Event, Progress, Row, Verdict, by_seed, compare, main


@dataclass(frozen=True)
class Config:  # the defaults are the paper's, and the comment says where it gives them
    seeds: int = 5  # ours: how many repetitions
    seed: int = 0  # ours: the first of them


PAPER = Config()
PRESETS = {}  # "smoke": seconds, "quick": at most 60 s, "full": at most 15 min, "paper": PAPER


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    for seed in range(cfg.seed, cfg.seed + cfg.seeds):
        torch.manual_seed(seed)
        yield dict(net="idea", seed=seed, step=0, error=1.0)
        yield dict(net="baseline", seed=seed, step=0, error=1.0)
        yield Progress(seed - cfg.seed + 1, cfg.seeds)


def check(rows: list[Row]) -> list[Verdict]:
    idea, baseline = by_seed(rows, "error", net="idea"), by_seed(rows, "error", net="baseline")
    return [compare("claim-id", idea, baseline, better="lower", margin=0.1, unit="% test error")]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
'''


def paper(name: str, timeline: Path = places.TIMELINE, folder: Path = places.IMPLEMENTATIONS) -> list[str]:
    """Writes both; returns a line for each. Raises ValueError if the id is unfit or taken, or there is no checkout."""
    if not places.CHECKOUT and timeline == places.TIMELINE:
        raise ValueError(
            "`kb new` writes into a checkout of the project; clone it, and install it with pip install -e ."
        )
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f'"{name}" is no id; use small letters, digits and dashes, beginning with a letter')
    text = timeline.read_text(encoding="utf-8")
    if name in {entry.get("id") for entry in yaml.load(text, yaml.CSafeLoader) or []}:
        raise ValueError(f'{timeline} has a milestone "{name}" already')
    module = folder / f"{name.replace('-', '_')}.py"
    if module.exists():
        raise ValueError(f"{module} exists already")
    line = text.rstrip().count("\n") + 3
    timeline.write_text(text.rstrip() + "\n" + ENTRY.format(id=name, name=module.stem), encoding="utf-8")
    module.write_text(IMPLEMENTATION, encoding="utf-8")
    return [
        f"{timeline}:{line}: the milestone",
        f"{module}:1: the implementation",
        "`kb check` says what is to be filled in",
    ]
