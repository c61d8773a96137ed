"""Encoder-decoders: a task for them, and a recurrent one, which nets without recurrence are held
against."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, Tensor, Tensor]  # sources, targets, the token before each of the target's


def backwards(words: int, T: int, n: int, draw: torch.Generator) -> Batch:
    """Random sequences that are to be written backwards, [n, T]; 0 begins what is written."""
    x = torch.randint(1, words, (n, T), generator=draw)
    y = x.flip(1)
    return x, y, F.pad(y, (1, 0))[:, :-1]


@torch.no_grad()
def token_error(net: nn.Module, batch: Batch) -> float:
    """% of tokens wrong, given the right ones before. The net is in training mode again then."""
    device = next(net.parameters()).device
    x, y, y_before = (each.to(device) for each in batch)
    wrong = net.eval()(x, y_before).argmax(2) != y
    net.train()
    return 100 * float(wrong.float().mean())


def parameters(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


class RecurrentEncoderDecoder(nn.Module):
    """Two layers of gated units each, after GNMT (Wu et al., 2016): the lower one of the encoder
    reads in both directions, the upper one's output is added to it. The lower one of the decoder
    asks, and the upper one writes from what it hears. H units, an even number."""

    def __init__(self, words: int, H: int, dropout: float = 0.0):
        super().__init__()
        self.H = H
        self.E = nn.Embedding(words, H)
        nn.init.normal_(self.E.weight, std=H**-0.5)
        self.read_both = nn.GRU(H, H // 2, batch_first=True, bidirectional=True)
        self.read = nn.GRU(H, H, batch_first=True)
        self.begin = nn.Linear(H, H)
        self.ask = nn.GRU(H, H, batch_first=True)
        self.write = nn.GRU(2 * H, H, batch_first=True)
        self.dropout = nn.Dropout(dropout)

    def embed(self, x: Tensor) -> Tensor:
        e: Tensor = self.dropout(self.E(x) * self.H**0.5)
        return e

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Source and the target so far, [B, T] each, to logits of the next tokens [B, T, words]."""
        lower, _ = self.read_both(self.embed(x))
        upper, end = self.read(self.dropout(lower))
        memory = lower + upper
        asked, _ = self.ask(self.embed(y), torch.tanh(self.begin(end)))
        heard = F.scaled_dot_product_attention(asked, memory, memory)
        written, _ = self.write(self.dropout(torch.cat([asked, heard], 2)), end)
        written = written + asked + heard
        return F.linear(written, self.E.weight)


def matching_width(words: int, parameters: int) -> int:
    """The even number of units with which it has about so many parameters."""

    def gap(H: int) -> int:
        # Four GRUs, of which the first has half as many units in each of two directions.
        both = 2 * (3 * (H // 2) * (H + H // 2) + 6 * (H // 2))
        others = 3 * 6 * (H * H + H) + 3 * H * H
        return abs(words * H + both + others + H * H + H - parameters)

    return min(range(2, parameters // words + 4, 2), key=gap)
