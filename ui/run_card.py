"""A run as one HTML file that needs nothing else: claims with verdicts, curves, machine, date."""

import html
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kb.tables import Run
from ui import claim_cards, format
from ui.claim_status import ClaimStatus
from ui.site.drawings import curves_html

UI = Path(__file__).parent
STYLES = (UI / "style.css", UI / "site/assets/drawings.css", UI / "run_card.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p class="small">{origin}</p>
{claims}
{curves}
<p class="small">{again}</p>
</body>
</html>
"""


def run_card(
    run: Run, title: str, statuses: Sequence[ClaimStatus], rows: list[dict[str, Any]]
) -> str:
    """The card of a run that has ended; `rows` are what its curves are drawn from."""
    return PAGE.format(
        title=html.escape(title),
        style="\n".join(file.read_text(encoding="utf-8") for file in STYLES),
        origin=html.escape(_origin(run)),
        claims="".join(
            f'<div class="kb-box">{claim_cards.card_html(status)}</div>' for status in statuses
        ),
        curves=curves_html(rows),
        again=html.escape(
            f"The executable history of deep learning: `kb run {run.implementation} --preset "
            f"{run.preset} --seed {run.settings.get('seed', 0)}` measures it again. "
            f"Source {run.source_hash[:12]}."
        ),
    )


def _origin(run: Run) -> str:
    """When, on what, with which settings."""
    day = time.strftime("%Y-%m-%d", time.gmtime(run.finished or run.submitted))
    took = format.duration((run.finished or 0) - (run.started or run.finished or 0))
    environment = run.environment or {}
    device = environment.get("device_name", run.device)
    torch = f", torch {environment['torch']}" if "torch" in environment else ""
    changes = "".join(
        f", {name} = {value}" for name, value in run.changes.items() if name != "seed"
    )
    return (
        f"{day}, {took} on {device}{torch}; preset {run.preset}, seeds from "
        f"{run.settings.get('seed', 0)}{changes}."
    )
