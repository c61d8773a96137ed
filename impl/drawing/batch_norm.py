"""The figures of impl/batch_norm.py."""

import math
from collections.abc import Sequence

import torch

from impl.kit import Chosen, Figure
from impl.kit.figures import PALETTE, canvas, figure

COLOURS = dict(zip(("batch norm", "standard", "detached"), PALETTE, strict=False))


def best(chosen: Sequence[Chosen]) -> list[Chosen]:
    """Of each arm, seed and size of the first weights the trial with fewest validation errors."""
    found: dict[tuple[str, int, object], Chosen] = {}
    for one in chosen:
        key = (one.arm, one.seed, one.job.get("std"))
        errors = [float(each.row["val_error"]) for each in (found.get(key, one), one)]
        if key not in found or errors[1] < errors[0]:
            found[key] = one
    return list(found.values())


def learning(chosen: Sequence[Chosen]) -> Figure:
    """Fig. 1a, and the same of the deep nets."""
    tuned = [one for one in best(chosen) if one.arm != "detached"]
    deep = sorted({one.job["std"] for one in tuned if "std" in one.job})
    titles = {None: "The net of Sec. 4.1"} | {
        std: f"Deep, first weights of std {std:g}" for std in deep
    }
    drawn, axes = canvas(1, len(titles), width=9.0, height=3.0)
    for ax, (std, title) in zip(axes, titles.items(), strict=True):
        for one in tuned:
            if one.job.get("std") == std:
                steps, _, errors = one.tensors["curve"]
                label = one.arm if one.seed == tuned[0].seed else None
                line = dict(color=COLOURS[one.arm], linewidth=1, label=label)
                ax.plot(steps.numpy(), (100 - errors).numpy(), **line)
        ax.set(title=title, xlabel="step", xscale="log", ylim=(0, 100))
    axes[0].set_ylabel("% of test images right")
    axes[1].legend(loc="center right", fontsize=7)
    caption = "A line for each seed at its own rate, over steps on a logarithmic scale (as Fig. 1a)"
    return figure("learning", drawn, caption)


def rates(chosen: Sequence[Chosen]) -> Figure:
    """Mean, lowest and highest test error of the seeds at each rate."""
    points: dict[str, dict[float, dict[int, float]]] = {}
    for one in chosen:
        if "std" not in one.job:
            of_rate = points.setdefault(one.arm, {}).setdefault(one.job["lr"], {})
            error = float(one.row["test_error"])
            of_rate[one.seed] = error if math.isfinite(error) else 90.0
    drawn, ax = canvas(height=3.0)
    for arm, of_arm in points.items():
        lrs = sorted(of_arm)
        errors = torch.tensor([[*of_arm[lr].values()] for lr in lrs])
        line = dict(color=COLOURS[arm], marker="o", markersize=4, label=arm)
        ax.plot(lrs, errors.mean(1).numpy(), **line)
        low, high = errors.amin(1).numpy(), errors.amax(1).numpy()
        ax.fill_between(lrs, low, high, color=COLOURS[arm], alpha=0.15, linewidth=0)
    ax.set(xlabel="learning rate", ylabel="% test error", xscale="log", ylim=(0, 100))
    ax.legend(loc="center left", fontsize=7)
    caption = (
        "Errors after training by rate, with the range of the seeds. Detached: normalized, too, "
        "but the gradient takes means and variances for constants"
    )
    return figure("rates", drawn, caption)


def sigmoid_inputs(chosen: Sequence[Chosen]) -> Figure:
    """Fig. 1b and c, of the unit whose inputs drift as far as those of the median unit do."""
    shallow = [one for one in chosen if "std" not in one.job and one.seed == chosen[0].seed]
    standard = next(one for one in best(shallow) if one.arm == "standard")
    sides = {one.arm: one for one in shallow if one.job["lr"] == standard.job["lr"]}
    drawn, axes = canvas(1, 2, width=8.0, height=3.0)
    for ax, arm in zip(axes, ("standard", "batch norm"), strict=True):
        percentiles = sides[arm].tensors["percentiles"]  # [records, 3, H]
        typical = percentiles.std(0).mean(0).median(0).indices
        low, median, high = percentiles[:, :, typical].T
        share = torch.linspace(0, 100, len(percentiles)).numpy()
        ax.plot(share, median.numpy(), color=COLOURS[arm])
        for edge in (low, high):
            ax.plot(share, edge.numpy(), color=COLOURS[arm], linewidth=0.8)
        ax.fill_between(share, low.numpy(), high.numpy(), color=COLOURS[arm], alpha=0.2)
        ax.set(title=arm, xlabel="% of training")
    reach = max(abs(limit) for ax in axes for limit in ax.get_ylim())
    for ax in axes:
        ax.set_ylim(-reach, reach)
    axes[0].set_ylabel("input of a sigmoid")
    caption = (
        "Percentiles 15, 50 and 85 of what a typical sigmoid of the last hidden layer receives, "
        "at the rate that suits the standard net best (as Fig. 1b and c)"
    )
    return figure("sigmoid-inputs", drawn, caption)
