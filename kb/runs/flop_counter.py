"""Counts the floating-point operations that torch executes, without changing what it computes.

Counted are matrix products, convolutions and attention, by torch's own formulas, and by those below
where torch has none: single vectors, sparse matrices, fused recurrent layers. A multiplication and
an addition are two operations. Not counted are arithmetic on single elements, decompositions such
as that into singular values, and what is computed outside torch.
"""

import contextlib
from collections.abc import Callable
from math import prod
from typing import Any
from unittest.mock import patch

import torch
import torch.utils.flop_counter
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

aten: Any = torch.ops.aten
torchs: Any = torch.utils.flop_counter
Formula = Callable[[Any, Any], int]  # of the arguments and the result of an operation
# While a mode is entered, these compute vectors that they don't need, by another algorithm, and
# round differently.
DISTURBED = ("cond", "eigvals", "eigvalsh", "matrix_norm", "matrix_rank", "norm", "svdvals")


class FlopCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered.

    Unlike torch's FlopCounterMode it takes no operation apart, so that every result stays the same
    to the last bit. `bytes` is what the counted operations move at least: each operand read once,
    each result written once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.bytes = 0
        self._patches = contextlib.ExitStack()

    def __enter__(self) -> Any:
        for name in DISTURBED:
            uncounted = _without_modes(getattr(torch.linalg, name))
            self._patches.enter_context(patch.object(torch.linalg, name, uncounted))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patches.close()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **kwargs) if kwargs else func(*args)
        formula = _formulas[func] if func in _formulas else _find_formula(func)
        if formula:
            self.flops += formula(args, result)
            self.bytes += _byte_size(args) + _byte_size(result)
        return result


def _without_modes(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with _disable_current_modes():
            return function(*args, **kwargs)

    return call


def _find_formula(func: Any) -> Formula | None:
    """The formula of an operation, None if it isn't counted; remembered for the next time."""
    packet = func.overloadpacket
    formula = OWN_FORMULAS.get(packet)
    if formula is None and packet in torchs.flop_registry:
        torch_formula = torchs.flop_registry[packet]

        def formula(args: Any, result: Any) -> int:
            return int(torch_formula(*args, out_val=result))

    _formulas[func] = formula
    return formula


_formulas: dict[Any, Formula | None] = {}


def _byte_size(value: Any) -> int:
    if isinstance(value, Tensor):
        numbers = value.numel() if value.layout is torch.strided else value._nnz()
        return int(numbers) * value.element_size()
    return sum(map(_byte_size, value)) if isinstance(value, tuple | list) else 0


def _matrix_product(a: Tensor, b: Tensor) -> int:
    """Of one or of a batch; of a sparse matrix only the elements that are there are multiplied."""
    if b.layout is not torch.strided:
        return int(2 * b._nnz() * a.shape[0])
    elements = a.numel() if a.layout is torch.strided else a._nnz()
    return int(2 * elements * b.shape[-1])


def _recurrent_layers(x: Tensor, *weights: Tensor) -> int:
    """Each step multiplies each example by each weight; biases are vectors, and only added."""
    return 2 * prod(x.shape[:-1]) * sum(weight.numel() for weight in weights if weight.dim() > 1)


# For what torch's registry lacks; and for the products, since torch's own take twenty microseconds.
OWN_FORMULAS: dict[Any, Formula] = {
    aten.mm: lambda args, _: _matrix_product(args[0], args[1]),
    aten.addmm: lambda args, _: _matrix_product(args[1], args[2]),
    aten.bmm: lambda args, _: _matrix_product(args[0], args[1]),
    aten.baddbmm: lambda args, _: _matrix_product(args[1], args[2]),
    aten.mv: lambda args, _: 2 * args[0].numel(),
    aten.addmv: lambda args, _: 2 * args[1].numel(),
    aten.dot: lambda args, _: 2 * args[0].numel(),
    aten.vdot: lambda args, _: 2 * args[0].numel(),
    aten.addr: lambda args, _: 2 * args[1].numel() * args[2].numel(),
    aten._scaled_dot_product_flash_attention_for_cpu: lambda args, _: torchs.sdpa_flop_count(
        *(x.shape for x in args[:3])
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda args, _: (
        torchs.sdpa_backward_flop_count(*(x.shape for x in args[:4]))
    ),
    aten.mkldnn_rnn_layer: lambda args, _: _recurrent_layers(*args[:3]),
    # Backwards the gradient of the input and that of the weights take as much each.
    aten.mkldnn_rnn_layer_backward: lambda args, _: 2 * _recurrent_layers(*args[:3]),
    aten._cudnn_rnn: lambda args, _: _recurrent_layers(args[0], *args[1]),
    aten._cudnn_rnn_backward: lambda args, _: 2 * _recurrent_layers(args[0], *args[1]),
}
