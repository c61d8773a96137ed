"""Topological signatures: diagrams against a count at every level and gudhi, the layer's laws."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from impl.drawing import topological_signatures as drawing
from impl.kit import Progress
from impl.kit.broken import take_out
from impl.kit.persistence import (
    components,
    diagrams,
    directions,
    heights,
    pad,
    pixels,
    rotate,
    wasserstein,
)
from impl.kit.silhouettes import read_silhouettes
from impl.topological_signatures import (
    BROKEN,
    SMOKE,
    StructureElements,
    check,
    disturbed,
    regular,
    run,
    split,
    steepest,
    stretch,
)

pictures = arrays(
    bool, st.tuples(st.integers(2, 9), st.integers(2, 9)), elements=st.booleans()
).filter(np.any)
seeds = st.integers(0, 10_000)


def counted(height: np.ndarray, edges: np.ndarray, level: float) -> int:
    """Components of what is at or below a level, by painting each until nothing changes."""
    colour = np.where(height <= level, np.arange(len(height)), -1)
    inside = edges[(height[edges] <= level).all(1)]
    while (colour[inside[:, 0]] != colour[inside[:, 1]]).any():
        low = colour[inside].min(1)
        np.minimum.at(colour, inside[:, 0], low)
        np.minimum.at(colour, inside[:, 1], low)
    return len(np.unique(colour[colour >= 0]))


@settings(max_examples=60, deadline=None)
@given(pictures, st.integers(0, 7))
def test_a_diagram_says_how_many_components_there_are_at_every_level(
    shape: np.ndarray, k: int
) -> None:
    places, edges = pixels(shape)
    height = heights(places, directions(8)[k])
    pairs = components(height, edges)
    for level in np.unique(height)[:-1]:  # at the top all of them have died by our rule
        assert counted(height, edges, level) == sum(
            birth <= level < death for birth, death, _ in pairs
        )
    assert all(height[pixel] == birth < death for birth, death, pixel in pairs)


@settings(max_examples=40, deadline=None)
@given(pictures, seeds)
def test_a_diagram_is_gudhis(shape: np.ndarray, seed: int) -> None:
    gudhi = pytest.importorskip("gudhi")
    places, edges = pixels(shape)
    for height in (
        heights(places, directions(8)[1]),
        np.random.default_rng(seed).random(len(places)),
    ):
        tree = gudhi.SimplexTree()
        for v, h in enumerate(height):
            tree.insert([v], filtration=h)
        for a, b in edges:
            tree.insert([a, b], filtration=max(height[a], height[b]))
        tree.compute_persistence(persistence_dim_max=True)  # there may be no edges
        theirs = np.reshape(tree.persistence_intervals_in_dimension(0), (-1, 2))
        theirs = np.minimum(theirs, height.max())  # what never dies ends with the shape
        theirs = theirs[theirs[:, 1] > theirs[:, 0]]
        ours = np.array([pair[:2] for pair in components(height, edges)]).reshape(-1, 2)
        assert np.allclose(sorted(map(tuple, ours)), sorted(map(tuple, theirs)))


def test_gudhis_cubical_complex_agrees_on_a_whole_picture() -> None:
    """The same by another way: pixels as squares of a cubical complex, corners touch, too."""
    gudhi = pytest.importorskip("gudhi")
    shape = np.random.default_rng(0).random((20, 20)) < 0.6
    places, edges = pixels(shape)
    height = heights(places, directions(16)[3])
    picture = np.full(shape.shape, np.inf)
    picture[shape] = height
    cubes = gudhi.CubicalComplex(top_dimensional_cells=picture)
    cubes.compute_persistence()
    theirs = np.minimum(cubes.persistence_intervals_in_dimension(0), height.max())
    theirs = theirs[theirs[:, 1] > theirs[:, 0]]
    assert np.allclose(
        sorted(map(tuple, theirs)), sorted(pair[:2] for pair in components(height, edges))
    )


def test_two_legs_are_two_components() -> None:
    table = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1]], bool)
    right, up, left, down = diagrams(table, 4)
    assert len(up) == 2, "from below two legs come up, and meet at the board"
    assert len(right) == len(down) == len(left) == 1
    assert {birth for birth, _ in up} == {min(birth for birth, _ in up)}


@settings(max_examples=25, deadline=None)
@given(pictures)
def test_a_quarter_turn_of_the_shape_is_a_quarter_turn_of_the_directions(shape: np.ndarray) -> None:
    straight, turned = diagrams(shape, 4), diagrams(np.rot90(shape), 4)
    for k in range(4):
        here, there = (
            rotate(torch.tensor(d[i]).reshape(-1, 2)).numpy()
            for d, i in ((straight, k), (turned, (k + 1) % 4))
        )
        assert wasserstein(here, there) < 1e-5


@given(st.floats(-2, 2), st.floats(0, 2))
def test_the_second_coordinate_is_the_distance_to_the_diagonal(
    birth: float, persistence: float
) -> None:
    x = rotate(torch.tensor([birth, birth + persistence], dtype=torch.float64))
    assert x[1].item() == pytest.approx(persistence / 2**0.5, abs=1e-9)
    assert x.norm().item() == pytest.approx(
        torch.tensor([birth, birth + persistence], dtype=torch.float64).norm().item(), abs=1e-9
    )


@given(st.floats(0.01, 1.0))
def test_the_logarithm_sets_in_smoothly(nu: float) -> None:
    at = torch.tensor([nu * (1 - 1e-6), nu, nu * (1 + 1e-6)]).double().requires_grad_()
    value = stretch(at, nu)
    assert torch.allclose(value, at, atol=1e-9)
    (slope,) = torch.autograd.grad(value.sum(), at)
    assert torch.allclose(slope, torch.ones(3).double(), atol=1e-5)


def test_an_element_is_a_gaussian_of_the_definition() -> None:
    nu, mu, sigma = 0.1, (0.3, 0.4), (2.0, 3.0)
    points = [(0.2, 0.5), (-0.4, 0.05)]
    by_hand = 0.0
    for x0, x1 in points:
        u = x1 if x1 >= nu else np.log(x1 / nu) * nu + nu
        by_hand += np.exp(-(sigma[0] ** 2) * (x0 - mu[0]) ** 2 - sigma[1] ** 2 * (u - mu[1]) ** 2)
    layer = StructureElements(torch.tensor([[mu]]), torch.tensor([[sigma]]), nu)
    ours = layer(torch.tensor([[points]]))
    assert ours.shape == (1, 1)
    assert ours.item() == pytest.approx(by_hand, rel=1e-5)


def a_diagram(g: np.random.Generator) -> np.ndarray:
    return np.stack([g.uniform(-1, 1, 6), g.exponential(0.3, 6)], 1)[: g.integers(0, 7)]


def look_at(x: np.ndarray, seed: int, nu: float) -> tuple[torch.Tensor, torch.Tensor]:
    """What five random elements see of a diagram, and their bounds."""
    g = torch.Generator().manual_seed(seed)
    mu = torch.rand(1, 5, 2, generator=g).double() * 2 - torch.tensor([1.0, 0.5])
    sigma = torch.rand(1, 5, 2, generator=g).double() * 5 + 0.3
    layer = StructureElements(mu, sigma, nu)
    return layer(torch.from_numpy(x)[None, None])[0].detach(), steepest(layer)[0]


@settings(deadline=None)
@given(seeds)
def test_order_and_points_on_the_diagonal_change_nothing(seed: int) -> None:
    g = np.random.default_rng(seed)
    x = a_diagram(g)
    other = np.concatenate([x, [[0.3, 0.0], [-0.2, 0.0]]])[g.permutation(len(x) + 2)]
    assert torch.allclose(look_at(x, seed, 0.1)[0], look_at(other, seed, 0.1)[0])
    assert wasserstein(x, other) == pytest.approx(0, abs=1e-12)


@settings(max_examples=200, deadline=None)
@given(seeds, st.floats(0.05, 0.5))
def test_the_layer_is_stable(seed: int, nu: float) -> None:
    """The law: no element changes by more than its bound times the Wasserstein-1 distance."""
    g = np.random.default_rng(seed)
    x = a_diagram(g)
    for other in (a_diagram(g), disturbed(x, g)):
        (before, bound), (after, _) = look_at(x, seed, nu), look_at(other, seed, nu)
        assert ((before - after).abs() <= bound * wasserstein(x, other) + 1e-9).all()


@settings(max_examples=50, deadline=None)
@given(seeds, st.floats(0.05, 0.5))
def test_the_bound_is_no_smaller_than_any_slope(seed: int, nu: float) -> None:
    g = torch.Generator().manual_seed(seed)
    x = torch.stack(
        [4 * torch.rand(2000, generator=g) - 2, 10 ** (4 * torch.rand(2000, generator=g) - 3.5)], 1
    ).double()
    x.requires_grad_()
    mu, sigma = (
        torch.rand(1, 1, 2, generator=g).double(),
        torch.rand(1, 1, 2, generator=g).double() * 6 + 0.2,
    )
    layer = StructureElements(mu, sigma, nu)
    (slope,) = torch.autograd.grad(layer(x[:, None, None]).sum(), x)
    assert slope.norm(dim=1).max() <= steepest(layer).item()


@settings(max_examples=50, deadline=None)
@given(seeds)
def test_the_distance_is_gudhis(seed: int) -> None:
    hera = pytest.importorskip("gudhi.hera")
    g = np.random.default_rng(seed)
    x, other = a_diagram(g), a_diagram(g)
    back = np.array([[1, 1], [-1, 1]]) / 2**0.5  # from rotated coordinates to birth and death
    theirs = hera.wasserstein_distance(x @ back, other @ back, order=1, internal_p=2)
    assert wasserstein(x, other) == pytest.approx(
        theirs, rel=0.02, abs=1e-9
    )  # theirs is within 1 %


def test_gradients_are_right_on_both_sides_of_the_logarithm() -> None:
    x = torch.tensor([[[[0.2, 0.5], [-0.1, 0.03], [0.0, 0.0]]]]).double()
    layer = StructureElements(torch.rand(1, 4, 2).double(), torch.rand(1, 4, 2).double() + 0.5, 0.1)

    def seen(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"mu": mu, "sigma": sigma}, (x,))

    assert torch.autograd.gradcheck(seen, (layer.mu, layer.sigma))


def test_padding_adds_nothing() -> None:
    x = rotate(pad([[[(0.0, 1.0), (0.2, 0.4)], [(0.1, 0.9)]], [[], [(0.5, 0.7)]]]))
    assert x.shape == (2, 2, 2, 2)
    layer = regular(2, 2, 1.0, 0.1)
    seen = layer(x).view(2, 2, 4)
    assert torch.equal(seen[1, 0], torch.zeros(4))
    assert torch.allclose(seen[0, 1], layer(x[:1, :, :1]).view(2, 4)[1])


@settings(deadline=None)
@given(seeds)
def test_no_net_is_tested_on_what_it_learnt_from_or_what_settings_were_chosen_by(seed: int) -> None:
    y = torch.arange(10).repeat(20)
    train, val, test = split(y, seed)
    assert torch.cat([train, val, test]).sort().values.tolist() == list(range(200))
    assert [len(part) for part in (train, val, test)] == [120, 40, 40]
    assert all((y[part].bincount() == len(part) // 10).all() for part in (train, val, test))


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("claim", BROKEN)
def test_a_claim_falls_without_its_idea(claim: str) -> None:
    cfg = replace(SMOKE, images=60, pairs=40, sharpness=(4.0,))
    with take_out(BROKEN, claim, cfg) as changed:
        rows = [event for event in run(changed, torch.device("cpu")) if isinstance(event, dict)]
    assert {v.claim: v.verdict for v in check(rows)}[claim] in ("not reproduced", "fails")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of a short run's time, and no verdict looks at them."""
    for name in ("heights", "accuracy", "elements", "stability"):
        monkeypatch.setattr(drawing, name, lambda *_, **__: Progress(0, 1))


def test_silhouettes_are_read_where_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    (tmp_path / "mpeg7-ce-shape-1").mkdir()
    with zipfile.ZipFile(
        tmp_path / "mpeg7-ce-shape-1" / "mpeg7_ce_shape_1_partB.zip", "w"
    ) as archive:
        for name, box in {"bar-1": (2, 40), "bar-2": (3, 50), "square-1": (30, 30)}.items():
            picture = Image.new("1", (80, 60))
            picture.paste(1, (5, 5, 5 + box[1], 5 + box[0]))
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            archive.writestr(f"{name}.png", buffer.getvalue())
    data = read_silhouettes(tmp_path / "mpeg7-ce-shape-1" / "mpeg7_ce_shape_1_partB.zip", 16)
    assert data.kinds == ["bar", "square"] and data.y.tolist() == [0, 0, 1]
    assert data.shapes[2].all() and 16 <= data.shapes[0].sum() <= 32
