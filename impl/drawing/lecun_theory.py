"""The figures of impl/lecun_theory.py."""

from collections.abc import Sequence

from torch import Tensor

from impl.kit import Figure
from impl.kit.figures import INK, canvas, figure


def scatter(pairs: Sequence[Tensor]) -> Figure:
    """Multipliers and autograd's derivatives of each layer, [2, P, n]: one dot for each unit and
    pattern, one panel for a few layers from first to last."""
    last = len(pairs) - 1
    shown = sorted({0, last // 3, 2 * last // 3, last})
    drawn, axes = canvas(1, len(shown), width=8.0, height=2.5)
    for ax, k in zip(axes.flat, shown, strict=True):
        b, dE_dx = pairs[k]
        limit = dE_dx.abs().max().item()
        ax.plot([-limit, limit], [-limit, limit], color=INK, linewidth=0.8)
        ax.scatter(dE_dx.flatten().numpy(), b.flatten().numpy(), s=4)
        ax.set(title=f"layer {k + 1}", xlabel="dE/dx, autograd")
    axes.flat[0].set_ylabel("multiplier, solved for")
    caption = "The multiplier of each unit against the error that back-propagation gives it"
    return figure("multipliers", drawn, caption)


def relaxation(states: Tensor, multipliers: Tensor) -> Figure:
    """Sweep by sweep and layer by layer, [sweeps, L], how far both are from the stationary
    point."""
    drawn, axes = canvas(1, 2, width=8.0, height=3.0)
    sweeps, layers = states.shape
    extent = (-0.5, sweeps - 0.5, 0.5, layers + 0.5)
    waves = {"states": states, "multipliers": multipliers}
    for ax, (title, wave) in zip(axes, waves.items(), strict=True):
        decades = wave.clamp_min(1e-16).log10().T.numpy()
        image = ax.imshow(decades, origin="lower", aspect="auto", cmap="magma", extent=extent)
        image.set_clim(-16, 0)
        ax.set(title=title, xlabel="sweep", ylabel="layer")
    bar = drawn.colorbar(image, ax=list(axes))
    bar.set_label("log10 of the relative difference", color=INK)
    bar.ax.tick_params(colors=INK)
    caption = (
        "All layers at once, from random values: the states come right from the first layer up, "
        "and when the last is right, the multipliers come right from there down"
    )
    return figure("relaxation", drawn, caption)
