"""Language models: a recurrent one, as a rival of those that attend; training and writing."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR


class LSTMLanguageModel(nn.Module):
    """One layer of LSTM units, about `parameters` in all. Words [B, T] to logits [B, T, V].

    What comes in and what is predicted share the embeddings E.
    """

    def __init__(self, V: int, d: int, parameters: int):
        super().__init__()
        H = matching_width(V, d, parameters)
        self.E = nn.Embedding(V, d)
        self.lstm, self.out = nn.LSTM(d, H, batch_first=True), nn.Linear(H, d)
        nn.init.normal_(self.E.weight, std=d**-0.5)

    def states(self, e: Tensor) -> Tensor:
        """What is known after each word. [B, T, d] -> [B, T, d]"""
        states: Tensor = self.out(self.lstm(e)[0])
        return states

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.states(self.E(x)), self.E.weight)


def matching_width(V: int, d: int, parameters: int) -> int:
    """The units H for about as many parameters: 4 H^2 + (5 d + 8) H + (V + 1) d of them."""
    b, rest = 5 * d + 8, parameters - (V + 1) * d
    return max(1, round((math.sqrt(b * b + 16 * rest) - b) / 8))


def train(
    net: nn.Module,
    loss: Callable[[], Tensor],
    *,
    lr: float,
    decay: float,
    updates: int,
    warmup: float,
    course: Literal["cosine", "linear"],
) -> Iterator[tuple[int, float]]:
    """AdamW, with a rate that rises for `warmup` updates and then falls to zero; biases and gains
    don't decay.

    Yields eight times the step and the loss of its mini-batch, with the net in evaluation mode.
    """
    matrices = [weight for weight in net.parameters() if weight.dim() > 1]
    others = [weight for weight in net.parameters() if weight.dim() <= 1]
    decaying: dict[str, Any] = {"params": matrices, "weight_decay": decay}
    optimizer = torch.optim.AdamW([decaying, {"params": others}], lr, weight_decay=0, fused=True)

    def rate(step: int) -> float:
        left = 1 - step / updates
        fall = left if course == "linear" else (1 - math.cos(math.pi * left)) / 2
        return fall * min(1.0, (step + 1) / max(warmup, 1.0))

    schedule = LambdaLR(optimizer, rate if updates else lambda step: 0.0)
    for step in range(1, updates + 1):
        net.train()
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        if step % -(-updates // 8) == 0 or step == updates:
            net.eval()
            yield step, value.item()


@torch.no_grad()
def write(net: nn.Module, x: Tensor, words: int, draw: torch.Generator) -> Tensor:
    """Goes on with each text [B, T] for so many words, as a language model draws them."""
    for _ in range(words):
        p = net(x)[:, -1].softmax(-1).cpu()
        x = torch.cat([x, torch.multinomial(p, 1, generator=draw).to(x.device)], 1)
    return x


@torch.no_grad()
def leak(net: nn.Module, x: Tensor) -> float:
    """The largest change of a logit if all later words [B, T] are replaced by those of another."""
    logits, largest = net(x), 0.0
    for t in range(1, x.shape[1]):
        other = torch.cat([x[:, :t], x.roll(1, 0)[:, t:]], 1)
        largest = max(largest, float((net(other) - logits)[:, :t].abs().max()))
    return largest
