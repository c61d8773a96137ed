"""The figures of impl/lottery_ticket.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

COLOURS = dict(zip(("ticket", "redrawn", "random", "one-shot"), PALETTE, strict=False))
LABELS = {
    "ticket": "ticket: found in rounds, first values",
    "redrawn": "redrawn: the same mask, new values",
    "random": "random: as many by chance",
    "one-shot": "one-shot: found at once, first values",
}


def levels(papers: Sequence[Chosen]) -> Figure:
    """Fig. 4a with Fig. 1: errors and early stops by what is left, all nets at the same rate."""
    drawn, axes = canvas(1, 2, height=3.4)
    for ax, measure in zip(axes, ("test_error", "stop"), strict=True):
        dense = torch.tensor([float(one.row[measure]) for one in papers if one.arm == "dense"])
        for arm, colour in COLOURS.items():
            points = by_share([one for one in papers if one.arm == arm], measure)
            shares = [100.0, *points]
            values = [dense, *points.values()]
            ax.plot(shares, [float(v.mean()) for v in values], "o-", markersize=3, color=colour,
                    label=LABELS[arm])  # fmt: skip
            low, high = zip(*((float(v.min()), float(v.max())) for v in values), strict=True)
            ax.fill_between(shares, low, high, color=colour, alpha=0.12, linewidth=0)
        ax.axhline(float(dense.mean()), color=INK, linewidth=0.8, linestyle="--")
        ax.set(xscale="log", xlabel="% of the weights that are left")
        ax.set_xticks([100, 50, 20, 10, 5], ["100", "50", "20", "10", "5"])
        ax.minorticks_off()
        ax.invert_xaxis()
    axes[0].set(ylabel="% test error, where it would stop")
    axes[1].set(ylabel="updates until the validation loss is lowest", ylim=(0, None))
    axes[0].legend(fontsize=7)
    caption = (
        "Fewer weights to the right, as in Fig. 4a and 1, at the paper's rate; bands from the least "
        "to the most of all seeds, dashed the whole net"
    )
    return figure("levels", drawn, caption)


def by_share(trials: Sequence[Chosen], measure: str) -> dict[float, Tensor]:
    """What is left in percent, the most first, and the measure of all seeds."""
    table: dict[float, list[float]] = {}
    for one in trials:
        table.setdefault(float(one.row["left"]), []).append(float(one.row[measure]))
    return {left: torch.tensor(table[left]) for left in sorted(table, reverse=True)}


def courses(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Fig. 11: the validation loss, and where it is lowest."""
    drawn, ax = canvas(height=2.8)
    shown = [one for one in papers if "curve" in one.tensors]
    for one in shown:
        if one.arm != "dense" and one.job["rounds"] != rounds:
            continue
        steps, loss = one.tensors["curve"].T
        colour = COLOURS.get(one.arm, INK)
        least = int(loss.argmin())
        ax.plot(steps.numpy(), loss.numpy(), color=colour, label=LABELS.get(one.arm, "whole net"))
        ax.plot(steps[least], loss[least], "o", color=colour)
    lowest = min(float(one.tensors["curve"][:, 1].min()) for one in shown)
    ax.set(xlabel="update", ylabel="validation loss", ylim=(0.9 * lowest, 3 * lowest))
    ax.legend(fontsize=7)
    left = next(float(one.row["left"]) for one in shown if one.job.get("rounds") == rounds)
    caption = f"Learning with {left:.0f} % of the weights, first seed; a dot where it would stop"
    return figure("courses", drawn, caption)


def pixels(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Which share of its weights each pixel keeps: the masks have learnt where the digits are."""
    arms = ("ticket", "one-shot", "random")
    drawn, axes = canvas(1, 3, height=2.7)
    for ax, arm in zip(axes, arms, strict=True):
        kept = next(one.tensors["pixels"] for one in papers if is_first(one, arm, rounds))
        side = int(len(kept) ** 0.5)
        shown = ax.imshow(100 * kept.reshape(side, side).numpy(), cmap="magma", vmin=0)
        ax.set(title=arm)
        ax.set_axis_off()
        bar = drawn.colorbar(shown, ax=ax, shrink=0.7)
        bar.ax.tick_params(colors=INK, labelsize=7)
    caption = (
        "% of its weights that each pixel of the image keeps, when few are left (first layer, first "
        "seed)"
    )
    return figure("pixels", drawn, caption)


def is_first(one: Chosen, arm: str, rounds: int) -> bool:
    """A trial that has left something to draw."""
    return one.arm == arm and one.job.get("rounds") == rounds and "pixels" in one.tensors


def first_weights(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Fig. 15: the first values of the weights that are left."""
    ticket = next(one.tensors for one in papers if is_first(one, "ticket", rounds))
    whole = next(one.tensors for one in papers if one.arm == "dense" and one.tensors)
    names = sorted(name for name in whole if name.startswith("first"))
    drawn, axes = canvas(1, len(names), height=2.4)
    for ax, name in zip(axes, names, strict=True):
        limit = 3.5 * float(whole[name].std())
        for values, colour, label in (
            (whole[name], INK, "all"), (ticket[name], PALETTE[0], "left"),
        ):  # fmt: skip
            ax.hist(values.clamp(-limit, limit).numpy(), bins=41, density=True, color=colour,
                    histtype="step", label=label)  # fmt: skip
        ax.set(title="outputs" if name == names[-1] else f"hidden {int(name[-1]) + 1}", yticks=[])
        ax.set_xlabel("first value")
    axes[0].legend(fontsize=7)
    caption = (
        "First values of all weights and of those that a ticket keeps (as in Fig. 15): in later "
        "layers what began small is gone"
    )
    return figure("first-weights", drawn, caption)
