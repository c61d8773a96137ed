"""Restricted Boltzmann machines and deep belief nets: what generative models were before 2014.

Hinton, Osindero & Teh, Neural Computation 18:1527-1554, 2006; trained by contrastive divergence.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RBM(nn.Module):
    """Visible units v [B, n] and hidden ones h [B, m], each on or off by chance."""

    def __init__(self, n: int, m: int):
        super().__init__()
        self.W = nn.Parameter(0.01 * torch.randn(n, m))
        self.b, self.c = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(m))

    def up(self, v: Tensor) -> Tensor:
        """Hidden units drawn from p(h | v)."""
        return torch.bernoulli(torch.sigmoid(v @ self.W + self.c))

    def down(self, h: Tensor) -> Tensor:
        """The probabilities p(v = 1 | h)."""
        return torch.sigmoid(h @ self.W.T + self.b)

    def free_energy(self, v: Tensor) -> Tensor:
        """-log of the sum over h of exp(v.b + h.c + v.W.h), [B]."""
        return -(v @ self.b + F.softplus(v @ self.W + self.c).sum(1))

    def loss(self, v: Tensor) -> Tensor:
        """CD-1: its gradient is that of the free energy of v less that after one step of Gibbs."""
        with torch.no_grad():
            again = torch.bernoulli(self.down(self.up(v)))
        return (self.free_energy(v) - self.free_energy(again)).mean()


class DeepBeliefNet(nn.Module):
    """Two machines, the upper one on what the hidden units of the lower one do."""

    def __init__(self, n: int, m: int):
        super().__init__()
        self.below, self.above = RBM(n, m), RBM(m, m)

    def fit(
        self,
        draw: Callable[[], Tensor],
        updates: int,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
    ) -> None:
        """Layer by layer, half of the updates each; `draw` gives batches [B, n] in 0..1."""
        for rbm in (self.below, self.above):
            of_rbm = optimizer(rbm)
            for _ in range(-(-updates // 2)):
                v = torch.bernoulli(draw())
                loss = rbm.loss(v if rbm is self.below else self.below.up(v))
                of_rbm.zero_grad()
                loss.backward()
                of_rbm.step()

    @torch.no_grad()
    def sample(self, v: Tensor, steps: int) -> Tensor:
        """Samples [B, n], as probabilities, after `steps` of Gibbs in the upper machine from v."""
        h = self.below.up(torch.bernoulli(v))
        for _ in range(steps):
            h = torch.bernoulli(self.above.down(self.above.up(h)))
        return self.below.down(h)
