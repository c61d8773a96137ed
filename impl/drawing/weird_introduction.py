"""The figures of impl/weird_introduction.py."""

from collections.abc import Mapping, Sequence
from typing import Any

from impl.kit import Figure, Row, by_seed
from impl.kit.figures import INK, PALETTE, canvas, figure
from impl.kit.verdicts import mean_interval

BLUE, ORANGE, GREEN, _, _, RED = PALETTE
GUESSING = 90.0
TICKS = (1, 2, 5, 10, 20, 50, 90)


def year(date: str) -> float:
    """1989-12 is 1989.92, 1998 its middle."""
    if "-" not in date:
        return int(date) + 0.5
    parts = [int(part) for part in date.split("-")]
    return parts[0] + sum((n - 1) / size for n, size in zip(parts[1:], (12, 365), strict=False))


def errors(rows: Sequence[Row], arm: str) -> dict[int, float]:
    """An arm's test error for each seed; a net that diverged guesses."""
    found = by_seed(rows, "test_error", arm=arm)
    return {seed: value if value == value else GUESSING for seed, value in found.items()}


def era_race(
    rows: Sequence[Row], ladder: Sequence[str], dates: Mapping[str, str], shallow: str
) -> Figure:
    """Error against date: what the net can do that has all ideas until then."""
    drawn, ax = canvas(width=9.0, height=4.6)
    years = [year(date) for date in dates.values()]
    spans = [mean_interval([*errors(rows, arm).values()]) for arm in ladder]
    means = [mean for mean, _, _ in spans]
    floor, end = max(0.5, 0.6 * min(means)), years[-1] + 2.2
    ax.step([*years, end], [*means, means[-1]], where="post", color=BLUE, linewidth=2)
    for x, (mean, low, high) in zip(years, spans, strict=True):
        ax.plot([x, x], [max(low, floor), min(high, 100)], color=BLUE, linewidth=1.2)
        ax.plot(x, mean, "o", color=BLUE, markersize=6)
    mean, low, high = mean_interval([*errors(rows, shallow).values()])
    ax.axhspan(max(low, floor), min(high, 100), color=ORANGE, alpha=0.15, linewidth=0)
    ax.axhline(mean, color=ORANGE, linewidth=1.2, linestyle="--")
    ax.annotate(f"a net with one hidden layer, all as in 1986: {mean:.1f}%", (years[0], mean),
                xytext=(0, 5), textcoords="offset points", color=ORANGE)  # fmt: skip
    ax.annotate(f"{means[-1]:.1f}%", (end, means[-1]), xytext=(4, -3), color=BLUE, fontsize=10,
                textcoords="offset points", fontweight="bold", annotation_clip=False)  # fmt: skip
    ax.set(xlim=(years[0] - 1, end), ylim=(floor, 110), yscale="log", ylabel="% test error")
    ax.set_yticks(ticks := [tick for tick in TICKS if tick > floor], [f"{tick}" for tick in ticks])
    ax.minorticks_off()
    label_dates(ax, dates, years, means)
    caption = (
        "The era race: a net with three hidden layers, at each date with the ideas known by then; "
        "all at the same counted FLOPs and with the same search. Means and 95% intervals over seeds"
    )
    return figure("era-race", drawn, caption)


def label_dates(
    ax: Any, dates: Mapping[str, str], years: Sequence[float], means: Sequence[float]
) -> None:
    """Above the axes one label for each idea, evenly spaced, with a line down to its point."""
    top = ax.get_ylim()[1]
    above = ax.get_xaxis_transform()  # x in years, y as a share of the height
    left, right = ax.get_xlim()
    for i, (idea, date) in enumerate(dates.items()):
        x = left + (right - left) * (i + 0.5) / len(dates)
        ax.plot([x, years[i]], [1.09, 1.0], color=INK, linewidth=0.7, alpha=0.7,
                transform=above, clip_on=False)  # fmt: skip
        ax.plot([years[i]] * 2, [top, means[i]], color=INK, linewidth=0.7, alpha=0.35)
        ax.text(x, 1.1, f"{date[:4]}\n{idea}", transform=above, ha="center", va="bottom",
                fontsize=7, color=INK)  # fmt: skip


def forwards_and_backwards(
    rows: Sequence[Row], deep: str, alone: Mapping[str, str], without: Mapping[str, str]
) -> Figure:
    """What one idea changes: added to the net of 1986, and taken out of the modern one."""
    drawn, axes = canvas(1, 2, width=9.0, height=4.2)
    changes(axes[0], rows, deep, alone, "forwards: the net of 1986, {:.1f}%, and one idea")
    changes(axes[1], rows, "modern", without, "backwards: the modern net, {:.1f}%, less one idea")
    caption = (
        "Which ideas help alone, and which are missed: green where the errors become fewer, red "
        "where they become more, pale where the paired 95% interval (grey) contains no change"
    )
    return figure("forwards-and-backwards", drawn, caption)


def changes(ax: Any, rows: Sequence[Row], origin: str, arms: Mapping[str, str], title: str) -> None:
    """A bar from the error of one arm to that of each other."""
    before = errors(rows, origin)
    start = sum(before.values()) / len(before)
    ends = [start]
    for i, arm in enumerate(arms.values()):
        after = errors(rows, arm)
        change, low, high = mean_interval([after[seed] - before[seed] for seed in before])
        low, high = max(low, -start), min(high, 100 - start)  # infinite for a single seed
        alpha = 0.28 if low <= 0 <= high else 0.8
        colour = GREEN if change < 0 else RED
        ax.barh(i, change, left=start, height=0.62, color=colour, alpha=alpha)
        ax.plot([start + low, start + high], [i, i], color=INK, linewidth=1)
        ends.append(start + max(high, 0))
        ax.annotate(f"{start + change:.1f}", (ends[-1], i), xytext=(5, 0), va="center",
                    textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    ax.axvline(start, color=INK, linewidth=1)
    ax.set(xlim=(0, max(ends) * 1.1), xlabel="% test error", title=title.format(start))
    ax.set_yticks(range(len(arms)), [*arms])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.invert_yaxis()
