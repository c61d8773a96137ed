"""The ladders: FLOPs against formulas by hand, the tasks' answers, one budget, a smoke of each."""

import importlib
import json
import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from impl.kit import generator
from impl.kit.tasks import assignments, eight_gaussians
from impl.ladders import generative, ladder, sequence

NAMES = ("depth", "generative", "optimizers", "sequence")
B, T, E, H = 4, 7, 6, 10


@pytest.mark.parametrize("layer, gates", [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
def test_flops_of_a_recurrent_net_are_those_counted_by_hand(
    layer: type[nn.RNN | nn.LSTM | nn.GRU], gates: int
) -> None:
    net, x = layer(E, H, batch_first=True), torch.randn(B, T, E, requires_grad=True)
    of_input, of_state = (2 * gates * H * n * B for n in (E, H))  # a step's products, forward
    first_state = of_state  # it is zero and gets no gradient
    expected = 3 * T * (of_input + of_state) - first_state
    assert ladder.count_flops(lambda: net(x)[0].sum().backward()) == expected


def test_flops_of_attention_are_those_counted_by_hand() -> None:
    q, k, v = (torch.randn(B, 2, T, E, requires_grad=True) for _ in range(3))
    attend = F.scaled_dot_product_attention
    forward = 2 * (2 * T * T * E) * 2 * B  # scores and means, two heads
    assert ladder.count_flops(lambda: attend(q, k, v).sum().backward()) == 3 * forward


def test_counting_leaves_the_random_numbers_as_they_were() -> None:
    torch.manual_seed(0)
    ladder.count_flops(lambda: torch.randn(3))
    drawn = torch.randn(3)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.randn(3))


def test_the_answer_is_the_last_value_that_was_noted_under_the_name() -> None:
    x, answers = assignments(50, 9, names=3, values=4, draw=generator(0, "notes"))
    for notes, answer in zip(x.tolist(), answers.tolist(), strict=True):
        memory = {note // 4: note % 4 for note in notes[:-1]}  # later notes replace earlier ones
        assert memory[notes[-1] - 3 * 4] == answer


def test_eight_gaussians_are_eight_heaps_of_variance_one() -> None:
    x = eight_gaussians(4_000, generator(0, "points"))
    assert x.var(0).tolist() == pytest.approx([1.0, 1.0], abs=0.1)
    heaps = (torch.atan2(x[:, 1], x[:, 0]) / (math.tau / 8)).round() % 8
    assert len(heaps.unique()) == 8


def test_rungs_have_about_as_many_parameters() -> None:
    cfg = sequence.QUICK
    for arm in sequence.LADDER.rungs:
        net = sequence.build(cfg, arm, sequence.width(cfg, arm))
        assert ladder.count_parameters(net) == pytest.approx(cfg.parameters, rel=0.12)


def test_the_rate_rises_then_falls() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)])
    rates = []
    for step in range(1, 101):
        ladder.set_lr(optimizer, 0.5, step, 100)
        rates.append(optimizer.param_groups[0]["lr"])
    assert max(rates) == pytest.approx(0.5, rel=0.01) and rates.index(max(rates)) in (9, 10)
    assert rates[0] < 0.05 and rates[-1] < 0.005


def test_a_gan_counts_what_it_trains_by() -> None:
    gan = generative.GAN(D=2, H=8, Z=3)
    flops = ladder.count_flops(lambda: [*generative.gradients(gan, torch.randn(5, 2))])
    assert flops > 0
    assert all(p.grad is not None for p in gan.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_smoke_of_each_ladder(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KB_CORES", "1")
    module: Any = importlib.import_module(f"impl.ladders.{name}")
    arguments = ["--json", "--preset", "smoke", "--seed", "7"]  # as kb.ladders asks for it
    assert ladder.main(None, module.LADDER, module.trial, module.PRESETS, arguments) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["settings"]["seed"] == 7
    budget = record["settings"]["budget"]
    for condition in record["conditions"]:
        assert [rung["name"] for rung in condition["rungs"]] == [*module.LADDER.rungs]
        for rung in condition["rungs"]:
            assert len(rung["values"]) == 2 and rung["low"] <= rung["mean"] <= rung["high"]
            assert budget - rung["flops"] < rung["flops"] * rung["updates"] <= budget
        first, second, *_ = condition["rungs"]
        assert first["gain"] is None
        assert second["gain"]["mean"] == pytest.approx(first["mean"] - second["mean"])


def test_a_setting_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "depht=3"]
    with pytest.raises(SystemExit) as stop:
        ladder.main(None, sequence.LADDER, sequence.trial, sequence.PRESETS, arguments)
    assert stop.value.code == 2
    assert "no setting 'depht'" in capsys.readouterr().err
