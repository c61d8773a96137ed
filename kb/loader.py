"""From `timeline.yaml` to checked milestones. Every problem is found in one go, each with its place and its remedy."""

import datetime as dt
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from pydantic import ValidationError

from kb import implementations, places, yamlfile
from kb.implementations import Implementation
from kb.schema import KINDS, LINK_TYPES, MODEL_OF_KIND, Executable, Link, Milestone, date_range, displayed
from kb.yamlfile import Path_, Problem


@dataclass(frozen=True)
class Timeline:
    """What a file holds. `milestones` is complete only if there are no errors."""

    path: Path
    milestones: tuple[Milestone, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.level == "error")


def load(path: Path = places.TIMELINE, implementation_folder: Path = places.IMPLEMENTATIONS) -> Timeline:
    """Reads and checks a timeline; never raises for what is wrong in the file."""
    document = yamlfile.read(path)
    checker = _Checker(str(path), document)
    milestones = checker.entries()
    if milestones:
        checker.links(milestones)
        checker.implementations(milestones, implementation_folder, every=path == places.TIMELINE)
    return Timeline(path, tuple(milestones.values()), tuple(sorted(checker.problems)))


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` where something known is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f'; did you mean "{close[0]}"?' if close else ""


class _Checker:
    def __init__(self, file: str, document: yamlfile.Document) -> None:
        self.file, self.document = file, document
        self.problems = list(document.problems)
        self.index: dict[str, int] = {}  # id: position in the file

    def add(self, path: Path_, message: str, *, key: bool = False, level: str = "error") -> None:
        """A problem at the value at `path`, or at its key; a missing part is reported at what should hold it."""
        where = self.document.keys if key else self.document.places
        while path and path not in where:
            path = path[:-1]
        line, column = where.get(path) or self.document.places.get(path, (1, 1))
        self.problems.append(Problem(self.file, line, column, message, level))

    # One entry at a time

    def entries(self) -> dict[str, Milestone]:
        value = self.document.value
        if not isinstance(value, list):
            if not self.problems:
                self.add((), 'a timeline is a list of milestones, each beginning with "- id: ..."')
            return {}
        found: dict[str, Milestone] = {}
        for at, entry in enumerate(value):
            if not isinstance(entry, dict):
                self.add((at,), 'a milestone is a mapping that begins with "- id: ..."')
                continue
            name = entry.get("id")
            if isinstance(name, str):
                if name in self.index:
                    line = self.document.places[(self.index[name], "id")][0]
                    self.add((at, "id"), f'the id "{name}" is taken, in line {line}; a year may tell the two apart')
                    continue
                self.index[name] = at
            if milestone := self.entry(at, entry):
                found[milestone.id] = milestone
        return found

    def entry(self, at: int, entry: dict[str, Any]) -> Milestone | None:
        kind = entry.get("kind")
        model = MODEL_OF_KIND.get(kind) if isinstance(kind, str) else None
        if model is None:
            if "kind" not in entry:
                self.add((at,), f'"kind" is missing; it is one of {", ".join(KINDS)}')
            else:
                self.add(
                    (at, "kind"), f"{kind!r} is no kind{suggestion(str(kind), KINDS)}; it is one of {', '.join(KINDS)}"
                )
            self.fields(at, entry, Milestone, beyond=True)  # what every kind needs can be checked all the same
            return None
        return self.fields(at, entry, model)

    def fields(self, at: int, entry: dict[str, Any], model: type[Milestone], beyond: bool = False) -> Milestone | None:
        try:
            return model.model_validate(entry)
        except ValidationError as error:
            known = [field.alias or name for name, field in model.model_fields.items()]
            for one in error.errors(include_url=False):
                if (beyond and one["type"] == "extra_forbidden") or one["loc"][-1:] == ("int",):
                    continue  # a number is refused twice, as float and as int
                self.add((at, *one["loc"]), _explain(one, known, entry), key=one["type"] == "extra_forbidden")
            return None

    # Several entries

    def links(self, milestones: dict[str, Milestone]) -> None:
        linked: set[str] = set()
        for milestone in milestones.values():
            at = self.index[milestone.id]
            seen: set[tuple[str, str]] = set()
            for number, link in enumerate(milestone.links):
                path = (at, "links", number)
                if link.to not in self.index:
                    self.add((*path, "to"), f'no milestone has the id "{link.to}"{suggestion(link.to, self.index)}')
                    continue
                if link.to == milestone.id:
                    self.add((*path, "to"), "a milestone can't be linked to itself")
                if (link.to, link.as_) in seen:
                    self.add((*path, "to"), f'the link to "{link.to}" as {link.as_} is given twice')
                seen.add((link.to, link.as_))
                linked |= {milestone.id, link.to}
                if link.to in milestones:
                    self.order(path, milestone, milestones[link.to], link)
        for name in milestones.keys() - linked:
            self.add(
                (self.index[name], "id"), f'"{name}" is linked to nothing, so no lineage shows it', level="warning"
            )
        self.cycle(milestones)

    def order(self, path: Path_, source: Milestone, target: Milestone, link: Link) -> None:
        later = date_range(target.date)[0] > date_range(source.date)[1]
        if later and not link.why_later:
            self.add(
                (*path, "to"),
                f'"{target.id}" ({target.date}) came later than "{source.id}" ({source.date}); '
                f"turn the link round, or say why in `why_later`",
            )
        elif link.why_later and not later:
            self.add((*path, "why_later"), f'"{target.id}" didn\'t come later; remove `why_later`', key=True)

    def cycle(self, milestones: dict[str, Milestone]) -> None:
        graph = nx.DiGraph()
        for milestone in milestones.values():
            graph.add_edges_from((milestone.id, link.to) for link in milestone.links if link.as_ == "builds_on")
        for component in nx.strongly_connected_components(graph):
            if len(component) > 1:
                edges = nx.find_cycle(graph.subgraph(component))
                circle = " -> ".join([*(edge[0] for edge in edges), edges[0][0]])
                self.add(
                    (self.index[edges[0][0]], "links"), f"builds_on runs in a circle: {circle}; remove one of the links"
                )

    def implementations(self, milestones: dict[str, Milestone], folder: Path, *, every: bool) -> None:
        present = implementations.names(folder)
        runnable = [(m, m.impl) for m in milestones.values() if isinstance(m, Executable) and m.impl]
        claimed: dict[str, set[str]] = {}
        for milestone, name in runnable:
            if name in present:
                claimed.setdefault(name, set()).update(claim.id for claim in milestone.claims)
            else:
                path = (self.index[milestone.id], "impl")
                self.add(path, f"there is no impl/{name}.py{suggestion(name, present)}; `kb new paper` writes one")
        for milestone, name in runnable:
            if name in claimed:
                self.claims(milestone, name, claimed[name], folder)
        if every and not self.problems:
            for name in sorted(set(present) - claimed.keys()):
                file = str(folder / f"{name}.py")
                self.problems.append(
                    Problem(
                        file, 1, 1, f"no milestone says `impl: {name}`; add one to the timeline, or remove the file"
                    )
                )

    def claims(self, milestone: Executable, name: str, all_claims: set[str], folder: Path) -> None:
        at = self.index[milestone.id]
        try:
            implementation = implementations.read(name, folder)
        except implementations.Malformed as error:
            self.add((at, "impl"), str(error))
            return
        seen: set[str] = set()
        for number, claim in enumerate(milestone.claims):
            path = (at, "claims", number, "id")
            if claim.id in seen:
                self.add(path, f'the claim "{claim.id}" is given twice')
            seen.add(claim.id)
            if claim.id not in implementation.claims:
                known = implementation.claims
                self.add(path, f'impl/{name}.py measures no claim "{claim.id}"{suggestion(claim.id, known)}')
        self.code(milestone, implementation)
        for unnamed in implementation.claims.keys() - all_claims:
            self.add(
                (at, "claims"), f'impl/{name}.py measures the claim "{unnamed}", which no entry names; add it here'
            )

    def code(self, milestone: Executable, implementation: Implementation) -> None:
        """Beside each displayed equation of the story stands the code that computes it, or beside none."""
        at = self.index[milestone.id]
        equations, known = len(displayed(milestone.story)), [section.name for section in implementation.sections]
        if milestone.code and len(milestone.code) != equations:
            one = "one name for each equation that the story displays"
            self.add((at, "code"), f"`code` has {one}: {equations}, not {len(milestone.code)}")
        for number, name in enumerate(milestone.code):
            if name not in known:
                file = implementation.path.name
                self.add(
                    (at, "code", number), f'impl/{file} has no function or class "{name}"{suggestion(name, known)}'
                )


def _explain(error: Any, known: Sequence[str], entry: dict[str, Any]) -> str:
    """Pydantic's error in our words, with the remedy."""
    name = str(next((part for part in reversed(error["loc"]) if part != "float"), ""))
    given = error.get("input")
    match error["type"]:
        case "missing":
            return f'"{name}" is missing' + (
                f" in {_short(given)}" if len(error["loc"]) > 1 else f" for a {entry.get('kind', 'milestone')}"
            )
        case "extra_forbidden":
            return f'unknown key "{name}"{suggestion(name, _keys_beside(error["loc"], known))}'
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_pattern_mismatch":
            return (
                f"{_short(given)} is no {'file name' if name == 'impl' else 'id'}; use small letters, digits and dashes"
            )
        case "literal_error":
            options = LINK_TYPES if name == "as" else str(error["ctx"]["expected"]).replace("'", "").split(", ")
            return f"{_short(given)} is none of {error['ctx']['expected']}{suggestion(str(given), options)}"
        case "string_type":
            quote = f'; quote it: "{given}"' if isinstance(given, int | float | bool | dt.date) else ""
            return f'"{name}" must be text, not {_short(given)}{quote}'
        case "float_type":
            return f'"{name}" must be a number, not {_short(given)}'
        case "list_type":
            return f'"{name}" must be a list, as in [{_short(given)}]'
        case "string_too_short":
            return f'"{name}" is empty'
        case "too_short":
            return f'"{name}" is empty; it needs at least one'
        case _:
            return f'"{name}": {error["msg"][:1].lower()}{error["msg"][1:]}, not {_short(given)}'


def _keys_beside(loc: tuple[Any, ...], known: Sequence[str]) -> Sequence[str]:
    inner = {
        "links": ["to", "as", "how", "why_later"],
        "claims": ["id", "says", "where", "published"],
        "published": ["unit", "idea", "baseline", "note"],
        "sources": ["url", "read", "note"],
        "spec": ["value", "unit", "format", "where", "note"],
    }
    for part in reversed(loc[:-1]):
        if part in inner:
            return inner[part]
    return known


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else f"{text[:57]}..."
