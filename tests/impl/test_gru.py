"""The gated unit: torch's GRU, what the gates do at their ends, the decoder's sum to one, the data, and the broken idea."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

import impl.gru as gru
from impl.gru import (
    SMOKE,
    EncoderDecoder,
    as_many_weights,
    check,
    corrupted,
    gated,
    run,
    size,
    torch_gaps,
)
from impl.kit.phrases import Corpus, grammar

CPU = torch.device("cpu")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 999))
def test_the_unit_that_resets_after_the_matrix_is_torchs_and_the_other_is_not(seed: int) -> None:
    before, after = torch_gaps(seed)
    assert after < 1e-12 < before


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 999))
def test_both_are_one_where_no_unit_sees_another(H: int, seed: int) -> None:
    """With a diagonal matrix it makes no difference on which side of it the reset gate stands."""
    torch.manual_seed(seed)
    x, h, U = torch.randn(1, 4, 3 * H).double(), torch.randn(1, 4, H).double(), torch.randn(1, H, 3 * H).double()
    U[0, :, 2 * H :] = torch.diag(torch.randn(H))
    assert torch.allclose(gated(x, h, U)[0], gated(x, h, U, torch.zeros(1, 4, H).double())[0])


@given(st.integers(0, 999))
def test_gates_at_their_ends(seed: int) -> None:
    torch.manual_seed(seed)
    H = 3
    x, h, U = torch.randn(1, 2, 3 * H), torch.randn(1, 2, H), torch.randn(1, H, 3 * H)
    x[..., H : 2 * H] = 1e4  # z = 1: the state is copied
    assert torch.equal(gated(x, h, U)[0], h)
    x[..., :H], x[..., H : 2 * H] = -1e4, -1e4  # r = 0 and z = 0: nothing of the past is left
    assert torch.allclose(gated(x, h, U)[0], torch.tanh(x[..., 2 * H :]))


@pytest.mark.parametrize("gates", [True, False])
def test_padding_says_nothing_and_nets_side_by_side_do_not_touch(gates: bool) -> None:
    both = EncoderDecoder(gates, 6, SMOKE, [9, 8], [0, 1], CPU)
    alone = EncoderDecoder(gates, 6, SMOKE, [9, 8], [1], CPU)
    source, target = torch.randint(1, 9, (2, 3, 5)), torch.randint(2, 8, (2, 3, 4))
    log_p = both.log_p(source, target)
    assert torch.allclose(log_p[1:], alone.log_p(source[1:], target[1:]), atol=1e-6)
    padded = both.log_p(F.pad(source, (0, 3)), F.pad(target, (0, 2)))
    assert torch.allclose(padded[..., :4], log_p, atol=1e-6)
    assert not padded[..., 4:].any()


def test_the_next_word_has_probability_one_in_all() -> None:
    nets = EncoderDecoder(True, 6, SMOKE, [9, 8], [0], CPU)
    source = torch.randint(1, 9, (1, 8, 5))
    target = torch.tensor([3, 4]).repeat(1, 8, 1)
    target[0, :, 1] = torch.arange(8)
    log_p = nets.log_p(source[:, :1].expand(-1, 8, -1), target).detach()
    assert float(log_p[0, 1:, 1].exp().sum()) < 1  # the eighth word is the filling, whose probability is not returned


def test_both_nets_are_about_as_large() -> None:
    H = as_many_weights(gru.QUICK, [40, 70])
    assert size(False, H, gru.QUICK, [40, 70]) == pytest.approx(size(True, gru.QUICK.H, gru.QUICK, [40, 70]), rel=0.02)
    net = EncoderDecoder(False, H, gru.QUICK, [40, 70], [0], CPU)
    assert sum(w[0].numel() for w in net.w.values()) == size(False, H, gru.QUICK, [40, 70])


def test_the_grammar() -> None:
    pairs = {" ".join(e): " ".join(f) for e, f in grammar(2_000)}
    assert len(pairs) == 2_000
    for english, french in pairs.items():
        assert french.count("ne ") >= english.count("never ") == french.count(" jamais")
        assert ("house" in english) == ("maison" in french)
    assert grammar(50) == grammar(2_000)[:50]


def test_corruptions_leave_the_first_and_the_end_alone() -> None:
    corpus = Corpus("grammar", 50)
    choices = corrupted(corpus.target, 7, len(corpus.words[1]), torch.Generator().manual_seed(0))
    assert torch.equal(choices[:, 0], corpus.target)
    assert ((choices == 1) == (corpus.target == 1)[:, None]).all()
    assert ((choices != corpus.target[:, None]).sum(2) <= 2).all()


def test_units_without_memory_are_not_reproduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken idea: gates that never keep anything, and states that forget; and a comparison of a thing with itself."""

    def broken(x: Tensor, h: Tensor, U: Tensor, inner: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        new = torch.zeros_like(h)
        return new, new, new

    monkeypatch.setattr(gru, "gated", broken)
    rows = [e for e in run(replace(SMOKE, seeds=3, updates=8), CPU) if isinstance(e, dict)]
    verdicts = {v.claim: v.verdict for v in check(rows)}
    assert verdicts["same-as-torch-gru"] == "not reproduced"
    assert verdicts["gated-unit"] != "reproduced" and verdicts["another-feature"] != "reproduced"


def test_equal_nets_are_not_reproduced() -> None:
    rows: list[dict[str, float | int | str | bool]] = [
        {"net": net, "seed": s, "nats": 1 + 0.01 * s} for net in ("gated", "tanh") for s in range(5)
    ]
    rows += [{"scorer": n, "seed": s, "picked": 0.8} for n in ("two features", "three features") for s in range(5)]
    rows += [{"seed": s, "gap": 0.3, "gap_reset_before": 0.3} for s in range(5)]
    assert {v.verdict for v in check(rows)} == {"not reproduced"}
