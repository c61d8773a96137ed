"""What makes a long run quicker without changing the net: bfloat16 and torch.compile.

The weights stay as they are, too. A preset asks for them with settings named `bf16` and `compile`;
what is measured afterwards asks the net itself.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


def faster(
    net: nn.Module, device: torch.device, *, bf16: bool, compile: bool
) -> Callable[[Tensor], Tensor]:
    """The net's answers while it is trained, in float32 whatever they were computed in.

    Products and convolutions in bfloat16 keep float32's range and three digits; weights and
    gradients stay as they are. Raises RuntimeError with a remedy, at the first answer, where
    nothing can be compiled.
    """
    answer = _compiled(net) if compile else net
    if not bf16:
        return answer

    def in_bf16(x: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            y: Tensor = answer(x)
        return y.float()

    return in_bf16


def _compiled(net: nn.Module) -> Callable[[Tensor], Tensor]:
    # One net is trained after the other; the compiler gives up on what it has seen in eight forms.
    torch.compiler.reset()
    compiled = torch.compile(net)

    def answer(x: Tensor) -> Tensor:
        try:
            y: Tensor = compiled(x)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise RuntimeError(
                f"torch.compile fails on this machine: {error}; run it with compile=false"
            ) from error
        return y

    return answer
