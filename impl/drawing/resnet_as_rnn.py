"""The figures of impl/resnet_as_rnn.py."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure, sheets


def figures(chosen: Sequence[Chosen], more: Sequence[int]) -> Iterator[Figure]:
    yield readout(chosen, more)
    yield trade(chosen)
    yield from on_the_way(chosen)


@torch.no_grad()
def states(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Of each stage of an unrolled net the states, [T + 1, B, C, H, W]."""
    found, h = {}, net.get_submodule("stem")(x)
    for i in range(3):
        steps = [net.get_submodule(f"enter.{i}")(h)]
        for block in net.get_submodule(f"stages.{i}").children():
            steps.append(block(steps[-1]))
        h = steps[-1]
        found[f"stage {i}"] = torch.stack(steps)
    return found


def readout(chosen: Sequence[Chosen], more: Sequence[int]) -> Figure:
    drawn, ax = canvas()
    for trial in chosen:
        if trial.arm == "shared":
            errors = trial.tensors["read_error"].tolist()
            ax.plot(more, errors, color=PALETTE[0], alpha=0.7, linewidth=1)
    ax.axvline(0, color=INK, linestyle=":", linewidth=1)
    label = "steps in each stage, more or fewer than in training"
    ax.set(xlabel=label, ylabel="% test error", ylim=(0, 100))
    caption = "Reading recurrent nets out after fewer or more steps, each seed a line"
    return figure("readout", drawn, caption)


def trade(chosen: Sequence[Chosen]) -> Figure:
    drawn, ax = canvas()
    for arm, colour in zip(dict.fromkeys(trial.arm for trial in chosen), PALETTE, strict=False):
        rows = [trial.row for trial in chosen if trial.arm == arm]
        parameters, errors = ([row[key] for row in rows] for key in ("parameters", "test_error"))
        ax.scatter(parameters, errors, color=colour, alpha=0.8, label=arm)
    ax.set(xlabel="parameters", ylabel="% test error")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)
    ax.legend(fontsize=8)
    caption = "What parameters buy: a deep net that shares kernels, a deep and a shallow one"
    return figure("trade", drawn, caption)


def on_the_way(chosen: Sequence[Chosen]) -> Iterator[Figure]:
    """How the state of the two deep nets changes from step to step."""
    nets = {trial.arm: trial.tensors for trial in chosen if "stage 0" in trial.tensors}
    drawn, axes = canvas(1, 3)
    for (arm, tensors), colour in zip(nets.items(), PALETTE, strict=False):
        for i, ax in enumerate(axes):
            states = tensors[f"stage {i}"]  # [T + 1, B, C, H, W]
            sizes = [float((b - a).norm() / a.norm()) for a, b in pairwise(states)]
            steps = range(1, len(sizes) + 1)
            ax.plot(steps, sizes, color=colour, marker="o", markersize=3, label=arm)
            ax.set(title=f"maps of {states.shape[-1]} x {states.shape[-1]}", xlabel="step")
    for ax in axes:
        ax.set_ylim(bottom=0)
    axes[0].set_ylabel("|K(h)| / |h|")
    axes[0].legend(fontsize=8)
    yield figure("changes", drawn, "How much each step changes the state, relative to it")
    first = {arm: tensors["stage 0"][:, 0, :4] for arm, tensors in nets.items()}
    panels = {arm: states.transpose(0, 1).flatten(0, 1) for arm, states in first.items()}
    caption = "The state of one picture, step by step (left to right): four channels, first stage"
    columns = len(next(iter(first.values())))
    yield sheets("state", panels, caption, columns=columns, symmetric=True)
