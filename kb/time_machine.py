"""The time machine: how long a number of floating-point operations takes on each machine.

seconds = FLOPs / (peak dense rate x utilisation), with the peak rates of the timeline's hardware,
each in one number format. It is one machine, as the timeline describes it, at its full rate times
the utilisation; how fast its memory is isn't in the sum. `kb.experiments` says what is computed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kb.tables import MilestoneRow

HOUR = 3600.0
BUDGET = 1000.0  # US dollars of the time
PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}
# An operation on integers (TOP/s), an instruction (MIPS) or a connection is no FLOP: such rates are
# not in here, and machines that have no other are left out.
RATE_UNITS = {f"{prefix}FLOP/s": factor for prefix, factor in PREFIXES.items()}
MEMORY_UNITS = {f"{prefix}B": factor for prefix, factor in PREFIXES.items()}
MEMORY_UNITS |= {"KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
POWER_UNITS = {f"{prefix}W": factor for prefix, factor in PREFIXES.items()}
# The number formats that experiments are computed in; fewer bits are for answering, not for these.
BITS = {
    "fp64": 64,
    "60-bit float": 60,
    "36-bit float": 36,
    "fp32": 32,
    "tf32": 19,
    "bf16": 16,
    "fp16": 16,
}
FORMATS = ("fp32", "bf16", "fp16", "tf32", "fp64")  # that can be chosen
DURATIONS = (
    (365.25 * 86400.0, "years"),
    (2 * 86400.0, "days"),
    (HOUR, "h"),
    (60.0, "min"),
    (1.0, "s"),
    (1e-3, "ms"),
    (1e-6, "µs"),
)
SIZES = {"years": 365.25 * 86400.0, "days": 86400.0}  # where a unit is used from twice its size on
WORDS = ((1e9, "billion"), (1e6, "million"))


@dataclass(frozen=True)
class Rate:
    """A peak dense rate, as the timeline has it and in operations a second."""

    format: str
    value: float
    written: str  # "160 MFLOP/s"
    where: str
    note: str


@dataclass(frozen=True)
class Machine:
    """A chip or system of the timeline. What isn't known of it is None."""

    id: str
    name: str
    date: str  # as precise as is known, and how it is meant
    date_is: str
    first_day: str  # YYYY-MM-DD
    rates: tuple[Rate, ...]
    memory: float | None  # bytes
    watts: float | None
    dollars: float | None


@dataclass(frozen=True)
class Projection:
    """An experiment on a machine."""

    machine: Machine
    rate: Rate
    seconds: float
    joules: float | None
    fits: bool | None  # in the machine's memory; None where one of the two isn't known
    sum: str
    remark: str  # what is not as one would expect: another number format, a rate of additions


@dataclass(frozen=True)
class Answer:
    """All projections by date, and the machines of which no dense rate in FLOP/s is known."""

    projections: tuple[Projection, ...]
    left_out: tuple[Machine, ...]

    def first_within(
        self, seconds: float = HOUR, dollars: float | None = None
    ) -> Projection | None:
        """The earliest machine that does it in that time, and costs no more where that counts."""
        return next(
            (
                each
                for each in self.projections
                if each.seconds <= seconds
                and each.fits is not False
                and (dollars is None or (each.machine.dollars or float("inf")) <= dollars)
            ),
            None,
        )

    def fastest(self) -> Projection | None:
        able = [each for each in self.projections if each.fits is not False]
        return min(able, key=lambda each: each.seconds, default=None)


def machines(rows: Iterable[MilestoneRow]) -> list[Machine]:
    """The chips and systems among these milestones, by date."""
    hardware = [row for row in rows if row.kind in ("chip", "system")]
    return [_machine(row) for row in sorted(hardware, key=lambda row: row.first)]


def _machine(row: MilestoneRow) -> Machine:
    spec: Mapping[str, Any] = row.entry.get("spec", {})
    return Machine(
        id=row.id,
        name=row.short,
        date=row.date,
        date_is=row.entry.get("date_is", "published"),
        first_day=row.first,
        rates=tuple(_rate(figure) for name, figure in spec.items() if is_dense_rate(name, figure)),
        memory=_converted(spec.get("memory"), MEMORY_UNITS),
        watts=_converted(spec.get("power"), POWER_UNITS),
        dollars=_converted(spec.get("price"), {"USD": 1.0}),
    )


def is_dense_rate(name: str, figure: Mapping[str, Any]) -> bool:
    """Whether a figure of a specification is a peak rate of operations on numbers of 16 bits or
    more. What a maker claims without saying that it is dense has another name than `peak_...`."""
    is_known = figure["unit"] in RATE_UNITS and figure.get("format") in BITS
    return name.startswith("peak_") and is_known


def _rate(figure: Mapping[str, Any]) -> Rate:
    return Rate(
        format=figure["format"],
        value=figure["value"] * RATE_UNITS[figure["unit"]],
        written=f"{figure['value']:,} {figure['unit']}",
        where=figure["where"],
        note=figure.get("note", ""),
    )


def _converted(figure: Mapping[str, Any] | None, units: Mapping[str, float]) -> float | None:
    if figure is None or figure["unit"] not in units:
        return None
    return float(figure["value"] * units[figure["unit"]])


def choose_rate(rates: Sequence[Rate], wanted: str) -> Rate | None:
    """The rate in the format that is wanted; else the fastest in one with at least as many bits;
    else the fastest in one with fewer."""
    same = [rate for rate in rates if rate.format == wanted]
    enough = [rate for rate in rates if BITS[rate.format] >= BITS[wanted]]
    return max(same or enough or rates, key=lambda rate: rate.value, default=None)


def answer(
    machines: Sequence[Machine],
    flops: float,
    utilisation: float,
    *,
    format: str = "fp32",
    memory: float | None = None,
) -> Answer:
    """This number of operations on every machine. `memory` is what it needs, in bytes."""
    projections, left_out = [], []
    for machine in machines:
        rate = choose_rate(machine.rates, format)
        if rate is None:
            left_out.append(machine)
            continue
        seconds = flops / (rate.value * utilisation)
        known = memory is not None and machine.memory is not None
        projections.append(
            Projection(
                machine=machine,
                rate=rate,
                seconds=seconds,
                joules=None if machine.watts is None else seconds * machine.watts,
                fits=(machine.memory or 0) >= (memory or 0) if known else None,
                sum=f"{number(flops)} FLOPs / ({number(rate.value)} FLOP/s × "
                f"{percent(utilisation)}) = {duration(seconds)}",
                remark=_remark(rate, format),
            )
        )
    return Answer(tuple(projections), tuple(left_out))


def _remark(rate: Rate, wanted: str) -> str:
    other = ""
    if rate.format != wanted:
        fewer = ", which is less precise" if BITS[rate.format] < BITS[wanted] else ""
        other = f"in {rate.format}{fewer}: no rate in {wanted} is known"
    return "; ".join(filter(None, [other, rate.note]))


def number(value: float) -> str:
    """Four significant digits: 12.5, 3.1e12."""
    if 0.01 <= abs(value) < 1e4:
        return f"{value:.4g}"
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def percent(part: float) -> str:
    return f"{100 * part:.4g} %"


def duration(seconds: float) -> str:
    """In the unit that suits it: 12 ms, 6.25 min, 14 h, 3,400 years, 2.1 million years."""
    for size, unit in DURATIONS:
        if seconds >= size:
            return f"{_in_words(seconds / SIZES.get(unit, size))} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _in_words(value: float) -> str:
    for size, word in WORDS:
        if value >= size:
            return f"{_digits(value / size)} {word}"
    return _digits(value)


def _digits(value: float) -> str:
    """Three, or all of the whole number."""
    return f"{value:,.0f}" if value >= 1e3 else f"{value:.3g}"


def energy(joules: float | None) -> str:
    """In J below a tenth of a Wh, then in Wh, kWh, MWh, GWh; a dash where it isn't known."""
    if joules is None:
        return "-"
    if joules < HOUR / 10:
        return f"{joules:.3g} J"
    hours = joules / HOUR
    for size, unit in ((1e9, "GWh"), (1e6, "MWh"), (1e3, "kWh")):
        if hours >= size:
            return f"{_digits(hours / size)} {unit}"
    return f"{hours:.3g} Wh"


def byte_size(value: float) -> str:
    for prefix in ("T", "G", "M", "k"):
        if value >= PREFIXES[prefix]:
            return f"{value / PREFIXES[prefix]:.3g} {prefix}B"
    return f"{value:.0f} B"


def memory_in_words(projection: Projection) -> str:
    """ "fits", "too small: 16 MB", or "not known"."""
    if projection.fits is None:
        return "not known"
    return "fits" if projection.fits else f"too small: {byte_size(projection.machine.memory or 0)}"
