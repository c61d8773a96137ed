"""Reads `timeline.yaml` and checks it: from the file to valid milestones, or to its problems.

All problems of a file are reported together, each with its line, its column and a remedy.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
from pydantic import ValidationError

from kb import implementations, paths, skeleton, yamlfile
from kb.equations import find_term_problems
from kb.implementations import Implementation
from kb.schema import (
    KINDS,
    MODEL_OF_KIND,
    Executable,
    Link,
    Milestone,
    date_range,
    displayed_equations,
)
from kb.suggestions import did_you_mean
from kb.validation_messages import error_message
from kb.yamlfile import Problem, ValuePath

MAX_SHORT = 22  # characters of a label on the timeline


@dataclass(frozen=True)
class Timeline:
    """The content of a file. `milestones` is complete only if there are no errors."""

    path: Path
    milestones: tuple[Milestone, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.level == "error")

    @property
    def drafts(self) -> tuple[Problem, ...]:
        """What the entries still lack that are marked as drafts, and so aren't loaded."""
        return tuple(problem for problem in self.problems if problem.level == "draft")


def read_timeline(
    path: Path = paths.TIMELINE,
    implementation_folder: Path = paths.IMPLEMENTATIONS,
    *,
    strict: bool = False,
) -> Timeline:
    """Reads and checks a timeline. It doesn't raise: whatever is wrong is among the problems.

    `strict` asks also for what a reader needs in order to trust an entry.
    """
    document = yamlfile.read_yaml(path)
    checker = _Checker(str(path), document)
    milestones = checker.check_entries()
    if milestones:
        checker.check_links(milestones)
        checker.check_implementations(
            milestones, implementation_folder, all_are_listed=path == paths.TIMELINE
        )
    if strict:
        checker.check_strictly(milestones)
    return Timeline(path, tuple(milestones.values()), tuple(sorted(checker.problems)))


class _Checker:
    """Collects the problems of one file."""

    def __init__(self, file: str, document: yamlfile.Document) -> None:
        self.file, self.document = file, document
        self.problems = list(document.problems)
        self.positions: dict[str, int] = {}  # id: position in the file
        self.draft_positions: set[int] = set()
        self.draft_implementations: set[str] = set()

    def add_problem(
        self, path: ValuePath, message: str, *, at_key: bool = False, level: str = "error"
    ) -> None:
        """Adds a problem with the value at `path`, or with its key."""
        line, column = self.document.place(path, at_key=at_key)
        if path and path[0] in self.draft_positions:
            level = "draft"
        self.problems.append(Problem(self.file, line, column, message, level))

    # One entry at a time

    def check_entries(self) -> dict[str, Milestone]:
        """The valid milestones by id."""
        value = self.document.value
        if not isinstance(value, list):
            if not self.problems:
                self.add_problem(
                    (), 'a timeline is a list of milestones, each beginning with "- id: ..."'
                )
            return {}
        milestones: dict[str, Milestone] = {}
        for position, entry in enumerate(value):
            if not isinstance(entry, dict):
                message = 'a milestone is a mapping that begins with "- id: ..."'
                self.add_problem((position,), message)
            elif entry.get("draft") is True:
                self.check_draft(position, entry)
            elif self.check_id(position, entry) and (
                milestone := self.check_entry(position, entry)
            ):
                milestones[milestone.id] = milestone
        return milestones

    def check_draft(self, position: int, entry: dict[str, Any]) -> None:
        """Says what an entry lacks that is still being written. It isn't one of the milestones."""
        self.draft_positions.add(position)
        self.draft_implementations.add(str(entry.get("impl")))
        message = "this entry isn't loaded; remove `draft: true` when it is whole"
        self.add_problem((position, "draft"), message, at_key=True)
        if self.check_id(position, entry):
            self.check_entry(position, entry)

    def check_id(self, position: int, entry: dict[str, Any]) -> bool:
        """Whether no entry before has the same id."""
        id = entry.get("id")
        if not isinstance(id, str):
            return True  # check_entry reports it
        if id in self.positions:
            line = self.document.places[(self.positions[id], "id")][0]
            self.add_problem(
                (position, "id"),
                f'the id "{id}" is taken, in line {line}; add a year to tell the two apart',
            )
            return False
        self.positions[id] = position
        return True

    def check_entry(self, position: int, entry: dict[str, Any]) -> Milestone | None:
        kind = entry.get("kind")
        model = MODEL_OF_KIND.get(kind) if isinstance(kind, str) else None
        if model:
            return self.check_fields(position, entry, model)
        kinds = ", ".join(KINDS)
        if "kind" in entry:
            message = f"{kind!r} is no kind{did_you_mean(str(kind), KINDS)}; it is one of {kinds}"
            self.add_problem((position, "kind"), message)
        else:
            self.add_problem((position,), f'"kind" is missing; it is one of {kinds}')
        # the fields that every kind has can be checked all the same
        self.check_fields(position, entry, Milestone, allow_unknown_keys=True)
        return None

    def check_fields(
        self,
        position: int,
        entry: dict[str, Any],
        model: type[Milestone],
        *,
        allow_unknown_keys: bool = False,
    ) -> Milestone | None:
        try:
            return model.model_validate(entry)
        except ValidationError as validation_error:
            for error in validation_error.errors(include_url=False):
                unknown_key = error["type"] == "extra_forbidden"
                if unknown_key and allow_unknown_keys:
                    continue
                if error["loc"][-1:] == ("int",):
                    continue  # a wrong number is reported twice, as float and as int
                message = error_message(error, model, entry)
                self.add_problem((position, *error["loc"]), message, at_key=unknown_key)
            return None

    # Several entries

    def check_links(self, milestones: dict[str, Milestone]) -> None:
        linked: set[str] = set()
        for milestone in milestones.values():
            linked |= self.check_links_of(milestone, milestones)
        for id in milestones.keys() - linked:
            self.add_problem(
                (self.positions[id], "id"),
                f'"{id}" is linked to nothing, so no lineage shows it',
                level="warning",
            )
        self.check_cycles(milestones)

    def check_links_of(self, milestone: Milestone, milestones: dict[str, Milestone]) -> set[str]:
        """The ids that these links connect."""
        linked: set[str] = set()
        seen: set[tuple[str, str]] = set()
        for number, link in enumerate(milestone.links):
            path = (self.positions[milestone.id], "links", number)
            at_target = (*path, "to")
            if link.to not in self.positions:
                suggestion = did_you_mean(link.to, self.positions)
                self.add_problem(at_target, f'no milestone has the id "{link.to}"{suggestion}')
                continue
            if link.to == milestone.id:
                self.add_problem(at_target, "a milestone can't be linked to itself")
            if (link.to, link.as_) in seen:
                message = f'the link to "{link.to}" as {link.as_} is given twice'
                self.add_problem(at_target, message)
            seen.add((link.to, link.as_))
            linked |= {milestone.id, link.to}
            if link.to in milestones:
                self.check_link_order(path, milestone, milestones[link.to], link)
        return linked

    def check_link_order(
        self, path: ValuePath, source: Milestone, target: Milestone, link: Link
    ) -> None:
        target_is_later = date_range(target.date)[0] > date_range(source.date)[1]
        if target_is_later and not link.why_later:
            self.add_problem(
                (*path, "to"),
                f'"{target.id}" ({target.date}) came later than "{source.id}" ({source.date}); '
                f"turn the link round, or say why in `why_later`",
            )
        elif link.why_later and not target_is_later:
            message = f'"{target.id}" didn\'t come later; remove `why_later`'
            self.add_problem((*path, "why_later"), message, at_key=True)

    def check_cycles(self, milestones: dict[str, Milestone]) -> None:
        graph = nx.DiGraph()
        for milestone in milestones.values():
            graph.add_edges_from(
                (milestone.id, link.to) for link in milestone.links if link.as_ == "builds_on"
            )
        for component in nx.strongly_connected_components(graph):
            if len(component) > 1:
                cycle = [edge[0] for edge in nx.find_cycle(graph.subgraph(component))]
                circle = " -> ".join([*cycle, cycle[0]])
                self.add_problem(
                    (self.positions[cycle[0]], "links"),
                    f"builds_on runs in a circle: {circle}; remove one of the links",
                )

    def check_strictly(self, milestones: dict[str, Milestone]) -> None:
        for id, milestone in milestones.items():
            position = self.positions[id]
            if not any(source.primary for source in milestone.sources):
                self.add_problem(
                    (position, "sources"),
                    f'"{id}" has no primary source; add the address of the paper, its publisher, '
                    "the maker or a data sheet, and `primary: true`",
                )
            if len(milestone.short) > MAX_SHORT:
                message = f"`short` has {len(milestone.short)} characters, at most {MAX_SHORT}"
                self.add_problem((position, "short"), f"{message} fit into the picture")
            for number, link in enumerate(milestone.links):
                if not link.how:
                    message = f'the link to "{link.to}" has no `how`, the sentence that is told'
                    self.add_problem((position, "links", number), message)

    # Entries and the files in impl/

    def check_implementations(
        self, milestones: dict[str, Milestone], folder: Path, *, all_are_listed: bool
    ) -> None:
        """`all_are_listed`: an implementation that no milestone names is an error."""
        present = implementations.names(folder)
        executable = [
            (m, m.impl) for m in milestones.values() if isinstance(m, Executable) and m.impl
        ]
        claims_of: dict[str, set[str]] = {}
        for milestone, name in executable:
            if name in present:
                claims_of.setdefault(name, set()).update(claim.id for claim in milestone.claims)
            else:
                self.add_problem(
                    (self.positions[milestone.id], "impl"),
                    f"there is no impl/{name}.py{did_you_mean(name, present)}; "
                    f"`kb new paper` writes one",
                )
        for milestone, name in executable:
            if name in claims_of:
                self.check_implementation(milestone, name, claims_of[name], folder)
        has_errors = any(problem.level == "error" for problem in self.problems)
        if all_are_listed and not has_errors:
            for name in sorted(set(present) - claims_of.keys() - self.draft_implementations):
                message = (
                    f"no milestone says `impl: {name}`; add one to the timeline, or remove the file"
                )
                level = "draft" if skeleton.is_template(folder / f"{name}.py") else "error"
                self.problems.append(Problem(str(folder / f"{name}.py"), 1, 1, message, level))

    def check_implementation(
        self, milestone: Executable, name: str, claims_of_all_entries: set[str], folder: Path
    ) -> None:
        position = self.positions[milestone.id]
        try:
            implementation = implementations.read(name, folder)
        except implementations.Malformed as error:
            self.add_problem((position, "impl"), str(error))
            return
        if skeleton.CLAIM in implementation.claims:
            message = f'impl/{name}.py still has the claim "{skeleton.CLAIM}" of the template'
            self.add_problem((position, "impl"), message)
        self.check_claims(milestone, implementation)
        self.check_code(milestone, implementation)
        for claim in implementation.claims.keys() - claims_of_all_entries:
            self.add_problem(
                (position, "claims"),
                f'impl/{name}.py measures the claim "{claim}", which no entry names; add it here',
            )

    def check_claims(self, milestone: Executable, implementation: Implementation) -> None:
        seen: set[str] = set()
        for number, claim in enumerate(milestone.claims):
            path = (self.positions[milestone.id], "claims", number, "id")
            if claim.id in seen:
                self.add_problem(path, f'the claim "{claim.id}" is given twice')
            seen.add(claim.id)
            if claim.id not in implementation.claims:
                suggestion = did_you_mean(claim.id, implementation.claims)
                file = implementation.path.name
                self.add_problem(path, f'impl/{file} measures no claim "{claim.id}"{suggestion}')

    def check_code(self, milestone: Executable, implementation: Implementation) -> None:
        """`code` names, for each displayed equation of the story, what computes it; or is empty."""
        position = self.positions[milestone.id]
        equations = len(displayed_equations(milestone.story))
        known = [section.name for section in implementation.sections]
        if milestone.code and len(milestone.code) != equations:
            self.add_problem(
                (position, "code"),
                f"`code` has one name for each equation that the story displays: "
                f"{equations}, not {len(milestone.code)}",
            )
        for number, field, message in find_term_problems(milestone, implementation):
            self.add_problem((position, "terms", number, field), message)
        for number, name in enumerate(milestone.code):
            if name not in known:
                self.add_problem(
                    (position, "code", number),
                    f"impl/{implementation.path.name} has no function or class "
                    f'"{name}"{did_you_mean(name, known)}',
                )
