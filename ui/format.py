"""Dates, numbers, durations and devices as the app writes them, in plain text."""

from datetime import UTC, datetime
from typing import Any

from kb.tables import Run

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def authors(entry: dict[str, Any]) -> str:
    """Authors, then makers."""
    return ", ".join([*entry.get("authors", []), *entry.get("makers", [])])


def facts(entry: dict[str, Any]) -> dict[str, str]:
    """What else is known of a milestone, by name."""
    known = {
        "Licence": entry.get("licence"),
        "Languages": ", ".join(entry.get("languages", [])),
        "Tags": ", ".join(entry.get("tags", [])),
        "About the date": entry.get("date_note"),
    }
    return {name: text for name, text in known.items() if text}


def addresses(entry: dict[str, Any]) -> dict[str, str]:
    """Where a milestone is on the web, by name."""
    known = {
        "Home": entry.get("url"),
        "Repository": entry.get("repository"),
        "arXiv": entry.get("arxiv") and f"https://arxiv.org/abs/{entry['arxiv']}",
        "DOI": entry.get("doi") and f"https://doi.org/{entry['doi']}",
    }
    return {name: url for name, url in known.items() if url}


def spec_rows(spec: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """The figures of a chip, a model or a data set, as the rows of a table."""
    rows = []
    for name, figure in spec.items():
        value = f"{figure['value']:,} {figure['unit']}"
        if "format" in figure:
            value += f", {figure['format']}"
        if "note" in figure:
            value += f" ({figure['note']})"
        rows.append({"figure": name.replace("_", " "), "value": value, "source": figure["where"]})
    return rows


def date(text: str) -> str:
    """ "2014-06-15" becomes "15 June 2014", "2014-06" "June 2014"."""
    year, *rest = text.split("-")
    if not rest:
        return year
    month = MONTHS[int(rest[0]) - 1]
    return f"{int(rest[1])} {month} {year}" if len(rest) > 1 else f"{month} {year}"


def number(value: float | None) -> str:
    """At most four digits, without an exponent up to a billion; a dash for None."""
    if value is None:
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.4g}"
    return f"{value:,.0f}" if 1e3 <= abs(value) < 1e9 else f"{value:.2g}"


def age(timestamp: float) -> str:
    """The time since then, as "2 hours ago"."""
    seconds = max(0.0, datetime.now(UTC).timestamp() - timestamp)
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def byte_size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def run_device(run: Run) -> str:
    """The device that the run was assigned; before that, the device that it requests."""
    return environment_device(run.environment) if run.environment else run.device


def environment_device(environment: dict[str, Any]) -> str:
    """The device in the environment of a run or of an entry of the record."""
    return f"{environment['device']} ({environment['device_name']})"
