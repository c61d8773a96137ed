"""The figures of impl/elu.py."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from impl.kit import Figure, Row
from impl.kit.figures import INK, PALETTE, canvas, figure


def shapes(units: Mapping[str, nn.Module], alpha: float) -> Figure:
    """Fig. 1, and the derivatives."""
    drawn, axes = canvas(1, 2, height=2.6)
    x = torch.linspace(-4, 3, 701, requires_grad=True)
    for name, unit in units.items():
        y = unit(x)
        axes[0].plot(x.detach().numpy(), y.detach().numpy(), label=name)
        axes[1].plot(x.detach().numpy(), torch.autograd.grad(y.sum(), x)[0].numpy())
    axes[0].axhline(-alpha, color=INK, linewidth=0.6, linestyle="--")
    axes[0].set(title="f", xlabel="x", ylim=(-1.3, 3))
    axes[1].set(title="f'", xlabel="x")
    axes[0].legend(fontsize=7)
    caption = "The units and their derivatives (as in Fig. 1): below zero the ELU saturates"
    return figure("shapes", drawn, caption)


def learning(rows: Sequence[Row], setting: str) -> Figure:
    """Fig. 2: the median of the units' mean activations, and the training loss."""
    records = [row for row in rows if row.get("setting") == setting and "median" in row]
    arms = list(dict.fromkeys(str(row["arm"]) for row in records))
    drawn, axes = canvas(1, 2, height=3.0)
    for arm, colour in zip(sorted(arms), PALETTE, strict=False):
        for ax, measure in zip(axes, ("median", "loss"), strict=True):
            steps, lines = series([row for row in records if row["arm"] == arm], measure)
            ax.plot(steps, lines.mean(1).numpy(), color=colour, label=arm)
            low, high = lines.amin(1).numpy(), lines.amax(1).numpy()
            ax.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes[0].axhline(0, color=INK, linewidth=0.6)
    axes[0].set(xlabel="step", ylabel="median of the units' mean activations")
    axes[1].set(xlabel="step", ylabel="training cross-entropy", ylim=(0, 2.6))
    axes[0].legend(fontsize=7)
    return figure("learning", drawn, "At the paper's rate, as in Fig. 2; bands over the seeds")


def series(records: Sequence[Row], measure: str) -> tuple[list[int], Tensor]:
    """Steps, and of every seed the measure at each of them, [steps, seeds]."""
    table: dict[int, dict[int, float]] = {}
    for row in records:
        table.setdefault(int(row["step"]), {})[int(row["seed"])] = float(row[measure])
    steps = sorted(table)
    return steps, torch.tensor([[table[s][seed] for seed in sorted(table[s])] for s in steps])


def mean_activations(maps: Mapping[str, Tensor]) -> Figure:
    drawn, axes = canvas(len(maps), 1, height=0.4 + 1.05 * len(maps))
    for ax, (name, activation) in zip(axes, maps.items(), strict=True):
        means = activation.sort(1).values.numpy()  # [L, H]
        shown = ax.imshow(means, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        last = len(means) - 1
        ax.set(title=name, yticks=[0, last], yticklabels=["1", str(last + 1)], xticks=[])
    axes[len(axes) // 2].set_ylabel("hidden layer")
    bar = drawn.colorbar(shown, ax=list(axes), label="mean activation")
    bar.ax.yaxis.label.set_color(INK)
    bar.ax.tick_params(colors=INK)
    caption = (
        "Every hidden unit's mean activation after training, sorted within its layer; each kind of "
        "net at its own rate, white is zero"
    )
    return figure("mean-activations", drawn, caption)


def losses_by_rate(rows: Sequence[Row]) -> Figure:
    """The losses by which the rates are chosen."""
    ends = [row for row in rows if "other_loss" in row and "judged" not in row]
    drawn, ax = canvas(height=2.6)
    arms = sorted({str(row["arm"]) for row in ends})
    for arm, colour in zip(arms, PALETTE, strict=False):
        points: dict[float, list[float]] = {}
        for row in ends:
            if row["arm"] == arm:
                lr = float(str(row["setting"]).removeprefix("lr "))
                points.setdefault(lr, []).append(float(row["other_loss"]))
        lrs = sorted(points)
        means = torch.tensor([points[lr] for lr in lrs]).mean(1)
        ax.plot(lrs, means.clamp(max=3).numpy(), "o-", color=colour, label=arm)
    ax.set(xlabel="learning rate", ylabel="training cross-entropy", xscale="log", ylim=(0, 2.5))
    ax.legend()
    return figure("lrs", drawn, "Training loss at the end by rate, mean of the seeds")
