"""DCGAN: the sizes of the paper's nets, its features and its walks; and what is broken."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from impl.dcgan import (
    BROKEN,
    PAPER,
    SMOKE,
    Config,
    Discriminator,
    Generator,
    check,
    mismatches,
    nets,
    play,
    trial,
    walk,
)
from impl.kit import Row, Verdict, generator
from impl.kit.broken import take_out
from impl.kit.data import Split, draw_split
from impl.kit.features import PatchKMeans, embed, few_labels, images, svm, svm_errors
from impl.kit.fitting import fit, settle
from impl.kit.walks import cross_fade, largest_step, nearest

CPU = torch.device("cpu")
FAIR = replace(SMOKE, n=800, widths=(16, 8), updates=60, batch=32, samples=100)


def test_the_papers_generator_has_the_weights_counted_by_hand() -> None:
    with torch.device("meta"):
        G = Generator(100, PAPER.widths, 3, 4, 5)
        D = Discriminator(PAPER.widths[::-1], 3, 4, 5, 0.2)
        assert G(torch.zeros(2, 100)).shape == (2, 3, 64, 64)
        assert D(torch.zeros(2, 3, 64, 64)).shape == (2, 1)
    project, convolutions = 100 * 1024 * 4 * 4, 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    weights = sum(p.numel() for p in G.parameters() if p.dim() > 1)
    assert weights == project + convolutions == 18_851_200


def test_the_guidelines_are_kept() -> None:
    with torch.device("meta"):
        G = Generator(100, PAPER.widths, 3, 4, 5)
        D = Discriminator(PAPER.widths[::-1], 3, 4, 5, 0.2)
    kinds = [type(module) for module in G.net]
    assert kinds[-2:] == [nn.ConvTranspose2d, nn.Tanh], "no batch normalization on G's output"
    assert kinds.count(nn.BatchNorm2d) == kinds.count(nn.ReLU) == 4
    norms = [any(isinstance(m, nn.BatchNorm2d) for m in layer.modules()) for layer in D.layers]
    assert norms == [False, True, True, True], "nor on D's first layer"


def test_the_maps_are_those_of_fig_1_only_with_fractional_strides() -> None:
    assert mismatches(PAPER) == 0
    with take_out(BROKEN, "generator-size", PAPER) as cfg:
        assert mismatches(cfg) == 4, "all but the first"


def test_the_features_are_every_layers_maps_pooled_to_4_x_4() -> None:
    D, x = Discriminator((8, 16), 1, 4, 5, 0.2), torch.randn(3, 1, 16, 16)
    first = D.layers[0](x)  # [3, 8, 8, 8]
    f = D.features(x)
    assert f.shape == (3, 8 * 16 + 16 * 16)
    assert torch.equal(f[:, : 8 * 16], nn.functional.max_pool2d(first, 2).flatten(1))


def test_a_settled_net_does_not_mind_its_batch() -> None:
    x = torch.randn(40, 1, 8, 8)
    _, D = nets(SMOKE, x, "DCGAN", 0, 0.02)
    settle(D, x)
    assert torch.allclose(D(x)[:3], D(x[:3]), atol=1e-5)
    assert torch.allclose(D.features(x)[:3], D.features(x[:3]), atol=1e-5)


def test_arms_of_a_seed_begin_alike() -> None:
    x = torch.randn(2, 1, 8, 8)
    (G, D), (G_plain, D_plain) = (nets(SMOKE, x, arm, 3, 0.02) for arm in ("DCGAN", "without"))
    weights, plain = (next(net.parameters()) for net in (G, G_plain))
    assert torch.equal(weights, plain)
    assert torch.equal(D.out.weight, D_plain.out.weight)
    assert torch.equal(G.noise(4, generator(3, "noise")), G_plain.noise(4, generator(3, "noise")))


def test_even_walks_jumps_and_cross_fades() -> None:
    even = torch.linspace(0, 1, 16)[None, :, None].expand(4, -1, 3)
    assert largest_step(even) == pytest.approx(100 / 15, rel=1e-4)
    assert largest_step((even > 0.5).float()) == 100
    jumps = nearest(even, torch.tensor([[0.0, 0, 0], [1, 1, 1]]))
    assert torch.equal(jumps, (even > 0.5).float())
    assert torch.allclose(cross_fade(even.square()), even)


def test_a_walk_goes_from_one_image_to_the_other() -> None:
    G, _ = nets(SMOKE, torch.zeros(1, 1, 8, 8), "DCGAN", 0, 0.2)
    settle(G, G.noise(50, generator(0, "samples")))
    path, z = walk(G, 5, 3, generator(0, "walks")), generator(0, "walks")
    a, b = G.noise(5, z), G.noise(5, z)
    for step, between in enumerate((a, (a + b) / 2, b)):
        assert torch.allclose(path[:, step], G(between).flatten(1), atol=1e-5)


def test_the_svm_separates_and_its_errors_are_of_the_test_images() -> None:
    torch.manual_seed(0)
    y = torch.arange(100) % 10
    f = torch.eye(10)[y] + 0.1 * torch.randn(100, 10)
    W, b = svm(f[None], y, torch.tensor([0.001]))
    assert ((f @ W[0] + b[0]).argmax(1) == y).all()
    split = few_labels(everywhere(f, y), 50)
    assert len(split.x_train) == 50
    assert svm_errors(split, (0.001,)) == {"val_error": 0, "test_error": 0}
    wrong = replace(split, y_test=(split.y_test + 1) % 10)
    assert svm_errors(wrong, (0.001,)) == {"val_error": 0, "test_error": 100}


def everywhere(x: torch.Tensor, y: torch.Tensor) -> Split:
    """The same to train on, to choose by and to test on."""
    return Split(x, y, x, y, x, y)


def test_features_of_k_means_tell_digits_apart() -> None:
    split = draw_split(images("digits"), 300, 200, 0)
    kmeans = PatchKMeans(split.x_train, 5, 40, 0, patches=2_000)
    features = embed(kmeans, split)
    assert features.x_train.shape == (300, 4 * 40)
    assert float(svm_errors(features, (0.001, 0.01))["test_error"]) < 12


def test_k_means_looks_at_patterns_and_not_at_brightness() -> None:
    x = images("digits").x_train[:50]
    kmeans = PatchKMeans(x, 5, 10, 0)
    assert torch.allclose(kmeans(x - 0.5), kmeans(x), atol=1e-4)


def test_the_rival_keeps_the_net_that_does_best_on_validation_images() -> None:
    x = torch.randn(20, 1, 8, 8)
    _, D = nets(SMOKE, x, "supervised", 0, 0.1)
    split = everywhere(x, torch.arange(20) % 10)
    optimizer = torch.optim.Adam(D.parameters(), 0.01)
    *rows, last = fit(D, optimizer, split, generator(0, "batches"), batch=20, updates=40)
    assert len(rows) == 8
    assert last["val_error"] == min(float(row["val_error"]) for row in rows) < 50


def last_row(cfg: Config, arm: str, std: float = 0.1, lr: float = 0.01) -> Row:
    torch.manual_seed(0)
    *_, row = trial(cfg, CPU, arm=arm, seed=0, std=std, lr=lr)
    assert isinstance(row, dict)
    return row


def test_samples_come_closer_to_images() -> None:
    events = trial(FAIR, CPU, arm="DCGAN", seed=0, std=0.2, lr=0.01)
    rows = [row for row in events if isinstance(row, dict)]
    assert float(rows[-1]["distance"]) < 0.5 * float(rows[0]["distance"])


@pytest.mark.parametrize("claim", ["collapse", "batch-norm"])
def test_without_batch_normalization_in_both_the_arms_are_the_same(claim: str) -> None:
    with take_out(BROKEN, claim, SMOKE) as cfg:
        idea, rival = last_row(cfg, "DCGAN"), last_row(cfg, "without")
    assert idea["spread"] == rival["spread"] and idea["distance"] == rival["distance"]
    assert last_row(SMOKE, "DCGAN")["spread"] != rival["spread"]


def test_features_of_a_net_that_plays_no_game_are_those_before_training() -> None:
    with take_out(BROKEN, "beats-untrained", SMOKE) as cfg:
        assert last_row(cfg, "DCGAN")["test_error"] == last_row(cfg, "untrained")["test_error"]


def test_a_generator_that_remembers_jumps_as_much_as_its_memory() -> None:
    learned = last_row(FAIR, "DCGAN")
    with take_out(BROKEN, "smooth-walk", FAIR):
        broken = last_row(FAIR, "DCGAN")
    assert float(learned["largest_step"]) + 10 < float(learned["memory_step"])
    assert float(broken["largest_step"]) > float(broken["memory_step"])


def test_walks_of_a_linear_generator_are_cross_fades() -> None:
    with take_out(BROKEN, "walk-stays-real", SMOKE):
        row = last_row(SMOKE, "DCGAN")
    assert row["halfway"] == pytest.approx(float(row["fade"]), abs=1e-3)
    row = last_row(SMOKE, "DCGAN")
    assert row["halfway"] != pytest.approx(float(row["fade"]), abs=1e-3)


def made_up(idea: float, rival: float) -> dict[str, Verdict]:
    rows: list[Row] = [dict(mismatches=0)]
    for seed in range(5):
        error = idea + 0.01 * seed
        better: Row = dict(test_error=error, distance=error, spread=100 - error, seed=seed)
        worse: Row = dict(test_error=rival, distance=rival, spread=100 - rival, seed=seed)
        walks: Row = dict(largest_step=error, memory_step=rival, halfway=error, fade=rival)
        for selected_by in ("late_val_distance", "val_distance", "val_error"):
            row: Row = dict(judged=True, selected_by=selected_by)
            rows += [row | better | walks | dict(arm="DCGAN"), row | worse | dict(arm="without")]
            rows += [row | worse | dict(arm=arm) for arm in ("k-means", "supervised", "untrained")]
    return {verdict.claim: verdict for verdict in check(rows)}


def test_ideas_that_make_no_difference_are_not_reproduced() -> None:
    same, far = made_up(70, 70), made_up(10, 70)
    assert same.pop("generator-size").verdict == far.pop("generator-size").verdict == "holds"
    assert {verdict.verdict for verdict in same.values()} == {"not reproduced"}
    assert {verdict.verdict for verdict in far.values()} == {"reproduced"}


def test_play_updates_both_nets() -> None:
    data = images("digits")
    split = everywhere(data.x_train[:100], data.y_train[:100])
    G, D = nets(SMOKE, split.x_train, "DCGAN", 0, 0.02)
    before = [p.clone() for net in (G, D) for p in net.parameters()]
    assert [row["step"] for row in play(SMOKE, G, D, split, 0, 0.01)] == [0, 1, 2, 3, 4]
    after = [p for net in (G, D) for p in net.parameters()]
    assert all(not torch.equal(p, q) for p, q in zip(before, after, strict=True))
