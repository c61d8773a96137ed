"""The time machine's sums, done by hand from the data sheets; which rate, which year, which words.

The figures of the machines are those of data/timeline.yaml, written here again.
"""

import json
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from kb import db, experiments, results, time_machine
from kb.tables import MilestoneRow, Run
from kb.time_machine import Machine, Projection
from tests.kb.shell import printed, run_kb

YEAR = 365.25 * 24 * 3600


def chip(id: str, date: str, **spec: tuple[float, str, str] | tuple[float, str]) -> MilestoneRow:
    """A chip with figures (value, unit) or (value, unit, number format)."""
    figures = {
        name: dict(zip(("value", "unit", "format"), figure, strict=False)) | {"where": "here"}
        for name, figure in spec.items()
    }
    return MilestoneRow(
        id=id,
        position=0,
        track="hardware",
        kind="chip",
        title=id,
        short=id,
        date=date,
        first=f"{date}-01-01",
        last=f"{date}-12-31",
        entry={"spec": figures, "date_is": "released"},
    )


def project(loaded: Engine, flops: float, utilisation: float, **more: Any) -> dict[str, Projection]:
    machines = time_machine.machines(db.milestones(loaded))
    found = time_machine.answer(machines, flops, utilisation, **more)
    return {each.machine.id: each for each in found.projections}


def test_sums_of_three_machines_by_hand(loaded: Engine) -> None:
    on = project(loaded, 3.2e12, 0.1, memory=1e9)
    # Cray-1, 160 MFLOP/s in fp64, 115 kW, 8 MB: 3.2e12 / (160e6 x 0.1) = 200,000 s, 2.3e10 J
    assert on["cray-1"].seconds == pytest.approx(200_000)
    assert on["cray-1"].sum == "3.2e12 FLOPs / (1.6e8 FLOP/s × 10 %) = 2.31 days"
    assert (on["cray-1"].joules, on["cray-1"].fits) == (pytest.approx(2.3e10), False)
    assert "in fp64" in on["cray-1"].remark and "less precise" not in on["cray-1"].remark
    # GeForce GTX 580, 1.581 TFLOP/s, 244 W, 1.5 GB: 3.2e12 / 1.581e11 = 20.24 s, 4,939 J
    assert on["gtx-580"].seconds == pytest.approx(20.2404, rel=1e-5)
    assert on["gtx-580"].joules == pytest.approx(4938.6, rel=1e-4)
    assert on["gtx-580"].fits is True
    # H100, 66.91 TFLOP/s in fp32 (not 989.4 in fp16), 700 W: 3.2e12 / 6.691e12 = 0.478 s
    assert on["h100"].rate.format == "fp32"
    assert on["h100"].sum == "3.2e12 FLOPs / (6.691e13 FLOP/s × 10 %) = 478 ms"


def test_a_rate_in_the_format_that_is_wanted_or_one_that_says_which(loaded: Engine) -> None:
    single, half = project(loaded, 1e15, 1.0), project(loaded, 1e15, 1.0, format="bf16")
    assert half["h100"].rate.value == 989.4e12 and "in fp16" in half["h100"].remark
    assert half["gtx-1080-ti"].rate.format == "fp32", "sixty times faster than its fp16"
    assert single["tpu-v3"].rate.format == "bf16"
    assert "less precise" in single["tpu-v3"].remark


def test_what_is_no_rate_of_floating_point_operations_is_left_out(loaded: Engine) -> None:
    machines = time_machine.machines(db.milestones(loaded))
    left_out = {each.id for each in time_machine.answer(machines, 1e12, 1.0).left_out}
    assert {"tpu-v1", "sun-3", "etann", "intel-80486", "cerebras-wse"} <= left_out
    wse_3 = next(machine for machine in machines if machine.id == "cerebras-wse-3")
    assert wse_3.rates == (), "claimed, and not said to be dense"
    assert len(machines) == len(project(loaded, 1e12, 1.0)) + len(left_out)


@pytest.mark.parametrize(
    ("unit", "rate"),
    [("FLOP/s", 2.0), ("kFLOP/s", 2e3), ("MFLOP/s", 2e6), ("GFLOP/s", 2e9), ("TFLOP/s", 2e12)],
)
def test_units_are_converted(unit: str, rate: float) -> None:
    machine = one(chip("x", "2000", peak_fp32=(2, unit, "fp32"), memory=(3, "kB"), power=(2, "kW")))
    assert (machine.rates[0].value, machine.memory, machine.watts) == (rate, 3e3, 2e3)


def one(row: MilestoneRow) -> Machine:
    return time_machine.machines([row])[0]


def test_units_that_mean_something_else_are_none() -> None:
    machine = one(
        chip("x", "2000", peak_int8=(2, "TOP/s", "int8"), memory=(4, "MiB"), price=(5, "EUR"))
    )
    assert (machine.rates, machine.memory, machine.dollars) == ((), 4 * 2**20, None)


def test_the_first_within_an_hour_and_for_a_thousand_dollars() -> None:
    machines = time_machine.machines(
        [
            chip("slow", "1990", peak_fp32=(1, "GFLOP/s", "fp32"), price=(900, "USD")),
            chip("small", "1995", peak_fp32=(9, "TFLOP/s", "fp32"), memory=(1, "MB")),
            chip("fast", "2000", peak_fp32=(1, "TFLOP/s", "fp32"), price=(1001, "USD")),
            chip("cheap", "2005", peak_fp32=(1, "TFLOP/s", "fp32"), price=(1000, "USD")),
        ]
    )
    found = time_machine.answer(machines, 3.6e15, 1.0, memory=2e6)  # an hour at 1 TFLOP/s
    first, affordable = found.first_within(3600), found.first_within(3600, 1000)
    assert first and first.machine.id == "fast"
    assert affordable and affordable.machine.id == "cheap"
    by_time, by_price = experiments.possible(found)
    assert by_time == "Possible in an hour since 2000, by one fast in 1 h."
    assert by_price.endswith("since 2005, by one cheap in 1 h, for 1,000 dollars of the time.")
    slower = time_machine.answer(machines, 3.6e16, 1.0, memory=2e6)
    by_time, by_price = experiments.possible(slower)
    assert "one fast takes 10 h. 10 of them side by side" in by_time
    assert "2 cost no more, and none is fast enough" in by_price


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (2e-10, "0.2 ns"),
        (0.0125, "12.5 ms"),
        (59.0, "59 s"),
        (375.0, "6.25 min"),
        (14 * 3600.0, "14 h"),
        (40 * 3600.0, "40 h"),
        (3 * 86400.0, "3 days"),
        (2 * YEAR, "2 years"),
        (3400 * YEAR, "3,400 years"),
        (2.1e6 * YEAR, "2.1 million years"),
        (5e13 * YEAR, "50,000 billion years"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert time_machine.duration(seconds) == words


def test_energy_in_words() -> None:
    joules = (None, 20.0, 3600.0, 3.6e6 * 12.1, 3.6e12 * 2500)
    words = ["-", "20 J", "1 Wh", "12.1 kWh", "2,500 GWh"]
    assert [time_machine.energy(each) for each in joules] == words


USAGE = {
    "wall_seconds": 10.0,
    "cpu_seconds": 20.0,
    "peak_memory_bytes": 900e6,
    "memory_before_bytes": 400e6,
    "flops": 4e11,
    "flops_counted_trials": 2,
    "flops_executed_trials": 60,
    "flops_trials": 60,
    "dense_flops_per_second": 5e10,
}
CPU = {"device": "cpu", "device_name": "a processor"}


def add_run(engine: Engine, **usage: Any) -> str:
    run = Run(
        id="dropout-1",
        implementation="dropout",
        preset="quick",
        device="cpu",
        status="succeeded",
        submitted=1.0,
        source_hash="0",
        environment=CPU,
        usage=USAGE | usage,
    )
    with Session(engine) as session:
        session.add(run)
        session.commit()
    return "dropout-1"


def test_a_run_with_its_own_utilisation(loaded: Engine) -> None:
    found = experiments.find(loaded, add_run(loaded))
    # 4e11 / (20 s of one core x 5e10 FLOP/s) = 40 %
    assert found.utilisation == pytest.approx(0.4)
    assert "4e11 FLOPs / (20 s of one core × 5e10 FLOP/s) = 40 %" in found.utilisation_origin
    assert found.memory == 500e6 and found.format == "fp32"
    assert "2 of 60 trials; the others of an arm are taken as equal" in found.origin


def test_a_run_that_went_on_after_an_interruption_has_no_time_of_its_own(loaded: Engine) -> None:
    found = experiments.find(loaded, add_run(loaded, flops_executed_trials=7))
    assert found.flops == 4e11
    assert not found.here and "20 s" not in found.utilisation_origin


def test_a_run_on_a_gpu_is_measured_by_its_time_and_the_memory_of_the_gpu() -> None:
    usage, gpu = USAGE | {"peak_device_memory_bytes": 7e9}, CPU | {"device": "cuda:0"}
    assert experiments.utilisation(usage, gpu) == pytest.approx(4e11 / (10.0 * 5e10))
    assert experiments.needed_memory(usage) == 7e9


def test_a_model_a_paper_and_what_there_is_not(loaded: Engine) -> None:
    assert experiments.find(loaded, "gpt-3").flops == 3.14e23
    assert experiments.find(loaded, "3.1e12").flops == 3.1e12
    recorded = experiments.find(loaded, "dropout")
    assert recorded.flops == results.read_record()["dropout"]["blocks"][0]["usage"]["flops"]
    assert recorded.milestone == "dropout" and 0 < recorded.utilisation < 1
    for text in ("nothing", "-5", "nan", "inf", "1e99", "adam-1234", "resnet50"):
        with pytest.raises(LookupError, match="give"):
            experiments.find(loaded, text)


def test_the_shell_prints_the_sums_and_the_years(
    loaded: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run_kb(capsys, "time-machine", "3.2e12", "--utilisation", "10%")
    assert status == 0
    assert "3.2e12 FLOPs / (1.6e8 FLOP/s × 10 %) = 2.31 days" in out
    assert "Possible in an hour since 1987, by one Connection Machine 2 in 19 min." in out
    options = ("--utilisation", "0.1", "--format", "bf16", "--json")
    given = printed(capsys, "time-machine", "3.2e12", *options)
    by_id = {each["machine"]["id"]: each for each in given["machines"]}
    assert by_id["h100"]["seconds"] == pytest.approx(3.2e12 / 989.4e11)
    assert given["in_an_hour_for_1000_dollars"] == "geforce-8800"
    assert json.dumps(given["experiment"])
    assert run_kb(capsys, "time-machine", "nothing")[0] == 1
    assert "fp32, bf16" in run_kb(capsys, "time-machine", "1e9", "--format", "int8")[2]
