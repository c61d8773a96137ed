"""Two rings: the best of all lines against many, the classifier against a known-good one."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from impl import two_rings
from impl.drawing.two_rings import grid, spectator
from impl.kit import Figure, Verdict, generator
from impl.kit.broken import take_out
from impl.two_rings import (
    BROKEN,
    SMOKE,
    Net,
    best_line,
    check,
    correlation,
    linear_classifier,
    measured,
    polar,
    rings,
    run,
    with_one,
    wrong,
)

CPU = torch.device("cpu")
APART = replace(SMOKE, spread=0.05)  # rings that never touch


def drawn(seed: int, N: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    return rings(APART, N, generator(seed, "train"))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_a_radius_divides_rings_that_do_not_touch(seed: int) -> None:
    x, y = drawn(seed)
    r, angle = polar(x).T
    assert r[y == 1].max() < 1.5 < r[y == 0].min()
    assert torch.allclose(r[:, None] * torch.stack([angle.cos(), angle.sin()], 1), x)
    assert wrong(polar(x), y, linear_classifier(polar(x), y)) == 0
    assert best_line(x, y)[0] < 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_the_best_of_all_lines_is_there_and_none_is_better(seed: int, N: int) -> None:
    """Each line through two points, nudged in the four ways; and ten thousand lines at random."""
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
    angle = 2 * torch.pi * torch.rand(10_000, generator=g).double()
    shift = 3 * torch.randn(10_000, generator=g).double()
    assert right(torch.stack([angle.cos(), angle.sin()], 1), shift) <= best + 1e-12


def test_the_line_is_the_one_that_was_counted() -> None:
    x, y = rings(SMOKE, 200, generator(0, "train"))
    right, line = best_line(x, y)
    assert wrong(x, y, line) == pytest.approx(100 * (1 - right), abs=2.0)  # but for its two points
    assert best_line(x + 10 * y[:, None], y)[0] == 1.0, "two heaps have a line between them"


def test_the_linear_classifier_is_scikit_learns() -> None:
    from sklearn.linear_model import LogisticRegression

    (x, y), (x_test, y_test) = drawn(0, 200), drawn(1, 200)
    z, z_test = (torch.cat([each, each[:, :1] ** 2], 1) for each in (x, x_test))
    mean, std = z.mean(0), z.std(0)  # neither separable nor hopeless
    theirs = LogisticRegression(C=1 / (1e-4 * len(x)), tol=1e-10, max_iter=1_000)
    theirs.fit(((z - mean) / std).numpy(), y.numpy())
    expected = theirs.score(((z_test - mean) / std).numpy(), y_test.numpy())
    ours = 1 - wrong(z_test, y_test, linear_classifier(z, y)) / 100
    assert ours == pytest.approx(expected, abs=0.006)


def test_the_net_is_torchs() -> None:
    torch.manual_seed(0)
    net, x = Net(8, 3), torch.randn(10, 2)
    theirs = nn.Sequential(net.first, nn.Tanh(), net.last, nn.Tanh(), net.out)
    assert torch.allclose(net(x), theirs(x)[:, 0])
    assert sum(p.numel() for p in net.parameters()) == 8 * 3 + 3 * 9 + 4


@given(st.floats(-5, 5).filter(lambda a: abs(a) > 1e-3), st.floats(-5, 5))
def test_correlation_knows_neither_scale_nor_sign(a: float, b: float) -> None:
    r = torch.rand(50, generator=torch.Generator().manual_seed(0)).double()
    assert correlation(a * r + b, r) == pytest.approx(1)


def test_a_net_that_reads_off_the_radius_goes_with_it() -> None:
    """Made by hand: small weights make tanh linear, its curve at an offset the square."""
    points = two_rings.Points.draw(APART, 0)
    net = Net(4, 1)
    for parameter in net.parameters():
        parameter.data.zero_()
    net.first.weight.data = torch.tensor([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.2], [0.0, -0.2]])
    net.first.bias.data.fill_(1.0)
    net.last.weight.data.fill_(0.5)
    row = measured(net, points)
    assert row["error"] == 0 and float(row["with_radius"]) > 0.95


def test_the_view_is_linear() -> None:
    """A spectator sees a plane as a plane: an affine function of the hidden units."""
    torch.manual_seed(0)
    net, x = Net(8, 3).double(), grid(20)
    with torch.no_grad():
        seen, h = spectator(net)(x), with_one(net.represent(x))
        assert (h @ torch.linalg.lstsq(h, seen).solution - seen).abs().max() < 1e-9
        assert torch.equal(seen[:, 2], net(x))


def judged(claim: str | None, **changes: object) -> dict[str, Verdict]:
    changed = replace(SMOKE, **changes)  # type: ignore[arg-type]
    with take_out(BROKEN, claim, changed) as cfg:
        rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    return {verdict.claim: verdict for verdict in check(rows)}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a short run's time, and no verdict looks at them."""
    monkeypatch.setattr(two_rings.drawing, "figures", lambda *_: iter(()))


@pytest.mark.usefixtures("undrawn")
def test_a_net_that_learns_nothing_loses_its_claims() -> None:
    broken = judged("radius", points=100, lrs=(0.01,), gains=(1.0,), seeds=4)
    assert broken.pop("polar").verdict == "reproduced", "it needs no net"
    assert not {verdict.verdict for verdict in broken.values()} & {"reproduced", "weaker"}


@pytest.mark.usefixtures("undrawn")
def test_rings_of_one_radius_are_noticed() -> None:
    assert judged("polar", points=100, updates=1)["polar"].verdict == "not reproduced"


def test_every_moment_has_its_picture() -> None:
    figures = [event for event in run(SMOKE, CPU) if isinstance(event, Figure)]
    assert {f.name for f in figures} == {"coordinates", "unfolding", "starts", "contours", "width"}
    assert [f.step for f in figures if f.name == "unfolding"] == [0, 20]
