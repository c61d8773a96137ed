"""Elman: the gradient of one step, torch's own layer, what can be known at all, no copy."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from impl.drawing.elman import LEAST_AT_OTHERS, LEAST_AT_THIRD
from impl.elman import (
    BROKEN,
    PAPER,
    SMOKE,
    START,
    Elman,
    check,
    errors,
    follows_xor,
    run,
    split,
    stream,
    torch_gap,
)
from impl.kit import Verdict, generator
from impl.kit.broken import take_out

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 999))
def test_the_gradient_holds_the_copy_fixed(H: int, T: int, seed: int) -> None:
    """All steps at once give what one step after the other gives, each with its copy detached."""
    torch.manual_seed(seed)
    model, z = Elman(H, 2.0).double(), torch.rand(3, T).double()
    y, after = model(z, model.start(3))
    ours = torch.autograd.grad(y.square().sum(), list(model.parameters()))
    c, outputs = model.start(3), []
    for x_t in z[..., None].unbind(1):
        h = model.step(x_t, c)
        outputs.append(torch.sigmoid(model.out(h)))
        c = h.detach()
    theirs = torch.autograd.grad(torch.cat(outputs, 1).square().sum(), list(model.parameters()))
    assert torch.allclose(after, c)
    assert all(torch.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 8), st.floats(0.1, 10.0), st.integers(0, 999))
def test_the_recurrence_is_torchs(H: int, size: float, seed: int) -> None:
    torch.manual_seed(seed)
    assert torch_gap(Elman(H, size), stream(1, 60, generator(seed, "test"), CPU)) < 1e-9


def test_the_papers_net_has_11_weights() -> None:
    """1 input, 2 hidden, 2 context units, 1 output, and the biases."""
    assert sum(p.numel() for p in Elman(PAPER.H, PAPER.init).parameters()) == 11


def test_every_third_bit_is_the_xor() -> None:
    z = stream(5, 18, generator(0, "data"), CPU)
    a, b, third = z.view(5, 6, 3).unbind(2)
    assert torch.equal((a != b).float(), third)
    assert not torch.equal(z, stream(5, 18, generator(1, "data"), CPU))


def test_the_best_blind_predictor_has_the_errors_we_draw() -> None:
    """Over all pairs of triples: 2/3 where the last two bits differ, 1/3 where they are equal."""
    squares: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for a, b, c, d in itertools.product((0, 1), repeat=4):
        z = [a, b, a ^ b, c, d, c ^ d]
        for t in (3, 4, 5):
            squares[t % 3].append((z[t] - (1 + (z[t - 1] ^ z[t - 2])) / 3) ** 2)
    mean = {t: sum(values) / len(values) for t, values in squares.items()}
    assert mean[2] == pytest.approx(LEAST_AT_THIRD)
    assert (mean[0] + mean[1]) / 2 == pytest.approx(LEAST_AT_OTHERS)


def test_a_net_without_context_units_forgets_at_once() -> None:
    model, z = Elman(3, 2.0, has_context=False), torch.ones(4, 5)
    y, c = model(z, model.start(4))
    assert torch.equal(c, torch.full((4, 3), START)) and y.unique().numel() == 1


def test_an_xor_made_by_hand_follows_the_rule() -> None:
    """Unit 1 holds the last bit; 2 and 3 are OR and AND of the input and the copy of unit 1."""
    model = Elman(3, 1.0)
    U = torch.zeros(3, 3)
    U[1:, 0] = 20.0
    model.layer.weight.data = torch.cat([torch.full((3, 1), 20.0), U], 1)
    model.layer.bias.data = torch.tensor([-10.0, -10.0, -30.0])
    model.out.weight.data, model.out.bias.data = (
        torch.tensor([[0, 20.0, -20.0]]),
        torch.tensor([-10.0]),
    )
    z = stream(2, 240, generator(3, "test"), CPU)
    assert (
        split(errors(model, z))[0] < 0.01
    )  # but for the first bits, before which there is nothing
    assert min(split(follows_xor(model, z))) > 0.95


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:  # type: ignore[arg-type]
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_nets_whose_copy_never_arrives_lose_every_claim() -> None:
    verdicts = judged("third-bit", passes=40, seeds=4, lrs=(0.1,))
    outcomes = {claim: verdict.verdict for claim, verdict in verdicts.items()}
    assert outcomes.pop("same-as-torch-rnn") == "fails"
    assert set(outcomes.values()) == {"not reproduced"}
    assert verdicts["context"].effect == 0, "both nets draw the same weights and the same bits"
