"""The bidirectional net: torch's own, what each net can hear, the task and its floors."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from impl.brnn import (
    BROKEN,
    FULL,
    SMOKE,
    Net,
    build,
    check,
    error,
    floor,
    kernel,
    merge,
    run,
    sequences,
    torch_gap,
)
from impl.kit import Chosen, Row, Verdict, generator
from impl.kit.broken import take_out

CPU = torch.device("cpu")


def slopes(directions: tuple[int, ...], delay: int, t: int, T: int = 12) -> Tensor:
    """How the output at t depends on each input, [T]."""
    torch.manual_seed(0)
    x = torch.randn(1, T, requires_grad=True)
    (slope,) = torch.autograd.grad(Net(directions, 4, delay)(x)[0, t], x)
    return slope[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_the_hidden_layer_is_torchs(H: int, seed: int) -> None:
    torch.manual_seed(seed)
    assert torch_gap(Net((1, -1), H), torch.randn(3, 12)) < 1e-12


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99))
def test_units_follow_the_papers_equations(seed: int) -> None:
    """h_t = tanh(W x_t + U h_{t-1} + b), and from h_{t+1} for the backward units."""
    torch.manual_seed(seed)
    net, x = Net((1, -1), 3), torch.randn(2, 6, 1)
    h = net.hidden(x)
    for at, reader in enumerate(net.readers):
        assert isinstance(reader, nn.RNN)
        W, U, b, c = reader.all_weights[0]
        own = h[..., 3 * at : 3 * at + 3]
        before = F.pad(own, (0, 0, 1, 0))[:, :-1] if at == 0 else F.pad(own, (0, 0, 0, 1))[:, 1:]
        assert torch.allclose(own, torch.tanh(x @ W.T + before @ U.T + b + c), atol=1e-6)


@given(st.integers(0, 11), st.integers(0, 5))
def test_a_forward_net_hears_nothing_beyond_its_delay_and_a_bidirectional_one_everything(
    t: int,
    delay: int,
) -> None:
    late = slopes((1,), delay, t)
    assert not late[t + delay + 1 :].any() and late[: t + delay + 1].all()
    assert slopes((1, -1), 0, t).all()
    back = slopes((-1,), 0, t)
    assert not back[:t].any() and back[t:].all()


def test_all_nets_have_about_as_many_weights() -> None:
    counts = [
        sum(p.numel() for p in build(FULL, arm, 0).parameters())
        for arm in ("bidirectional", "forward", "backward")
    ]
    assert counts[0] == 2 * (12 * 12 + 4 * 12) + 1
    assert counts[1] == counts[2] == pytest.approx(counts[0], rel=0.05)


def test_targets_are_weighted_sums_over_both_sides() -> None:
    x, y = sequences(3, FULL, generator(0, "test"), CPU)
    t, w = 30, kernel(FULL)
    window = x[:, t - FULL.past : t + FULL.future]
    assert torch.allclose(y[:, t], (window * w).sum(1), atol=1e-5)
    assert float(w.square().sum()) / 12 == pytest.approx(1)


def test_the_floor_is_the_error_of_the_best_guess() -> None:
    """Whoever knows all inputs up to t + delay can at best leave out the rest of the sum."""
    x, y = sequences(2_000, FULL, generator(0, "test"), CPU)
    for delay in (0, 5, 19):
        known = kernel(FULL).clone()
        known[FULL.past + delay + 1 :] = 0
        padded = F.pad(x[:, None], (FULL.past, FULL.future - 1))
        guess = F.conv1d(padded, known[None, None])[:, 0]
        assert error(guess, y, FULL) == pytest.approx(floor(FULL, delay), rel=0.05, abs=1e-3)
    assert floor(FULL, 0) == pytest.approx(33.2, abs=0.1)


def test_two_ideal_nets_are_merged() -> None:
    """One knows the past half of a sum, the other the rest: their sum is exact, their mean not."""
    torch.manual_seed(0)
    parts = torch.randn(2, 2, 50, SMOKE.T)  # past and future; validation and test
    target = parts.sum(0)
    nets = [
        Chosen("", 0, {}, {}, {
            use: torch.stack([part[at], target[at]]) for at, use in enumerate(("val", "test"))
        })
        for part in parts
    ]  # fmt: skip
    mean, fitted = merge(SMOKE, nets[0], nets[1])
    assert float(fitted["error"]) < 1e-6 < float(mean["error"])


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_a_net_that_is_deaf_on_one_side_loses_the_claims_about_it() -> None:
    more = dict(H=6, updates=60, batch=16, delays=(0, 9), lrs=(0.03,), seeds=3)
    broken = judged("past-only", **more)
    assert broken["same-as-torch"].verdict == "fails"
    fallen = ("past-only", "merged-fitted", "best-delay")
    assert not any(broken[claim].verdict in ("reproduced", "weaker") for claim in fallen)


def test_verdicts_compare_the_right_nets() -> None:
    rows: list[Row] = []
    for seed in range(5):
        noise = 0.01 * seed
        nets = {"bidirectional": 1, "backward": 55, "merged": 22, "merged, fitted": 2.5}
        rows += [{"arm": arm, "error": e + noise * e} for arm, e in nets.items()]
        late = {0: (31, 31), 9: (5, 6), 20: (90, 94)}
        rows += [
            {"arm": "forward", "delay": delay, "val_error": val, "error": e - noise * e}
            for delay, (val, e) in late.items()
        ]
        for row in rows[-7:]:
            row.update(seed=seed, judged=True)
    outcomes = {v.claim: (v.verdict, round(v.baseline or 0)) for v in check(rows)}
    assert outcomes == {
        "past-only": ("reproduced", 30),
        "future-only": ("reproduced", 56),
        "merged": ("reproduced", 22),
        "merged-fitted": ("reproduced", 3),
        "best-delay": ("reproduced", 6),
        "too-late": ("reproduced", 92),
        "same-as-torch": ("not measured", 0),
    }
