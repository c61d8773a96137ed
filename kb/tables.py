"""The database's tables, without behaviour.

Those of the timeline can be rebuilt from the YAML at any time; those of the runs are kept for ever.
"""

from typing import Any

from sqlalchemy import JSON, Column, Index
from sqlmodel import Field, SQLModel

# PRAGMA user_version of a database with these tables; db.MIGRATIONS updates older ones to it.
SCHEMA_VERSION = 4


class MilestoneRow(SQLModel, table=True):
    """One milestone of the timeline; `entry` is all of it, with the YAML's own keys."""

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


class LoadedTimeline(SQLModel, table=True):
    """A single row that says which timeline is in the tables above."""

    __tablename__ = "loaded"

    id: int = Field(default=1, primary_key=True)
    digest: str  # of the entries
    file: str | None = None  # that they were read from
    file_digest: str | None = None


class Run(SQLModel, table=True):
    """One execution of an implementation. Once it is submitted, only the supervisor writes it."""

    __tablename__ = "run"

    id: str = Field(primary_key=True)
    implementation: str = Field(index=True)
    preset: str
    changes: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    # every setting of the run, those of `changes` among them
    settings: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    device: str  # as requested; `place` and `environment` have the assigned one
    # environment variables, such as KB_DATA
    variables: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    # queued, paused, running, succeeded, failed, cancelled, interrupted
    status: str = Field(default="queued", index=True)
    submitted: float  # seconds since 1970, as all times in these tables
    started: float | None = None
    finished: float | None = None
    done: float = 0.0  # progress, out of `total`
    total: float = 0.0
    note: str = ""
    reason: str | None = None  # why the run ended with this status, in a sentence
    traceback: str | None = None
    source_hash: str
    git_commit: str | None = None
    environment: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    # wall and CPU seconds, peak memory, counted operations: see `finished` in kb.runs.events
    usage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    process: int | None = None  # process id while it runs
    priority: int = 0  # runs of higher priority start first
    batch: str | None = Field(default=None, index=True)  # shared by runs submitted together
    place: str | None = None  # the assigned device
    # see kb.runs.limits
    limits: dict[str, float] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    # deterministic, flops, processes, broken, sweep (the settings that its batch varies)
    options: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    cluster: str | None = None  # address of a Ray cluster; None for this machine
    attempts: int = 1  # number of starts: a cluster starts a run again when its node is lost
    token: str | None = None  # in its processes' environment, so that they can be found again


class Device(SQLModel, table=True):
    """A device of this machine, as reported by the worker that started last."""

    __tablename__ = "device"

    id: str = Field(primary_key=True)  # cpu, cuda:0
    position: int  # `auto` prefers the lowest
    name: str
    memory: int | None = None  # bytes
    at: float


class RunRow(SQLModel, table=True):
    """A dict that a run's `run` function yielded; curves and verdicts are computed from these."""

    __tablename__ = "run_row"

    run: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    at: float
    values: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Artifact(SQLModel, table=True):
    """A file that a run wrote into its folder."""

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
    kind: str = "paper"  # the paper's own comparison, one of "ours", or an "identity"
    scale: str = "difference"  # of the effect, or "ratio"
    note: str = ""


class Request(SQLModel, table=True):
    """A request to the supervisor, which handles the oldest first and deletes it afterwards."""

    __tablename__ = "request"

    id: int | None = Field(default=None, primary_key=True)
    run: str = Field(index=True)
    verb: str  # cancel, pause, resume, priority
    value: int | None = None  # the new priority
    at: float
