"""The figures of impl/lenet5.py."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from impl.kit import Figure
from impl.kit.figures import PALETTE, canvas, figure, sheets, tiles

MOVED = ("right", "down", "wrong")


@torch.no_grad()
def pictures(net: nn.Sequential, x: Tensor, D: Tensor, predicted: Tensor) -> Iterator[Figure]:
    """Of a trained LeNet-5 and test images x [B, 1, 32, 32] of the digits D."""
    kernels = net.get_submodule("C1").get_parameter("weight")  # [6, 5, 5]
    caption = "The six 5 x 5 kernels of C1 (red adds, blue takes away)"
    yield sheets("filters", {"C1": kernels}, caption, columns=6, symmetric=True)
    yield layers(net, x[:1], int(D[0]))
    codes = net.get_submodule("output").get_buffer("codes")
    drawn = nn.Sequential(*list(net)[:-1])(x)  # F6
    mean = torch.stack([drawn[digit == D].mean(0) for digit in range(10)])
    pair = {
        "the ten codes": codes.reshape(10, 12, 7),
        "what F6 draws on average": mean.reshape(10, 12, 7),
    }
    caption = "The bitmap that F6 should draw for each digit, and what it draws for test digits"
    yield sheets("codes", pair, caption, columns=5)
    yield mistakes(x, D, predicted)


def layers(net: nn.Sequential, x: Tensor, digit: int) -> Figure:
    outputs = {"input": x}
    for name, layer in net.named_children():
        x = outputs[name] = layer(x)
    columns = {"input": 1, "C1": 2, "S2": 2, "C3": 4, "S4": 4, "F6": 1}
    outputs["F6"] = outputs["F6"].reshape(1, 1, 12, 7)
    drawn, axes = canvas(1, 7, width=10, height=2.1)
    for ax, (name, n) in zip(axes, columns.items(), strict=False):
        ax.imshow(tiles(outputs[name][0], n).numpy(), cmap="gray")
        ax.set_title("F6 as 7 x 12" if name == "F6" else name)
        ax.set_axis_off()
    axes[6].barh(range(10), outputs["output"][0].tolist(), color=PALETTE[0])
    axes[6].set(title="penalties", yticks=range(10))
    axes[6].invert_yaxis()
    caption = f"A {digit} on its way through LeNet-5 (as in Fig. 2); the smallest penalty wins"
    return figure("layers", drawn, caption)


def mistakes(x: Tensor, D: Tensor, predicted: Tensor) -> Figure:
    wrong = (predicted != D).nonzero().flatten()[:24].tolist()
    drawn, axes = canvas(3, 8, height=3.4)
    for ax, i in zip(axes.flat, wrong, strict=False):
        ax.imshow(x[i, 0].numpy(), cmap="gray")
        ax.set_title(f"{int(D[i])} as {int(predicted[i])}")
    for ax in axes.flat:
        ax.set_axis_off()
    return figure("mistakes", drawn, "Test digits that LeNet-5 misreads (as in Fig. 8)")


def shift_map(trials: Mapping[str, Sequence[Mapping[str, Tensor]]], shift: int) -> Figure:
    """Of each arm and seed the test images' shifts `right` and `down` [B], and `wrong` [B]."""
    drawn, axes = canvas(1, 2, height=4.0)
    side = 2 * shift + 1
    for ax, (arm, tensors) in zip(axes, trials.items(), strict=True):
        right, down, wrong = (torch.cat([t[key] for t in tensors]) for key in MOVED)
        cell = (down + shift) * side + right + shift
        counts = torch.bincount(cell, minlength=side**2)
        errors = 100 * torch.bincount(cell, wrong, minlength=side**2) / counts.clamp_min(1)
        ax.imshow(errors.view(side, side).numpy(), cmap="magma_r", vmin=0, vmax=100)
        for i, e in enumerate(errors.tolist()):
            ink = "black" if e < 50 else "white"
            place = dict(ha="center", va="center", fontsize=7, color=ink)
            ax.text(i % side, i // side, f"{e:.0f}", **place)
        ticks, labels = range(side), list(range(-shift, shift + 1))
        ax.set(title=arm, xlabel="pixels to the right", ylabel="pixels down")
        ax.set(xticks=ticks, yticks=ticks, xticklabels=labels, yticklabels=labels)
    caption = "% errors on test digits shifted by so many pixels, over all seeds"
    return figure("shifts", drawn, caption)
