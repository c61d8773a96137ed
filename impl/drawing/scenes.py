"""Pictures with boxes and masks on them."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from impl.kit import Figure
from impl.kit.average_precision import Detections
from impl.kit.figures import PALETTE, canvas, figure
from impl.kit.scene import Scene

Panel = tuple[str, Scene, Detections | None]  # title, scene, and what was found or, None, is there


def picture_scenes(
    name: str,
    panels: Sequence[Panel],
    caption: str,
    classes: Sequence[str],
    *,
    columns: int = 4,
    min_score: float = 0.0,
) -> Figure:
    """Scenes with detections, or with their objects where there are none; coloured by class."""
    rows, columns = -(-len(panels) // columns), min(columns, len(panels))
    drawn, axes = canvas(rows, columns, width=2.1 * columns, height=2.3 * rows)
    flat = list(axes.flat) if hasattr(axes, "flat") else [axes]
    for ax in flat:
        ax.set_axis_off()
    for ax, (title, scene, found) in zip(flat, panels, strict=False):
        ax.imshow(scene.image.permute(1, 2, 0).cpu().clamp(0, 1).numpy())
        ax.set_title(title)
        for box, label, text, mask in _objects(scene, found, classes, min_score):
            colour = PALETTE[label % len(PALETTE)]
            if mask is not None:
                inside = mask.float().cpu().numpy()
                ax.contourf(inside, levels=[0.5, 1.5], colors=[colour], alpha=0.45)
            x0, y0, x1, y1 = (float(v) - 0.5 for v in box)
            ax.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=colour, linewidth=1.2)
            frame = dict(pad=0.8, linewidth=0, facecolor=colour)
            ax.text(x0, y0, text, fontsize=6, color="white", va="bottom", bbox=frame)
        ax.set_xlim(-0.5, scene.image.shape[2] - 0.5)
        ax.set_ylim(scene.image.shape[1] - 0.5, -0.5)
    return figure(name, drawn, caption)


def _objects(
    scene: Scene, found: Detections | None, classes: Sequence[str], min_score: float
) -> Iterator[tuple[Tensor, int, str, Tensor | None]]:
    of = scene if found is None else found
    for i, label in enumerate(of.labels.tolist()):
        score = 1.0 if found is None else float(found.scores[i])
        if score >= min_score:
            text = classes[label] if found is None else f"{classes[label]} {score:.2f}"
            yield of.boxes[i], label, text, None if of.masks is None else of.masks[i]
