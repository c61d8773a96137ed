"""The figures of impl/brnn.py."""

from collections.abc import Sequence

import torch
from torch import Tensor

from impl.kit import Chosen, Figure, Row
from impl.kit.figures import INK, canvas, figure


def title(choice: Chosen) -> str:
    delay = choice.job.get("delay", 0)
    return f"{choice.arm}, {delay} steps late" if delay else choice.arm


def best_late(chosen: Sequence[Chosen]) -> Chosen:
    """Of the forward nets, the one with the best delay by validation."""
    forward = [choice for choice in chosen if choice.arm == "forward"]
    return min(forward, key=lambda choice: float(choice.row["val_error"]))


def listening_figure(chosen: Sequence[Chosen], kernel: Tensor, past: int) -> Figure:
    """What the nets of one seed listen to, against the weights of the target."""
    at_once = [choice for choice in chosen if not choice.job.get("delay")]
    drawn, axes = canvas(2, 2, height=4.4)
    steps = range(-past, len(kernel) - past)
    for ax, choice in zip(axes.flat, [*at_once, best_late(chosen)], strict=False):
        ax.fill_between(steps, kernel, color=INK, alpha=0.25, linewidth=0, label="target's weights")
        slope = choice.tensors["listening"]
        ax.plot(steps, slope, marker="o", markersize=2.5, label="derivative of the output")
        ax.axvline(0, color=INK, linewidth=0.7, linestyle=":")
        ax.set(title=title(choice), xlabel="step of the input, from the output's")
    axes[0, 0].legend(fontsize=7)
    caption = "What an output listens to: its derivative by each input, mean over test sequences"
    return figure("listening", drawn, caption)


def delays_figure(chosen: Sequence[Chosen], merged: Sequence[Row], floors: list[float]) -> Figure:
    """Test errors of all seeds: of forward nets by their delay, and of the others."""
    drawn, ax = canvas()
    by_delay: dict[int, list[float]] = {}
    for choice in chosen:
        if choice.arm == "forward":
            by_delay.setdefault(int(choice.job["delay"]), []).append(float(choice.row["error"]))
    delays = sorted(by_delay)
    both = [float(choice.row["error"]) for choice in chosen if choice.arm == "bidirectional"]
    lines = {"bidirectional": both}
    for row in merged:
        lines.setdefault(f"forward and backward, {row['arm']}", []).append(float(row["error"]))
    for label, errors in lines.items():
        values = torch.tensor(errors)
        (line,) = ax.plot(delays, [float(values.mean())] * len(delays), label=label)
        limits = (float(values.min()), float(values.max()))
        ax.fill_between(delays, *limits, color=line.get_color(), alpha=0.15, linewidth=0)
    measured = torch.tensor([by_delay[delay] for delay in delays])
    (line,) = ax.plot(delays, measured.mean(1), marker="o", markersize=4, label="forward, late")
    low, high = measured.amin(1), measured.amax(1)
    ax.fill_between(delays, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    label = "the least possible for a net so late"
    ax.plot(range(len(floors)), floors, ":", color=INK, label=label)
    ax.set(xlabel="delay, steps", ylabel="error, % of the variance", ylim=(0, None))
    ax.legend(fontsize=8)
    caption = "Waiting helps a forward net up to a point: mean and range of the seeds"
    return figure("delays", drawn, caption)


def answers_figure(chosen: Sequence[Chosen]) -> Figure:
    """What two nets of one seed say about the first test sequence."""
    drawn, ax = canvas(height=2.6)
    for choice in chosen:
        if title(choice) in ("bidirectional", "forward"):
            y, target = choice.tensors["test"][:, 0]
            ax.plot(y, label=title(choice))
    ax.plot(target, "--", color=INK, label="target")
    ax.set(xlabel="step", ylabel="y")
    ax.legend(fontsize=8, ncols=3)
    caption = "One test sequence: the target depends on both sides, a forward net knows one"
    return figure("answers", drawn, caption)
