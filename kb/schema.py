"""The fields of an entry of `data/timeline.yaml`: a Pydantic model for each family of kinds.

This module checks one entry at a time, and refuses unknown keys. `kb.loader` checks what needs
several entries or files: links, the order of dates, implementations.
"""

import datetime as dt
import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

Track = Literal["theory", "software", "hardware", "data"]
LinkType = Literal[
    "builds_on",
    "implements",
    "runs_on",
    "enabled_by",
    "evaluated_on",
    "supersedes",
    "equivalent_to",
    "disputes",
    "about",  # what a book, course, article, event or prize tells of, or data is made to measure
]
DateMeaning = Literal[
    "submitted", "published", "announced", "released", "shipped", "first commit", "begun"
]

TRACKS: tuple[Track, ...] = get_args(Track)
LINK_TYPES: tuple[LinkType, ...] = get_args(LinkType)


def date_range(date: str) -> tuple[dt.date, dt.date]:
    """The first and last day that a date can mean: "2014-06" -> (2014-06-01, 2014-06-30).

    Raises ValueError, with the remedy, for anything but YYYY, YYYY-MM or YYYY-MM-DD.
    """
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{2}){0,2}", date):
        raise ValueError(f'"{date}" is not a date; write "YYYY", "YYYY-MM" or "YYYY-MM-DD", quoted')
    year, month, day = [*map(int, date.split("-")), 0, 0][:3]
    if "-00" in date:
        raise ValueError(f'"{date}" is not in the calendar; leave out a month or day not known')
    try:
        first = dt.date(year, month or 1, day or 1)
    except ValueError as error:
        raise ValueError(f'"{date}" is not in the calendar: {error}') from None
    if day:
        return first, first
    following = dt.date(year + 1, 1, 1) if month in (0, 12) else dt.date(year, month + 1, 1)
    return first, following - dt.timedelta(days=1)


def displayed_equations(story: str) -> list[str]:
    """The equations that a story displays, between $$ and $$, as LaTeX."""
    return [equation.strip() for equation in re.findall(r"\$\$(.+?)\$\$", story, re.DOTALL)]


def _check_calendar_date(value: str) -> str:
    first, _ = date_range(value)
    if first.year < 1600:
        raise ValueError(f'"{value}" is before 1600; is a digit missing?')
    return value


def _check_whole_day(value: str) -> str:
    if date_range(value)[0] != date_range(value)[1]:
        raise ValueError(
            f'"{value}" must be a whole day, "YYYY-MM-DD": the day the source was read'
        )
    return value


def _check_arxiv(value: str) -> str:
    if not re.fullmatch(r"[0-9]{4}\.[0-9]{4,5}|[a-z-]+(\.[A-Z]{2})?/[0-9]{7}", value):
        raise ValueError(
            f'"{value}" is not an arXiv identifier; '
            'write it as "1207.0580", quoted, without a version'
        )
    return value


def _check_doi(value: str) -> str:
    if not re.fullmatch(r"10\.[0-9]{4,9}/\S+", value):
        raise ValueError(
            f'"{value}" is not a DOI; write it as 10.1038/323533a0, without the https://doi.org/'
        )
    return value


def _check_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s<>\"]+", value):
        raise ValueError(
            f'"{value}" is not a web address; it begins with https:// and has no spaces'
        )
    return value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
ModuleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
CalendarDate = Annotated[str, AfterValidator(_check_calendar_date)]
Url = Annotated[str, AfterValidator(_check_url)]


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Link(StrictModel):
    """From a later milestone to an earlier one; `how` is the sentence that the app tells."""

    to: Id
    as_: LinkType = Field(alias="as")
    how: Text | None = None
    why_later: Text | None = None  # required where `to` came later than the entry itself


class Source(StrictModel):
    url: Url
    read: Annotated[str, AfterValidator(_check_whole_day)]
    note: Text | None = None  # which facts it is for, where that isn't plain
    primary: bool = False  # the paper itself, its publisher, the maker, a data sheet


class Published(StrictModel):
    """The paper's own figures for a claim; None where the paper gives none."""

    unit: Text
    idea: float | int | None = None
    baseline: float | int | None = None
    note: Text | None = None


class Claim(StrictModel):
    id: Id
    says: Text
    where: Text  # "Table 2", "Sec. 5.4"
    published: Published | None = None


class Term(StrictModel):
    """A term of a displayed equation, and the code that computes it."""

    term: Text  # a piece of the equation's LaTeX, as it stands in the story
    means: Text  # in a few words
    code: Text  # a piece of one line of the function that `code` names for the equation


class Figure(StrictModel):
    """A figure of a specification and where it is given; `format` is its number format."""

    value: float | int
    unit: Text
    format: Text | None = None  # of the numbers, for a rate of arithmetic: "FP16"
    where: Text  # in the source
    note: Text | None = None


class Milestone(StrictModel):
    """The fields of every kind."""

    id: Id
    track: Track
    kind: str
    title: Text
    short: Text
    date: CalendarDate  # as precise as is known
    date_is: DateMeaning = "published"  # which date is meant, where there are several
    date_note: Text | None = None
    authors: list[Text] = []  # people
    makers: list[Text] = []  # organisations
    venue: Text | None = None
    url: Url | None = None
    arxiv: Annotated[str, AfterValidator(_check_arxiv)] | None = None
    doi: Annotated[str, AfterValidator(_check_doi)] | None = None
    tags: list[Id] = []
    idea: Text
    story: Text
    links: list[Link] = []
    unconfirmed: list[Text] = []  # what could not be looked up, one sentence each
    sources: Annotated[list[Source], Field(min_length=1)]
    draft: bool = False  # still being written: checked, but not loaded


class Paper(Milestone):
    kind: Literal["paper"]
    authors: Annotated[list[Text], Field(min_length=1)]
    venue: Text
    impl: ModuleName
    # For each equation that the story displays, the function or class of `impl` that computes it.
    code: list[Text] = []
    terms: list[Term] = []  # of these equations: which piece of the code computes which term
    claims: Annotated[list[Claim], Field(min_length=1)]


class Writing(Milestone):
    kind: Literal["book", "course", "article"]
    authors: Annotated[list[Text], Field(min_length=1)]
    impl: ModuleName | None = None  # where what it says can be run, and then its claims
    code: list[Text] = []
    terms: list[Term] = []
    claims: list[Claim] = []

    @model_validator(mode="after")
    def _impl_and_claims_together(self) -> Self:
        if (self.impl is None) != (not self.claims):
            raise ValueError(
                "`impl` and `claims` come together: a file that runs, and what it checks"
            )
        return self


class Software(Milestone):
    track: Literal["software"]
    kind: Literal["library", "framework", "tool"]
    licence: Text  # SPDX where there is one, else "proprietary"
    languages: Annotated[list[Text], Field(min_length=1)]
    repository: Url | None = None


class Hardware(Milestone):
    track: Literal["hardware"]
    kind: Literal["chip", "system"]
    makers: Annotated[list[Text], Field(min_length=1)]
    spec: Annotated[dict[ModuleName, Figure], Field(min_length=1)]


class Data(Milestone):
    track: Literal["data"]
    kind: Literal["dataset", "benchmark"]
    licence: Text | None = None
    spec: dict[ModuleName, Figure] = {}


class Trained(Milestone):
    """What was trained at a scale that no small experiment can repeat, or is sold as a service."""

    kind: Literal["model", "product"]
    spec: dict[ModuleName, Figure] = {}  # parameters, tokens, training compute

    @model_validator(mode="after")
    def _has_a_maker(self) -> Self:
        if not (self.authors or self.makers):
            raise ValueError("`makers` or `authors` is missing: who made it")
        return self


class Event(Milestone):
    kind: Literal["event"]


Executable = Paper | Writing  # what may have an implementation
Entry = Annotated[
    Paper | Writing | Software | Hardware | Data | Trained | Event, Field(discriminator="kind")
]

MODELS: tuple[type[Milestone], ...] = (Paper, Writing, Software, Hardware, Data, Trained, Event)
MODEL_OF_KIND: dict[str, type[Milestone]] = {
    kind: model for model in MODELS for kind in get_args(model.model_fields["kind"].annotation)
}
KINDS: tuple[str, ...] = tuple(MODEL_OF_KIND)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the whole file, with which editors complete and check entries."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The executable history of deep learning: the timeline",
        **TypeAdapter(list[Entry]).json_schema(by_alias=True),
    }
