"""Sparse matrices that keep their transpose, which the gradient of a product needs."""

import copy
import warnings
from typing import Any

import torch
from torch import Tensor

from impl.kit.trials import generator


class Sparse:
    """A sparse matrix [N, M] by which dense ones are multiplied.

    torch would transpose it anew for each gradient, which takes longer than all the rest.
    """

    def __init__(self, at: Tensor, values: Tensor, shape: tuple[int, int]):
        """`at` [2, n] are the row and the column, and `values` [n] what stands there."""
        order = (at[0] * shape[1] + at[1]).argsort()
        self.at, self.values, self.shape = at[:, order], values[order], shape
        self.by_column = (self.at[1] * shape[0] + self.at[0]).argsort()
        self.rows_by_column = self.at[0, self.by_column]
        self.row_starts, self.column_starts = (
            torch.bincount(index + 1, minlength=size + 1).cumsum(0)
            for index, size in zip(self.at, shape, strict=True)
        )

    def __matmul__(self, dense: Tensor) -> Tensor:
        """[N, M] @ [M, F] -> [N, F]"""
        product: Tensor = _Product.apply(self, dense)
        return product

    def csr(self) -> Tensor:
        return _csr(self.row_starts, self.at[1], self.values, self.shape)

    def transposed_csr(self) -> Tensor:
        values = self.values[self.by_column]
        shape = (self.shape[1], self.shape[0])
        return _csr(self.column_starts, self.rows_by_column, values, shape)

    def with_values(self, values: Tensor) -> "Sparse":
        """Others at the same places, row by row."""
        other = copy.copy(self)
        other.values = values
        return other

    def to(self, device: torch.device, dtype: torch.dtype = torch.float32) -> "Sparse":
        return Sparse(self.at.to(device), self.values.to(device, dtype), self.shape)

    def dense(self) -> Tensor:
        return self.csr().to_dense()

    def radius(self) -> float:
        """The largest absolute eigenvalue of a symmetric matrix."""
        from scipy.sparse import csr_array
        from scipy.sparse.linalg import eigsh

        values, at = self.values.double().cpu().numpy(), self.at.cpu().numpy()
        start = torch.rand(len(self.row_starts) - 1, generator=generator(0, "radius")).numpy()
        matrix = csr_array((values, (at[0], at[1])), self.shape)
        (largest,) = eigsh(matrix, 1, v0=start, tol=1e-6, return_eigenvectors=False)
        return float(abs(largest))


def _csr(starts: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


with warnings.catch_warnings(action="ignore"):  # torch says once that this format is in beta
    _csr(torch.zeros(2, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0), (1, 1))


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, sparse: Sparse, dense: Tensor) -> Tensor:
        context.sparse = sparse
        return sparse.csr() @ dense

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        return None, context.sparse.transposed_csr() @ gradients[0]
