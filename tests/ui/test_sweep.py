"""The sweep: its form on a paper's page, and its page in every state. Nothing is really run."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import Session, select

from kb import implementations
from kb.runs import launcher, store
from kb.tables import Request, Run, RunVerdict
from tests.ui.pages import open_page, page_text
from ui import sliders
from ui.sweep_charts import is_geometric

AddSweep = Callable[..., None]


@pytest.fixture
def add_sweep(loaded: Engine) -> AddSweep:
    """add_sweep([{"H": 64}, {"H": 128}], ["succeeded", "failed"]): stores runs and verdicts."""

    def add(settings: list[dict[str, Any]], statuses: list[str]) -> None:
        with Session(loaded) as session:
            for i, (changes, status) in enumerate(zip(settings, statuses, strict=True)):
                session.add(make_run(f"dropout-{i}", changes, status))
                if status == "succeeded":
                    session.add(make_verdict(f"dropout-{i}"))
            session.commit()

    return add


def make_run(id: str, changes: dict[str, Any], status: str) -> Run:
    return Run(
        id=id, implementation="dropout", preset="quick", device="cpu", status=status,
        submitted=time.time(), source_hash="0", batch="batch-1", settings={"seed": 0} | changes,
        changes=changes, reason="out of memory" if status == "failed" else None,
        options={"sweep": list(changes)},
    )  # fmt: skip


def make_verdict(run: str) -> RunVerdict:
    return RunVerdict(
        run=run, claim="lower-test-error", number=0, n=5, verdict="reproduced", measured=9.0,
        baseline=11.5, unit="% test error", effect=2.5, low=1.5, high=3.5, rule="by a rule",
    )  # fmt: skip


def test_the_settings_of_the_paper_have_sliders() -> None:
    dropout = implementations.read("dropout")
    names = [setting.name for setting in sliders.main_settings(dropout, "quick")]
    assert names == ["p_hidden", "p_input", "momentum", "layers"]
    for name in implementations.names():
        implementation = implementations.read(name)
        for preset, values in implementation.presets.items():
            for setting in sliders.main_settings(implementation, preset):
                stops = sliders.stops(setting, implementation, preset)
                assert values[setting.name] in stops and stops == sorted(stops)
                implementations.parse_settings(
                    implementation, preset, {setting.name: repr(stops[0])}
                )


def test_a_slider_changes_the_run(loaded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "ensure_supervisor", lambda: True)
    app = open_page("milestone", id="dropout")
    slider = next(slider for slider in app.select_slider if slider.label == "p\\_hidden")
    assert slider.value == 0.5
    slider.set_value(0.7)
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    (run,) = store.latest(loaded)
    assert run.changes == {"p_hidden": 0.7}
    app = open_page("milestone", id="dropout")
    app.toggle[0].set_value(True).run()
    assert not app.select_slider and "p_hidden" in {field.label for field in app.text_input}


def test_one_press_submits_a_sweep(loaded: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "ensure_supervisor", lambda: True)
    app = open_page("milestone", id="dropout")
    assert "5 runs, each takes about a minute" in page_text(app)
    values = next(field for field in app.multiselect if field.label == "Values")
    values.set_value(["0.5"]).run()
    assert app.button(key="run-sweep").disabled and "no sweep" in app.warning[0].value
    values = next(field for field in app.multiselect if field.label == "Values")
    values.set_value(["0.3", "0.5", "0.8"])
    app.run()
    app.button(key="run-sweep").click().run()
    runs = store.latest(loaded)
    assert sorted(run.changes["p_hidden"] for run in runs) == [0.3, 0.5, 0.8]
    assert len({run.batch for run in runs}) == 1 and runs[0].batch
    app = open_page("sweep", batch=runs[0].batch)
    assert "Here a curve grows" in page_text(app)
    app.button(key="stop").click().run()
    with Session(loaded) as session:
        requests = session.exec(select(Request)).all()
    assert {(request.run, request.verb) for request in requests} == {
        (run.id, "cancel") for run in runs
    }


def test_a_curve_with_the_runs_that_failed_beside(add_sweep: AddSweep) -> None:
    values = [{"p_hidden": 0.3}, {"p_hidden": 0.5}, {"p_hidden": 0.8}]
    add_sweep(values, ["succeeded", "succeeded", "failed"])
    app = open_page("sweep", batch="batch-1")
    text = page_text(app).replace("\\", "")
    assert "Dropout: sweep of p_hidden" in text
    assert len(app.get("vega_lite_chart")) == 2, "the gain, and both sides of it"
    assert "✓ reproduced, gain 2.5 (1.5 .. 3.5)" in text
    assert "out of memory" in text and "by a rule" in text
    assert not any(button.label == "Stop what is left" for button in app.button)


def test_a_heat_map_over_two_settings(add_sweep: AddSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KB_READ_ONLY", "1")
    values = [{"p_hidden": p, "H": h} for p in (0.3, 0.5) for h in (64, 128)]
    add_sweep(values, ["succeeded", "succeeded", "paused", "cancelled"])
    app = open_page("sweep", batch="batch-1")
    (chart,) = app.get("vega_lite_chart")
    assert '"domain": [-2.5, 0.0, 2.5]' in chart.proto.spec, "no gain is in the middle"
    assert "✓ reproduced" in page_text(app)
    assert not app.button, "who may not start runs looks on"


@pytest.mark.parametrize(
    ("statuses", "message"),
    [
        (["failed", "failed"], "2 of 2 failed"),
        (["cancelled", "cancelled"], "stopped before a run had given a verdict"),
    ],
)
def test_without_a_verdict_it_says_why(
    add_sweep: AddSweep, statuses: list[str], message: str
) -> None:
    add_sweep([{"H": 64}, {"H": 128}], statuses)
    app = open_page("sweep", batch="batch-1")
    assert message in "".join(box.value for box in [*app.error, *app.warning])


def test_another_batch_is_compared_instead(add_sweep: AddSweep) -> None:
    add_sweep([{"H": 64}, {"H": 64}], ["succeeded", "succeeded"])
    assert "have the same settings" in page_text(open_page("sweep", batch="batch-1"))
    assert "No such sweep" in page_text(open_page("sweep", batch="batch-2"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((64, 128, 256, 512), True),
        ((0.01, 0.03, 0.1, 0.3), True),
        ((0.1, 0.3, 0.5, 0.7, 0.9), False),
        ((0.3, 0.5, 0.8), False),
        ((0, 1, 10), False),
    ],
)
def test_values_that_grow_by_a_factor_have_a_logarithmic_axis(
    values: tuple[float, ...], expected: bool
) -> None:
    assert is_geometric(values) is expected
