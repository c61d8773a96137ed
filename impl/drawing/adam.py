"""The figures of impl/adam.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure

TITLES = {"sparse": "bags of words, many of them rare", "dropout net": "net with dropout"}


def first_steps(tensors: Mapping[str, Tensor]) -> Figure:
    """The steps without the correction, for each beta2."""
    drawn, ax = canvas()
    for colour, (beta2, steps) in zip(PALETTE[1:], tensors.items(), strict=False):
        updates = range(1, len(steps) + 1)
        ax.plot(updates, steps.tolist(), color=colour, label=f"no correction, beta2 = {beta2}")
    ax.axhline(1, color=PALETTE[0], label="corrected")
    ax.set(xscale="log", yscale="log", xlabel="update", ylabel="step / lr", ylim=(0.8, 200))
    ax.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    caption = (
        "A gradient that is always the same should move a weight by lr. Without the correction the "
        "first steps are many times longer, the more so the nearer beta2 is to 1"
    )
    return figure("first-steps", drawn, caption)


def bias_correction(rows: Sequence[Row]) -> Figure:
    """Fig. 4: the loss against lr, with and without the correction."""
    beta1s = sorted({float(row["beta1"]) for row in rows})
    beta2s = sorted({float(row["beta2"]) for row in rows})
    height = 0.6 + 2.2 * len(beta1s)
    ends = [float(row["test_loss"]) for row in rows]
    room = 0.1 + 0.05 * (max(ends) - min(ends))
    drawn, _ = canvas(len(beta1s), len(beta2s), width=8.0, height=height)
    panels = [(beta1, beta2) for beta1 in beta1s for beta2 in beta2s]
    for ax, (beta1, beta2) in zip(drawn.axes, panels, strict=True):
        for arm, colour in zip(("corrected", "uncorrected"), PALETTE, strict=False):
            losses: dict[float, list[float]] = {}
            for row in rows:
                if (row["arm"], row["beta1"], row["beta2"]) == (arm, beta1, beta2):
                    losses.setdefault(float(row["lr"]), []).append(float(row["test_loss"]))
            lrs = sorted(losses)
            values = torch.tensor([losses[lr] for lr in lrs])
            ax.plot(lrs, values.mean(1).tolist(), "o-", markersize=3, color=colour, label=arm)
            low, high = values.amin(1).tolist(), values.amax(1).tolist()
            ax.fill_between(lrs, low, high, color=colour, alpha=0.15, linewidth=0)
        ax.set(xscale="log", title=f"beta1 = {beta1:g}, beta2 = {beta2:g}")
        ax.set_ylim(min(ends) - room, max(ends) + room)
    for ax in drawn.axes[-len(beta2s) :]:
        ax.set_xlabel("lr")
    for ax in drawn.axes[:: len(beta2s)]:
        ax.set_ylabel("-ELBO, nats")
    drawn.axes[0].legend(loc="upper right")
    caption = (
        "A VAE's loss on test images by lr, as in Fig. 4: mean and range of the seeds, cut off "
        "where a net is no better than one that says 1/2 of each pixel"
    )
    return figure("bias-correction", drawn, caption)


def training_cost(chosen: Sequence[Chosen]) -> Figure:
    """Figs. 1 and 2: the training cost against the updates, each at its best lr."""
    tasks = list(dict.fromkeys(one.job["task"] for one in chosen))
    arms = list(dict.fromkeys(one.arm for one in chosen))
    drawn, _ = canvas(1, len(tasks), width=8.0)
    for ax, task in zip(drawn.axes, tasks, strict=True):
        for arm, colour in zip(arms, PALETTE, strict=False):
            runs = [one for one in chosen if (one.arm, one.job["task"]) == (arm, task)]
            curves = torch.stack([one.tensors["costs"] for one in runs])  # [seeds, points, 2]
            steps, costs = curves[0, :, 0].tolist(), curves[..., 1]
            ax.plot(steps, costs.mean(0).tolist(), color=colour, label=arm)
            low, high = costs.amin(0).tolist(), costs.amax(0).tolist()
            ax.fill_between(steps, low, high, color=colour, alpha=0.12, linewidth=0)
        ax.set(title=TITLES.get(task, task), xlabel="update", yscale="log")
        ax.tick_params(axis="y", which="both", colors=INK, labelsize=8)
    drawn.axes[0].set_ylabel("training cost")
    drawn.axes[-1].legend()
    caption = (
        "Training cost with each optimizer at its best lr, mean and range of the seeds, as in "
        "Figs. 1 and 2"
    )
    return figure("training-cost", drawn, caption)
