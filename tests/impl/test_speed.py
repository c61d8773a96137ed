"""bfloat16 and torch.compile change how quickly a net is trained, but not what is measured."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from impl import alexnet, resnet
from impl.kit import Row, faster

CPU = torch.device("cpu")


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))


def test_bf16_has_three_digits_and_its_gradients_are_float32() -> None:
    one, x = net(), torch.randn(5, 3, 8, 8)
    y = faster(one, CPU, bf16=True, compile=False)(x)
    y.square().sum().backward()
    assert y.dtype == torch.float32
    assert not torch.equal(y, one(x)), "nothing was computed in bfloat16"
    torch.testing.assert_close(y, one(x), rtol=0.03, atol=0.03)
    assert all(
        w.dtype == w.grad.dtype == torch.float32 for w in one.parameters() if w.grad is not None
    )


def test_neither_asked_for_is_the_net_itself() -> None:
    one = net()
    assert faster(one, CPU, bf16=False, compile=False) is one


@pytest.mark.slow
@torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True)
def test_nets_of_any_number_can_be_compiled_and_give_the_same() -> None:
    """By default the compiler gives up on the ninth net, with a warning; here on the second."""
    for width in range(2):
        one, x = nn.Sequential(nn.Linear(4 + width, 3), nn.Tanh()), torch.randn(5, 4 + width)
        torch.testing.assert_close(faster(one, CPU, bf16=False, compile=True)(x), one(x))


def test_where_nothing_can_be_compiled_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: nn.Module) -> Callable[[Tensor], Tensor]:
        def answer(_: Tensor) -> Tensor:
            raise torch._dynamo.exc.TorchDynamoException("no compiler")

        return answer

    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(RuntimeError, match="no compiler; run it with compile=false"):
        faster(net(), CPU, bf16=False, compile=True)(torch.randn(5, 3, 8, 8))


@pytest.mark.parametrize("paper", [resnet, pytest.param(alexnet, marks=pytest.mark.slow)])
def test_a_preset_that_asks_for_both_measures_the_same_things(
    paper: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        torch, "compile", partial(torch.compile, backend="eager")
    )  # traced, but quickly made
    assert paper.PAPER.bf16 and paper.PAPER.compile
    smoke = dataclasses.replace(paper.SMOKE, **({"deep": 8} if paper is resnet else {"ablate": ()}))

    def rows(**asked: bool) -> list[Row]:
        return [
            one
            for one in paper.run(dataclasses.replace(smoke, **asked), CPU)
            if isinstance(one, dict)
        ]

    plain, quick = rows(), rows(bf16=True, compile=True)
    assert sorted(map(sorted, plain)) == sorted(map(sorted, quick))
    assert plain != quick, "they were not computed otherwise"
