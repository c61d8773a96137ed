"""Tours through the timeline: `data/tours.yaml`, checked as strictly as the timeline is.

A tour is a list of steps. Each tells something in a few sentences and shows the thing itself: the
milestone on the timeline, its lineage, its equations with their code, or its claims; and may ask
for a guess before the verdict of a claim is seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from kb import paths, yamlfile
from kb.schema import Id, StrictModel, Text
from kb.suggestions import did_you_mean
from kb.validation_messages import error_message
from kb.yamlfile import Document, Problem, ValuePath

FILE = "tours.yaml"  # beside the timeline
View = Literal["timeline", "lineage", "equations", "claims"]


class Question(StrictModel):
    """What is guessed before the verdict of the claim, one of the step's milestone, is shown."""

    claim: Id
    ask: Text


class Step(StrictModel):
    at: Id  # a milestone
    to: Id | None = None  # a later one: the lineage shows the paths between the two
    title: Text
    text: Text
    show: View
    question: Question | None = None


class Tour(StrictModel):
    id: Id
    title: Text
    about: Text
    steps: Annotated[list[Step], Field(min_length=1)]


@dataclass(frozen=True)
class Tours:
    """The content of a file. The tours with problems are left out."""

    tours: tuple[Tour, ...]
    problems: tuple[Problem, ...]


def file_beside(timeline: Path = paths.TIMELINE) -> Path:
    return timeline.parent / FILE


def read_tours(path: Path, entries: Mapping[str, dict[str, Any]]) -> Tours:
    """Reads and checks tours through these milestones; no file is no tours.

    `entries` are those of the timeline by id, with the YAML's own keys. It doesn't raise: whatever
    is wrong is among the problems.
    """
    if not path.exists():
        return Tours((), ())
    document = yamlfile.read_yaml(path)
    reader = _Reader(str(path), document, entries)
    return Tours(tuple(reader.read()), tuple(sorted(reader.problems)))


class _Reader:
    """Collects the tours of one file, and what is wrong with the others."""

    def __init__(
        self, file: str, document: Document, entries: Mapping[str, dict[str, Any]]
    ) -> None:
        self.file, self.document, self.entries = file, document, entries
        self.problems = list(document.problems)

    def add_problem(self, path: ValuePath, message: str) -> None:
        self.problems.append(Problem(self.file, *self.document.place(path), message))

    def read(self) -> list[Tour]:
        if not isinstance(self.document.value, list):
            if not self.problems:
                self.add_problem((), 'tours are a list, each beginning with "- id: ..."')
            return []
        tours: dict[str, Tour] = {}
        for position, value in enumerate(self.document.value):
            before = len(self.problems)
            tour = self.read_tour(position, value)
            if tour and tour.id in tours:
                self.add_problem((position, "id"), f'the id "{tour.id}" is taken by another tour')
            if tour and len(self.problems) == before:
                tours[tour.id] = tour
        return list(tours.values())

    def read_tour(self, position: int, value: object) -> Tour | None:
        if not isinstance(value, dict):
            self.add_problem((position,), 'a tour is a mapping that begins with "- id: ..."')
            return None
        try:
            tour = Tour.model_validate(value)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                message = error_message(error, Tour, {"kind": "tour"})
                self.add_problem((position, *error["loc"]), message)
            return None
        for number, step in enumerate(tour.steps):
            self.check_step((position, "steps", number), step)
        return tour

    def check_step(self, path: ValuePath, step: Step) -> None:
        for name, id in (("at", step.at), ("to", step.to)):
            if id and id not in self.entries:
                known = did_you_mean(id, self.entries)
                self.add_problem((*path, name), f'no milestone has the id "{id}"{known}')
        if step.to and step.show != "lineage":
            self.add_problem((*path, "to"), "only `show: lineage` has a path `to` another")
        entry = self.entries.get(step.at)
        if entry is None:
            return
        claims = [claim["id"] for claim in entry.get("claims", [])]
        if step.show == "claims" and not claims:
            self.add_problem((*path, "show"), f'"{step.at}" has no claims; show something else')
        if step.show == "equations" and not entry.get("code"):
            self.add_problem((*path, "show"), f'"{step.at}" names no `code`; show something else')
        if step.question and step.question.claim not in claims:
            known = did_you_mean(step.question.claim, claims)
            message = f'"{step.at}" has no claim "{step.question.claim}"{known}'
            self.add_problem((*path, "question", "claim"), message)
