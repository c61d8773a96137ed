"""The scripts of a site, and the data that they read.

A page that is opened from a folder can neither load modules nor fetch files: so the components are
classic scripts here, and data are scripts that assign or hand over a value.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ui import components, lineage_query, timeline_view
from ui.components.bundle import bundle_script
from ui.lineage import picture_data
from ui.site.content import Content
from ui.timeline import timeline_data

UI = Path(__file__).parent.parent
ASSETS = Path(__file__).parent / "assets"
COMPONENTS = ("timeline", "lineage", "neighbours", "terms")
DEPTHS = ("1", "2", "3")  # how many links away the lineages of a site reach
COMMON = ("verbs", "left", "box", "badge")  # what every picture of a lineage has alike
PLACE = ("id", "x", "y", "width", "hidden", "role")  # of a milestone in one of them


def assets() -> Iterator[tuple[str, str]]:
    """The style sheets and scripts; the app's own style comes first."""
    styles = (UI / "style.css", ASSETS / "drawings.css", ASSETS / "site.css")
    yield "assets/style.css", "".join(file.read_text(encoding="utf-8") for file in styles)
    yield "assets/icon.svg", (UI / "icon.svg").read_text(encoding="utf-8")
    for file in sorted(ASSETS.glob("*.js")):
        yield f"assets/{file.name}", file.read_text(encoding="utf-8")
    for name in COMPONENTS:
        folder = UI / name
        script = bundle_script(folder / f"{name}.js", f"kbSite.components.{name}")
        css = f"kbSite.styles.{name} = {as_json(components.style(folder))};\n"
        yield f"assets/{name}-component.js", css + script


def as_json(value: Any) -> str:
    """Compact JSON with numbers of four decimals at most."""
    return json.dumps(_rounded(value), ensure_ascii=False, separators=(",", ":"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value


def milestones_script(content: Content) -> str:
    """What the timeline draws, with the words by which people search besides."""
    items = timeline_view.timeline_items(content.milestones.values(), content.lineage)
    times = [(item["start"] + item["end"]) / 2 for item in items]
    data = timeline_data(items, times, until=max(times))
    for row, milestone in zip(data["rows"], content.milestones.values(), strict=True):
        entry = milestone.entry
        people = [*entry.get("authors", []), *entry.get("makers", [])]
        row += [", ".join(people), ", ".join(entry.get("tags", []))]
    data["fields"] = [*data["fields"], "people", "tags"]
    return f"kbSite.timeline = {as_json(data)};\n"


def lineage_scripts(content: Content) -> Iterator[tuple[str, str]]:
    """A file of pictures for each milestone, and one with what all pictures have in common."""
    common: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for id in content.milestones:
        pictures: list[dict[str, Any]] = []
        number_of: dict[tuple[Any, ...], int] = {}  # most choices give a picture that is there
        choices: dict[str, dict[str, int]] = {side: {} for side in lineage_query.SIDES}
        for show, depth in itertools.product(lineage_query.SIDES, DEPTHS):
            roles, left_out = _roles(content, id, show, depth)
            key = (left_out, *sorted(roles.items()))
            if key not in number_of:
                number_of[key] = len(pictures)
                picture = picture_data(content.lineage, roles, (), {})
                common = {name: picture[name] for name in COMMON}
                named |= {node["id"]: _name(node) for node in picture["nodes"]}
                pictures.append(_places(picture) | {"left_out": left_out})
            choices[show][depth] = number_of[key]
        received = as_json({"choices": choices, "pictures": pictures})
        yield f"data/lineage/{id}.js", f"kbSite.receive({as_json(id)}, {received});\n"
    links = [
        {"later": later, "earlier": earlier, "type": kind, "how": how, "heavy": False}
        for later, earlier, kind, how in content.lineage.edges(keys=True, data="how")
    ]
    common |= {"named": named, "links": links}
    yield "data/lineage.js", f"kbSite.lineage = {as_json(common)};\n"


def _roles(content: Content, id: str, show: str, depth: str) -> tuple[dict[str, str], int]:
    query = lineage_query.read_query(id, {"show": show, "depth": depth}, content.milestones)
    return lineage_query.milestone_roles(query, content.lineage, ())


def _name(node: dict[str, Any]) -> list[str]:
    return [node["label"], node["when"]]


def _places(picture: dict[str, Any]) -> dict[str, Any]:
    """What is different in each picture: where everything is."""
    return {
        "nodes": [[node[name] for name in PLACE] for node in picture["nodes"]],
        "lanes": [[lane["track"], lane["top"], lane["height"]] for lane in picture["lanes"]],
        **{name: picture[name] for name in ("ticks", "width", "height")},
    }
