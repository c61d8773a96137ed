"""A variational autoencoder with Gaussian latent variables."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    """Kingma and Welling (2013) with one hidden layer of softplus units each way.

    D pixels, H hidden units, Z latent variables.
    """

    def __init__(self, D: int, H: int, Z: int):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(D, H), nn.Softplus(), nn.Linear(H, 2 * Z))
        self.decoder = nn.Sequential(nn.Linear(Z, H), nn.Softplus(), nn.Linear(H, D))

    def loss(self, x: Tensor) -> Tensor:
        """-ELBO of an image in nats, with one sample. x [B, D]"""
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = mean + (log_var / 2).exp() * torch.randn_like(mean)
        pixels = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none")
        divergence = 0.5 * (mean**2 + log_var.exp() - log_var - 1)
        loss: Tensor = (pixels.sum(1) + divergence.sum(1)).mean()
        return loss
