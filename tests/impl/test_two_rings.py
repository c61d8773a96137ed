"""Two rings: the best of all lines against trying many, both classifiers against known-good ones, and the broken idea."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl import two_rings
from impl.kit import Event, Figure, Progress
from impl.two_rings import (
    SMOKE,
    answer,
    best_direction,
    best_line,
    check,
    correlation,
    grid,
    linear_classifier,
    one,
    polar,
    represent,
    rings,
    run,
    spectator,
    start,
)


def drawn(seed: int, N: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return rings(SMOKE, N, torch.Generator().manual_seed(seed))


@given(st.integers(0, 10_000))
def test_the_rings_never_touch_and_a_radius_divides_them(seed: int) -> None:
    x, y = drawn(seed)
    r = polar(x)[:, 0]
    assert r[y == 1].max() < 1.5 < r[y == 0].min()
    assert torch.allclose(polar(x)[:, 0, None] * torch.stack([polar(x)[:, 1].cos(), polar(x)[:, 1].sin()], 1), x)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_the_best_of_all_lines_is_there_and_none_is_better(seed: int, N: int) -> None:
    """Each line through two points, really nudged in the four ways; and ten thousand lines at random."""
    g = torch.Generator().manual_seed(seed)
    x, y = torch.randn(N, 2, generator=g).double(), torch.rand(N, generator=g) > 0.5
    best = best_line(x, y.double())[0]

    def right(normal: torch.Tensor, shift: torch.Tensor) -> float:
        side = normal @ x.T > shift[:, None]
        part = (side == y).double().mean(1)
        return torch.maximum(part, 1 - part).max().item()

    nudged = []
    for i, j in combinations(range(N), 2):
        along, middle = x[j] - x[i], (x[i] + x[j]) / 2
        normal = torch.stack([-along[1], along[0]]) / along.norm()
        for turn, push in ((1e-7, 0.0), (-1e-7, 0.0), (0.0, 1e-7), (0.0, -1e-7)):
            tilted = normal + turn * along / along.norm()
            nudged.append(right(tilted[None], (tilted @ middle + push)[None]))
    assert max(nudged) == pytest.approx(best)
    angle, shift = (
        2 * torch.pi * torch.rand(10_000, generator=g).double(),
        3 * torch.randn(10_000, generator=g).double(),
    )
    assert right(torch.stack([angle.cos(), angle.sin()], 1), shift) <= best + 1e-12


def test_two_heaps_have_a_line_between_them() -> None:
    x, y = drawn(0)
    assert best_line(x, y)[0] < 1
    assert best_line(x + 10 * y[:, None], y)[0] == 1.0


def test_the_linear_classifier_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = drawn(0, 200)
    x_test, y_test = drawn(1, 200)
    x, x_test = (torch.cat([z, z[:, :1] ** 2], 1) for z in (x, x_test))  # neither separable nor hopeless
    z, z_test = ((t - x.mean(0)) / x.std(0) for t in (x, x_test))
    theirs = LogisticRegression(C=1 / (1e-4 * len(x)), tol=1e-8).fit(z.numpy(), y.numpy())
    ours = linear_classifier(x[None], y[None], x_test[None], y_test[None]).item()
    assert ours == pytest.approx(theirs.score(z_test.numpy(), y_test.numpy()), abs=0.006)


def test_the_net_is_torchs() -> None:
    net = start([2, 8, 3, 1], range(5, 7), torch.device("cpu"))
    layers: list[nn.Module] = []
    for (n, out), (W, b) in zip(pairwise([2, 8, 3, 1]), net, strict=True):
        layers += [nn.Linear(n, out), nn.Tanh()]
        layers[-2].load_state_dict({"weight": W[1], "bias": b[1, 0]})
    x = torch.randn(10, 2)
    theirs = nn.Sequential(*layers[:-1])(x)
    assert torch.allclose(answer(net, represent(net, x[None]))[1], theirs[:, 0], atol=1e-6)
    assert sum(W[0].numel() + b[0].numel() for W, b in net) == 8 * 3 + 3 * 9 + 4


def test_a_start_depends_on_its_seed_alone() -> None:
    together, alone = (start([2, 4, 1], seeds, torch.device("cpu")) for seeds in (range(3), range(2, 3)))
    assert all(torch.equal(a[2:], b) for (a, _), (b, _) in zip(together, alone, strict=True))


@given(st.floats(-5, 5).filter(lambda a: abs(a) > 1e-3), st.floats(-5, 5))
def test_correlation_knows_neither_scale_nor_sign(a: float, b: float) -> None:
    r = torch.rand(1, 50, generator=torch.Generator().manual_seed(0)).double()
    assert correlation(a * r + b, r).item() == pytest.approx(1)
    assert best_direction(torch.stack([a * r + b, r.square()], -1), r).item() == pytest.approx(1)


def test_the_view_is_linear() -> None:
    """A spectator sees a plane in hidden space as a plane: what he sees is an affine function of the hidden units."""
    net = [(W.double(), b.double()) for W, b in start([2, 8, 3, 1], range(1), torch.device("cpu"))]
    x = grid(SMOKE, 20)
    seen, h = spectator(one(net, 0), SMOKE)(x), represent(net, x[None])[0]
    h = torch.cat([h, torch.ones(len(h), 1)], 1)
    assert (h @ torch.linalg.lstsq(h, seen).solution - seen).abs().max() < 1e-9
    assert torch.equal(seen[:, 2], answer(net, represent(net, x[None]))[0])


def no_picture(*_: object) -> Iterator[Event]:
    yield from ()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a short run's time, and no verdict looks at them."""
    monkeypatch.setattr(two_rings, "unfolding", no_picture)
    for name in ("three_coordinates", "moments", "radius_fields"):
        monkeypatch.setattr(two_rings, name, lambda *_: Progress(0, 1))


def verdicts(**changes: float) -> dict[str, str]:
    cfg = replace(SMOKE, points=100, updates=150, every=150, widths=(), seeds=3, **changes)
    rows = [event for event in run(cfg, torch.device("cpu")) if isinstance(event, dict)]
    return {verdict.claim: verdict.verdict for verdict in check(rows)}


@pytest.mark.usefixtures("undrawn")
def test_a_net_that_learns_nothing_is_not_reproduced() -> None:
    """The broken idea: at the rate 0 the hidden layer stays as random as it was, and so do its coordinates."""
    broken = verdicts(rate=0.0)
    assert broken["cartesian"] == broken["polar"] == "reproduced", "these need no net"
    assert broken["learnt-coordinates"] == broken["learning-makes-them"] == broken["radius"] == "not reproduced"


@pytest.mark.usefixtures("undrawn")
def test_rings_that_overlap_are_noticed() -> None:
    assert verdicts(spread=0.9, rate=0.0)["polar"] == "not reproduced"


@pytest.mark.usefixtures("undrawn")
def test_a_drawing_that_a_line_can_divide_is_noticed() -> None:
    rows = [event for event in run(SMOKE, torch.device("cpu")) if isinstance(event, dict)]
    rows = [row | {"separable": 1.0} if row.get("seed") == 1 and "separable" in row else row for row in rows]
    assert check(rows)[0].verdict == "not reproduced"


def test_every_moment_has_its_picture() -> None:
    figures = [event for event in run(SMOKE, torch.device("cpu")) if isinstance(event, Figure)]
    assert {f.name for f in figures} == {"coordinates", "unfolding", "starts", "contours", "width"}
    assert [f.step for f in figures if f.name == "unfolding"] == [0, 20]
