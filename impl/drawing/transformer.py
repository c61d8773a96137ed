"""The figures of impl/transformer.py."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, generator
from impl.kit.figures import INK, PALETTE, canvas, figure


@torch.no_grad()
def watch(net: Any, x: Tensor, y: Tensor, y_before: Tensor) -> dict[str, Tensor]:
    """Where each head of the last layers looks, [h, T, S], while one sequence is written."""
    seen: dict[str, Tensor] = {"source": x[0], "target": y[0]}
    net = deepcopy(net).cpu().eval()
    reads, (writes, asks) = net.encoder[-1].attentions[0], net.decoder[-1].attentions

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, _: seen.update({name: module.pattern(*inputs)[0]})

    for name, module in (("reads", reads), ("writes", writes), ("asks", asks)):
        module.register_forward_hook(keep(name))
    net(x, y_before)
    return seen


def heads(arrays: Mapping[str, Tensor]) -> Figure:
    """What `watch` saw, of the first two heads."""
    source, target = ([str(i) for i in arrays[name].tolist()] for name in ("source", "target"))
    before = ["-", *target[:-1]]
    panels = {
        "reads": ("encoder", source, source),
        "writes": ("decoder, its own past", before, before),
        "asks": ("decoder, the source", before, source),
    }
    drawn, axes = canvas(2, 3, width=7.6, height=5.8)
    for column, (name, (title, rows, columns)) in enumerate(panels.items()):
        for head, pattern in enumerate(arrays[name][:2]):
            ax = axes[head, column]
            ax.imshow(pattern.numpy(), cmap="Blues", vmin=0, vmax=1)
            ax.set(xticks=range(len(columns)), yticks=range(len(rows)))
            ax.set_xticklabels(columns, fontsize=7)
            ax.set_yticklabels(rows, fontsize=7)
            ax.set_title(f"{title}, head {head + 1}")
    axes[0, 0].set_ylabel("token that asks")
    axes[1, 0].set_ylabel("token that asks")
    for ax in axes[1]:
        ax.set_xlabel("token that answers")
    caption = (
        "Where a trained Transformer looks while it writes a sequence backwards: from the dark "
        "squares it takes most. Numbers are tokens; '-' begins what is written"
    )
    return figure("heads", drawn, caption)


def race(chosen: Sequence[Chosen]) -> Figure:
    """Validation error against training FLOPs: each arm's mean over the seeds, and each seed."""
    drawn, ax = canvas(height=3.6)
    arms = list(dict.fromkeys(one.arm for one in chosen))
    for arm, color in zip(arms, PALETTE, strict=False):
        curves = [one.tensors["curve"] for one in chosen if one.arm == arm]
        shortest = min(map(len, curves))
        for curve in curves:
            ax.plot(*curve.T.tolist(), color=color, linewidth=0.6, alpha=0.4)
        mean = torch.stack([curve[:shortest] for curve in curves]).mean(0)
        ax.plot(*mean.T.tolist(), color=color, linewidth=1.8, label=arm)
    ax.set(xlabel="training FLOPs", ylabel="% of tokens wrong, validation", ylim=(0, 100))
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    caption = "What each net gets wrong for what its training costs: means, and thin each seed"
    return figure("race", drawn, caption)


def saturation(attention: Callable[..., Tensor], scale: Callable[[int], float]) -> Figure:
    """How attention over 16 keys is shared out if queries and keys are random."""
    drawn, axes = canvas(1, 2, width=7.0, height=3.0)
    for ax, scaled in zip(axes, (False, True), strict=True):
        for d_k, color in zip((4, 64, 512), PALETTE, strict=False):
            Q, K = torch.randn(2, 1000, 16, d_k, generator=generator(0, f"keys {d_k}"))
            factor = scale(d_k) if scaled else 1.0
            shares = attention(Q, K, torch.eye(16).expand(1000, -1, -1), factor, None)
            mean = shares.sort(-1, descending=True).values.mean((0, 1))
            ax.plot(
                range(1, 17), mean.tolist(), color=color, marker="o", ms=3, label=f"d_k = {d_k}"
            )
        ax.set(ylim=(0, 1), xlabel="keys, the best first", xticks=(1, 4, 8, 12, 16))
        ax.set_title("divided by √d_k" if scaled else "q · k as it is")
    axes[0].set_ylabel("share of the attention")
    axes[1].legend()
    caption = (
        "Random queries and keys: without the division the longer they are the more one key takes "
        "all, by chance, and the softmax has next to no gradient"
    )
    return figure("saturation", drawn, caption)


def waves(positions: Tensor, course: Callable[[int, int], float], warmup: int) -> Figure:
    """The encodings [T, d], and the course of the learning rate."""
    drawn, axes = canvas(1, 2, width=7.6, height=3.0)
    image = axes[0].imshow(positions.numpy(), cmap="RdBu_r", aspect="auto", vmin=-1, vmax=1)
    axes[0].set(xlabel=f"number of the vector, of {positions.shape[1]}", ylabel="position")
    axes[0].set_title("what is added to a token at each position")
    drawn.colorbar(image, ax=axes[0], ticks=(-1, 0, 1)).ax.tick_params(colors=INK)
    steps = range(1, 30_000, 50)
    axes[1].plot(steps, [course(step, warmup) for step in steps], color=PALETTE[0])
    axes[1].axvline(warmup, color=INK, linewidth=0.8, linestyle=":")
    label = dict(xytext=(5, 0), textcoords="offset points", color=INK)
    axes[1].annotate("warmup", (warmup, 0.05), **label)
    axes[1].set(xlabel="update", ylabel="learning rate, of its highest", ylim=(0, 1.05))
    axes[1].set_title("the rate of the base model")
    return figure("waves", drawn, "Sec. 3.5 and Eq. 3: positions as waves, and the learning rate")
