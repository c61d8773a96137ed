"""The figures of impl/lottery_ticket.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure
from impl.kit.figures import INK, PALETTE, canvas, figure

ARMS = {
    "ticket": "ticket: found in rounds, first values",
    "redrawn": "redrawn: the same mask, new values",
    "mixed": "mixed: the same mask, its first values mixed",
    "random": "random: as many weights by chance",
    "one-shot": "one-shot: found at once, first values",
    "dense": "whole net",
}
COLOURS = dict(zip(ARMS, [*PALETTE[:5], INK], strict=True))


def levels(papers: Sequence[Chosen]) -> Figure:
    """Fig. 4a with Figs. 1 and 17: errors and early stops by what is left, each beside the whole
    net of its seed."""
    drawn, axes = canvas(1, 2, height=3.6)
    whole = {one.seed: one.row for one in papers if one.arm == "dense"}
    for ax, measure in zip(axes, ("test_error", "stop"), strict=True):
        for shift, arm in enumerate(arm for arm in ARMS if arm != "dense"):
            points: dict[float, list[float]] = {}
            for one in (one for one in papers if one.arm == arm):
                value, rival = float(one.row[measure]), float(whole[one.seed][measure])
                gap = value - rival if measure == "test_error" else value / rival
                points.setdefault(float(one.row["left"]), []).append(gap)
            shares = sorted(points, reverse=True)
            values = torch.tensor([points[share] for share in shares])
            error = values.std(1) / values.shape[1] ** 0.5
            shares = [share * 1.015 ** (shift - 2) for share in shares]
            ax.errorbar(shares, values.mean(1), error, marker="o", markersize=3, linewidth=1.2,
                        color=COLOURS[arm], label=ARMS[arm])  # fmt: skip
        ax.axhline(0 if measure == "test_error" else 1, color=INK, linewidth=0.8, linestyle="--")
        ax.set(xscale="log", xlabel="% of the weights that are left")
        ax.set_xticks([100, 50, 20, 10, 5], ["100", "50", "20", "10", "5"])
        ax.minorticks_off()
        ax.invert_xaxis()
    axes[0].set(ylabel="points of test error above the whole net")
    axes[1].set(ylabel="times its updates until the lowest validation loss")
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(low, high + 0.4 * (high - low))
    axes[0].legend(fontsize=7, loc="upper left")
    caption = (
        "Fewer weights to the right (as in Figs. 1, 4a and 17), all nets at the paper's rate; "
        "dashed the whole net, bars are standard errors over the seeds"
    )
    return figure("levels", drawn, caption)


def courses(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Fig. 11: the validation loss, and where it is lowest."""
    drawn, ax = canvas(height=2.8)
    shown = [one for one in papers if one.tensors and one.job.get("rounds") in (None, rounds)]
    for one in shown:
        steps, loss = one.tensors["curve"].T
        least = int(loss.argmin())
        ax.plot(steps, loss, color=COLOURS[one.arm], label=ARMS[one.arm])
        ax.plot(steps[least], loss[least], "o", color=COLOURS[one.arm])
    lowest = min(float(one.tensors["curve"][:, 1].min()) for one in shown)
    ax.set(xlabel="update", ylabel="validation loss", ylim=(0.9 * lowest, 3 * lowest))
    ax.legend(fontsize=7)
    left = min(float(one.row["left"]) for one in shown)
    caption = f"Learning with {left:.0f} % of the weights, first seed; a dot where it would stop"
    return figure("courses", drawn, caption)


def pixels(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Which share of its weights each pixel keeps: the masks have learnt where the digits are."""
    kept = {arm: left_of(papers, arm, rounds)["pixels"] for arm in ("ticket", "one-shot", "random")}
    side, most = int(len(kept["random"]) ** 0.5), 100 * max(float(p.max()) for p in kept.values())
    drawn, axes = canvas(1, 3, height=2.4)
    for ax, (arm, share) in zip(axes, kept.items(), strict=True):
        image = 100 * share.reshape(side, side)
        shown = ax.imshow(image.numpy(), cmap="magma", vmin=0, vmax=most)
        ax.set(title=arm)
        ax.set_axis_off()
    bar = drawn.colorbar(shown, ax=list(axes), shrink=0.8)
    bar.ax.tick_params(colors=INK, labelsize=7)
    caption = (
        "% of its weights that each pixel of the image keeps, where few are left (first layer, "
        "first seed)"
    )
    return figure("pixels", drawn, caption)


def left_of(papers: Sequence[Chosen], arm: str, rounds: int | None = None) -> dict[str, Tensor]:
    """What the arm's trial of the first seed left to be drawn."""
    trials = (one for one in papers if one.arm == arm and one.job.get("rounds") == rounds)
    return dict(next(one.tensors for one in trials if one.tensors))


def first_weights(papers: Sequence[Chosen], rounds: int) -> Figure:
    """Fig. 15: the first values of the weights that are left."""
    ticket, whole = left_of(papers, "ticket", rounds), left_of(papers, "dense")
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
    caption = "First values of all weights, and of those that a ticket keeps (as in Fig. 15)"
    return figure("first-weights", drawn, caption)
