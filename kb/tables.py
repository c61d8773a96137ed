"""The database's tables, no behaviour. The timeline's can be rebuilt at any time from the YAML; the runs' are kept for ever."""

from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

VERSION = 3  # PRAGMA user_version of the files that these tables fit; db.MIGRATIONS leads from older ones


class MilestoneRow(SQLModel, table=True):
    """One entry of the timeline; `entry` is the whole of it, with the YAML's own keys."""

    __tablename__ = "milestone"

    id: str = Field(primary_key=True)
    position: int  # in the file
    track: str = Field(index=True)
    kind: str = Field(index=True)
    title: str
    short: str
    date: str  # as written
    first: str = Field(index=True)  # YYYY-MM-DD, the first day that the date can mean
    last: str
    implementation: str | None = Field(default=None, index=True)
    entry: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class LinkRow(SQLModel, table=True):
    """From a later milestone to an earlier one."""

    __tablename__ = "link"

    source: str = Field(primary_key=True)
    target: str = Field(primary_key=True, index=True)
    type: str = Field(primary_key=True)
    how: str | None = None


class ClaimRow(SQLModel, table=True):
    __tablename__ = "claim"

    milestone: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    position: int
    implementation: str = Field(index=True)
    says: str
    where: str
    published: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))


class Loaded(SQLModel, table=True):
    """One row: which timeline is in the tables above."""

    __tablename__ = "loaded"

    id: int = Field(default=1, primary_key=True)
    digest: str  # of the entries
    file: str | None = None  # where they came from
    file_digest: str | None = None


class Run(SQLModel, table=True):
    """One execution of an implementation. After it is submitted, only the supervisor writes it."""

    __tablename__ = "run"

    id: str = Field(primary_key=True)
    implementation: str = Field(index=True)
    preset: str
    changes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # all of them
    device: str  # as asked for; `place` and `environment` have the one it got
    variables: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # KB_DATA
    status: str = Field(default="queued", index=True)  # queued paused running succeeded failed cancelled interrupted
    submitted: float  # seconds since 1970, as all times here
    started: float | None = None
    finished: float | None = None
    done: float = 0.0  # progress, of `total`
    total: float = 0.0
    note: str = ""
    reason: str | None = None  # why it ended as it did, in a sentence
    traceback: str | None = None
    source_hash: str
    git_commit: str | None = None
    environment: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))  # wall and CPU seconds, peak memory
    process: int | None = None  # pid while it runs
    priority: int = 0  # the greater goes first
    batch: str | None = Field(default=None, index=True)  # shared by the runs that were submitted together
    place: str | None = None  # the device that was given to it
    limits: dict[str, float] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))  # see kb.runs.limits
    options: dict[str, Any] = Field(
        default_factory=dict, sa_column=Column(JSON, nullable=False)
    )  # deterministic, flops, processes
    cluster: str | None = None  # the address of the Ray cluster that it is for; without one, this machine
    attempts: int = 1  # times that it began: on a cluster it does again when its node is lost
    token: str | None = None  # in the environment of its processes, by which they are found again


class Device(SQLModel, table=True):
    """A device of this machine, as the last worker that started saw it."""

    __tablename__ = "device"

    id: str = Field(primary_key=True)  # cpu, cuda:0
    position: int  # what `auto` prefers comes first
    name: str
    memory: int | None = None  # bytes
    at: float


class RunRow(SQLModel, table=True):
    """What `run` yielded as a dict, in its order: the one record that curves and verdicts are made from."""

    __tablename__ = "run_row"

    run: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    at: float
    values: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Artifact(SQLModel, table=True):
    """A file that a run left in its folder."""

    __tablename__ = "artifact"

    run: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    name: str
    step: int | None = None
    caption: str
    file: str  # inside the run's folder
    sha256: str
    size: int


class RunVerdict(SQLModel, table=True):
    __tablename__ = "verdict"
    __table_args__ = (Index("verdict_by_claim", "claim", "verdict"),)

    run: str = Field(primary_key=True)
    claim: str = Field(primary_key=True)
    number: int
    verdict: str
    measured: float | None = None
    baseline: float | None = None
    unit: str
    effect: float | None = None
    low: float | None = None  # 95% interval of the effect
    high: float | None = None
    n: int
    rule: str


class Request(SQLModel, table=True):
    """What somebody asks of the supervisor: it reads the oldest, acts, and removes it."""

    __tablename__ = "request"

    id: int | None = Field(default=None, primary_key=True)
    run: str = Field(index=True)
    verb: str  # cancel, pause, resume, priority
    value: int | None = None  # the new priority
    at: float
