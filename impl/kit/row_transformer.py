"""A small Transformer that reads an image row by row."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Attention of several heads with its four matrices, all d x d. [B, T, d] -> [B, T, d]"""

    def __init__(self, d: int, heads: int):
        super().__init__()
        self.heads = heads
        self.W_q, self.W_k, self.W_v, self.W_o = (nn.Linear(d, d) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            W(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for W in (self.W_q, self.W_k, self.W_v)
        )
        h = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.W_o(h.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    def __init__(self, d: int, heads: int):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(d), Attention(d, heads)
        self.mlp = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm(x))
        x = x + self.mlp(x)
        return x


class Transformer(nn.Module):
    """Reads an image row by row. [B, 1, T, w] -> logits [B, 10]"""

    def __init__(self, T: int, w: int, d: int, heads: int, layers: int):
        super().__init__()
        self.embed = nn.Linear(w, d)
        self.position = nn.Parameter(torch.randn(T, d) * 0.1)
        self.blocks = nn.Sequential(*(Block(d, heads) for _ in range(layers)))
        self.head = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 10))

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.embed(x.squeeze(1)) + self.position)
        logits: Tensor = self.head(features.mean(1))
        return logits
