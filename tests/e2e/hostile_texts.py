"""Texts that would like to be markup, in every field of a timeline, a run and a library.

Each begins with the name of its field, so that a page can be asked whether it shows it.
"""

import json
import time
from pathlib import Path
from typing import Any

from PIL import Image
from sqlalchemy import Engine
from sqlmodel import Session

from kb import implementations
from kb.tables import Artifact, Run, RunRow, RunVerdict

SCRIPT = (
    '<script>window.hit=1</script> <img src=x onerror="window.hit=1"> '
    "<img/src=x/onerror=window.hit=1>"
)
MARKUP = (
    f"{SCRIPT} [x](javascript:window.hit=1) ![x](https://example.com/x.png) "
    "<https://example.com/y> "
    r"$\href{javascript:window.hit=1}{x}$ $$\includegraphics{https://example.com/x.png}$$ "
    ":material/home: :material_home: :streamlit: :rocket: :red[r] `code` ``` **b** _i_ ~~s~~ "
    "&lt;b&gt; &#x41; a -> b a <= b"
    "\n\n# head\n\n1. one\n\n- dot\n\n    indented\n\n| a | b |\n|---|---|\n| c | d |\n\n===\n\n"
    "> said"
)
STORY = rf"""It changed much. {SCRIPT} [script](javascript:window.hit=1)
[data](data:text/html,<script>window.hit=1</script>)
![x](https://example.com/x.png) ![x][picture]
[![x](https://example.com/x.png)](https://example.com/inside)
[a link](https://example.com/page) [entity](&#100;ata:text/html,x) [file](file:///etc/passwd)
<data:text/html,y> [r][ref]
$\href{{javascript:window.hit=1}}{{x}}$ $\includegraphics{{https://example.com/x.png}}$
$\htmlData{{a=b}}{{x}}$ $\url{{javascript:window.hit=1}}$
$\text{{<img/src=x/onerror=window.hit=1>}}$ $\frac{{$ $E = mc^2$

<img/src=x/onerror=window.hit=1>

<iframe src="https://example.com/frame"></iframe>

[picture]: https://example.com/x.png

[ref]: blob:x

```mermaid
flowchart LR
  a@{{ img: "https://example.com/x.png", label: "x" }} --> b["<img src=x onerror=window.hit=1>"]
  click a "javascript:window.hit=1"
```

> ~~~&#109;ermaid
> flowchart LR
>   a@{{ img: "https://example.com/x.png", label: "x" }}
> ~~~

The end.
"""
ADDRESS = "https://example.com/x)![x](https://example.com/x.png)'onerror='window.hit=1"
DOI = "10.1000/(a)1<2:x>![x](https://example.com/x.png)<img/src=x/onerror=window.hit=1>"


def hostile(field: str) -> str:
    """A text for that field."""
    return f"1. {field} {MARKUP}"


def as_read(text: str) -> str:
    return " ".join(text.split())


def _hostile(*fields: str) -> dict[str, Any]:
    return {field: hostile(field) for field in fields}


def timeline() -> list[dict[str, Any]]:
    """Entries in which each text is as hostile as the schema allows."""
    common = _hostile("short", "title", "idea", "venue", "date_note") | {
        "unconfirmed": [hostile("unconfirmed")],
        "story": "Told elsewhere.",
        "tags": ["script", "onerror"],
        "url": ADDRESS,
        "sources": [{"url": ADDRESS, "read": "2026-01-01", "note": hostile("note")}],
    }
    links = [
        {"to": "evil-chip", "as": "enabled_by", "how": as_read(hostile("how"))},
        {"to": "evil-data", "as": "evaluated_on", "how": as_read(hostile("how"))},
    ]
    figure = {"value": 1} | _hostile("unit", "format", "where", "note")
    entries = [
        _entry("evil-chip", "hardware", "chip", "2010", makers=[hostile("maker")])
        | {"spec": {"peak": figure}},
        _entry("evil-data", "data", "dataset", "2011", authors=[hostile("author")])
        | {"licence": hostile("licence"), "spec": {"size": figure}},
        _entry("evil-tool", "software", "tool", "2012", languages=[hostile("language")])
        | {"licence": hostile("licence"), "repository": ADDRESS, "links": links[:1]},
        _entry("evil-paper", "theory", "paper", "2014", authors=[hostile("author")])
        | {"makers": [hostile("maker")], "impl": "dropout", "claims": _claims(), "links": links},
        _entry("evil-story", "theory", "event", "2015", story=STORY, doi=DOI)
        | {"links": [{"to": "evil-paper", "as": "builds_on"}]},
        _long_named(),
    ]
    return [common | entry for entry in entries]


def _entry(id: str, track: str, kind: str, date: str, **fields: Any) -> dict[str, Any]:
    return {"id": id, "track": track, "kind": kind, "date": date, **fields}


def _claims() -> list[dict[str, Any]]:
    published = {"unit": hostile("unit"), "baseline": 2.0, "idea": 1.0}
    published["note"] = hostile("published")
    claim = _hostile("says", "where") | {"published": published}
    return [{"id": id} | claim for id in implementations.read("dropout").claims]


def _long_named() -> dict[str, Any]:
    """Names that no layout expects: endless words, right to left, stacked marks. Characters that
    can't be seen are refused in a timeline."""
    word, hebrew, marks = "Überlang" * 40, "נייר על רשתות", "Z̴̡͓a̶̼͝l̷̰̈g̴͍̈o̵̜͝" * 3
    name = f"{word} {hebrew} {marks} 👩‍👩‍👧‍👦🏳️‍🌈 深度學習的歷史" * 2
    names = {"title": name, "short": name, "idea": name, "venue": name, "authors": [name]}
    links = [{"to": "evil-paper", "as": "builds_on", "how": name}]
    return _entry("long-named", "theory", "event", "2016", **names, links=links)


RUNS = {"evil-ended": "succeeded", "evil-failed": "failed", "evil-waiting": "queued"}


def add_runs(engine: Engine, folder: Path) -> None:
    """A run of each outcome, with texts that no implementation of ours would write."""
    now = time.time()
    with Session(engine) as session:
        for id, status in RUNS.items():
            session.add(_run(id, status, now))
            for n in range(4):
                values = {"net": hostile("net"), hostile("measure"): float(n)}
                values |= {"loss": 1.0, "seed": 0, "step": n}
                session.add(RunRow(run=id, number=n, at=now, values=values))
            for n, claim in enumerate(("lower-test-error", hostile("claim"))):
                session.add(_verdict(id, n, claim))
            for n, file in enumerate(("picture.png", hostile("file"))):
                session.add(_artifact(id, n, file))
            (folder / "runs" / id).mkdir(parents=True)
            (folder / "runs" / id / "log.txt").write_text(hostile("log"))
            Image.new("RGB", (4, 4)).save(folder / "runs" / id / "picture.png")
        session.commit()


def _run(id: str, status: str, now: float) -> Run:
    ended = {} if status == "queued" else {"finished": now} | _hostile("reason", "traceback")
    return Run(
        id=id,
        status=status,
        implementation="dropout",
        submitted=now,
        started=now,
        source_hash="0" * 64,
        git_commit=hostile("commit"),
        settings={"seed": 0, hostile("setting"): hostile(id)},
        changes={hostile("name"): hostile("value"), "seed": 0},
        environment=_hostile("device", "device_name", "torch", "python"),
        note=hostile("run note"),
        **_hostile("preset", "device"),
        **ended,
    )


def _verdict(id: str, number: int, claim: str) -> RunVerdict:
    numbers: dict[str, Any] = dict(measured=1.0, baseline=2.0, effect=1.0, low=0.5, high=1.5, n=5)
    texts = _hostile("unit", "rule")
    return RunVerdict(run=id, number=number, claim=claim, verdict="reproduced", **numbers, **texts)


def _artifact(id: str, number: int, file: str) -> Artifact:
    name = "missing" if number else hostile("artifact")
    caption = hostile("caption")
    return Artifact(
        run=id, number=number, name=name, caption=caption, file=file, size=1, sha256="0" * 64
    )


def write_literature(folder: Path) -> list[Path]:
    """Writes a library in three formats."""
    work = _hostile("title", "venue", "abstract") | {
        "url": "https://example.com/'onerror='hit)",
        "code": "https://example.com/)![x](https://example.com/x.png)",
        "authors": [hostile("author")],
        "year": 2014,
    }
    files = {
        "library.jsonl": json.dumps(work),
        "library.bib": f"@article{{x, title = {{From BibTeX {SCRIPT} ![x](y)}}, year = 2015}}\n",
        "library.csv": "title,year\nFrom CSV <img/src=x/onerror=window.hit=1> ![x](y),2016\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]
