"""`python -m impl.NAME`: runs an implementation in this process and shows what it yields.

It ends with the table of verdicts.
"""

import argparse
import ast
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, asdict, fields, replace
from pathlib import Path
from typing import Any

import torch

from impl.kit import parallel
from impl.kit.broken import Broken, take_out
from impl.kit.device import pick_device
from impl.kit.events import Event, Figure, Progress, Row
from impl.kit.verdicts import Verdict

Run = Callable[[Any, torch.device], Iterator[Event]]
Check = Callable[[list[Row]], list[Verdict]]


def main(
    doc: str | None,
    presets: dict[str, Any],
    run: Run,
    check: Check,
    broken: Broken | None = None,
    argv: Sequence[str] | None = None,
) -> int:
    """Exit status 0 if the run finished, whatever the verdicts; 2 if the settings can't be used."""
    parser = build_parser(doc, presets, broken or {})
    args = parser.parse_args(argv)
    try:
        changes = [item.partition("=")[::2] for item in args.set]
        if args.seed is not None:
            changes.append(("seed", str(args.seed)))
        config = change(presets[args.preset], dict(changes))
        device = parallel.join(pick_device(args.device))
    except ValueError as error:
        parser.error(str(error))

    with take_out(broken or {}, args.broken, config) as config:
        rows = _consume(run(config, device), args)
    parallel.leave()
    if parallel.rank():
        return 0
    verdicts = check(rows)
    if args.json:
        for verdict in verdicts:
            print(json.dumps({"event": "verdict", **asdict(verdict)}))
    else:
        print(table(verdicts))
    return 0


def build_parser(
    doc: str | None, presets: dict[str, Any], broken: Broken
) -> argparse.ArgumentParser:
    config = next(iter(presets.values()))
    parser = argparse.ArgumentParser(
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="settings: "
        + ", ".join(f"{field.name}={getattr(config, field.name)!r}" for field in fields(config)),
    )
    parser.add_argument("--preset", choices=presets, default="quick")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, xpu")
    parser.add_argument("--seed", type=int, help="the first seed; the others follow it")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting"
    )
    parser.add_argument(
        "--broken", choices=broken, metavar="CLAIM", help="take the idea of this claim out"
    )
    parser.add_argument("--out", type=Path, help="folder to write the figures to")
    parser.add_argument(
        "--json", action="store_true", help="print rows and verdicts as JSON lines, nothing else"
    )
    return parser


def _consume(events: Iterator[Event], args: argparse.Namespace) -> list[Row]:
    """Shows the events, writes the figures, and returns the rows.

    All processes but the first are silent: they only return the rows.
    """
    if parallel.rank():
        return [event for event in events if isinstance(event, dict)]
    rows: list[Row] = []
    show = _print_json if args.json else _Screen(sys.stderr.isatty())
    for event in events:
        if isinstance(event, dict):
            rows.append(event)
        elif isinstance(event, Figure) and args.out:
            args.out.mkdir(parents=True, exist_ok=True)
            suffix = "" if event.step is None else f"-{event.step:06d}"
            (args.out / f"{event.name}{suffix}.png").write_bytes(event.png)
        show(event)
    return rows


def change(config: Any, changes: dict[str, str]) -> Any:
    """`config` with settings given as text.

    Raises ValueError naming the setting that doesn't exist or doesn't fit.
    """
    known: dict[str, Field[Any]] = {field.name: field for field in fields(config)}
    values = {}
    for key, text in changes.items():
        if key not in known:
            raise ValueError(f"no setting {key!r}; there are {', '.join(known)}")
        values[key] = parse(text, getattr(config, key), key)
    return replace(config, **values)


def parse(text: str, like: object, key: str) -> object:
    """`text` as a value of the same type as `like`. Raises ValueError if it can't be one."""
    if isinstance(like, str):
        return text
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        raise ValueError(f"{key}={text}: not a value like {like!r}") from None
    if isinstance(like, float) and type(value) is int:
        value = float(value)
    if isinstance(like, tuple) and not isinstance(value, tuple):
        value = (value,)
    if type(value) is not type(like):
        raise ValueError(f"{key}={text}: a {type(like).__name__} is wanted, such as {like!r}")
    return value


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as a table for a terminal."""
    head = ("claim", "verdict", "measured", "baseline", "effect, 95% interval", "unit")
    body = [
        (v.claim, v.verdict, _number(v.measured), _number(v.baseline), _effect(v), v.unit)
        for v in verdicts
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in [head, *body]
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    whole = math.isfinite(value) and value == int(value)
    return f"{value:,.0f}" if whole and abs(value) >= 1000 else f"{value:.4g}"


def _effect(v: Verdict) -> str:
    span = "" if v.interval is None else f" ({v.interval[0]:.3g} .. {v.interval[1]:.3g})"
    return "-" if v.effect is None else f"{v.effect:.3g}{span}"


def _print_json(event: Event) -> None:
    if isinstance(event, dict):
        print(json.dumps({"event": "row", **event}), flush=True)


class _Screen:
    """Rows as they come, and one progress line that rewrites itself where the terminal allows."""

    def __init__(self, live: bool) -> None:
        self.live, self.started, self.shown = live, time.monotonic(), 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress):
            seconds = time.monotonic() - self.started
            if self.live:
                left = seconds * (event.total - event.done) / event.done if event.done else 0.0
                bar = "#" * round(24 * event.done / event.total)
                print(
                    f"\r\033[K[{bar:<24}] {seconds:4.0f} s, {left:.0f} s left  {event.note}",
                    end="",
                    file=sys.stderr,
                )
            elif seconds - self.shown >= 5 or event.done >= event.total:
                self.shown = seconds
                print(
                    f"{event.done / event.total:4.0%} {seconds:4.0f} s  {event.note}",
                    file=sys.stderr,
                )
            if self.live and event.done >= event.total:
                print(file=sys.stderr)
        elif isinstance(event, dict):
            text = "  ".join(
                f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in event.items()
            )
            print(("\r\033[K" if self.live else "") + text)
