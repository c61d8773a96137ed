"""Graph convolutions: filters against dense algebra, laws, and what is left without the ideas."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from impl.gcn import (
    BROKEN,
    GCN,
    SMOKE,
    ChebyshevConvolution,
    GraphConvolution,
    build,
    check,
    descend,
    normalized,
    renormalized,
    run,
    scaled_laplacian,
    single_parameter,
    trial,
)
from impl.kit import Row
from impl.kit.broken import take_out
from impl.kit.graphs import draw_nodes, generated

CPU = torch.device("cpu")
seeds = st.integers(0, 10_000)
PATH = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])


def random_edges(seed: int, N: int) -> Tensor:
    pairs = torch.combinations(torch.arange(N)).T
    draw = torch.Generator().manual_seed(seed)
    return pairs[:, torch.rand(pairs.shape[1], generator=draw) < 0.4]


def adjacency(edges: Tensor, N: int) -> Tensor:
    A = torch.zeros(N, N, dtype=torch.float64)
    A[edges[0], edges[1]] = A[edges[1], edges[0]] = 1
    return A


def dense_normalized(A: Tensor) -> Tensor:
    D = A.sum(1)
    inverse_root = torch.where(D > 0, D.clamp_min(1).rsqrt(), 0.0).diag()
    return inverse_root @ A @ inverse_root


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 9))
def test_filters_are_those_of_equations_5_to_8(seed: int, N: int) -> None:
    edges, identity = random_edges(seed, N), torch.eye(N, dtype=torch.float64)
    A = adjacency(edges, N)
    S, renormed = dense_normalized(A), dense_normalized(A + identity)
    assert torch.allclose(normalized(edges, N).dense(), S)
    assert torch.allclose(renormalized(edges, N).dense(), renormed)
    assert torch.allclose(single_parameter(edges, N).dense(), identity + S)
    assert torch.allclose(scaled_laplacian(edges, N, K=1).dense(), -S)
    largest = torch.linalg.eigvalsh(identity - S).max()
    if edges.numel():
        L = 2 * (identity - S) / largest - identity
        assert torch.allclose(scaled_laplacian(edges, N, K=2).dense(), L, atol=1e-9)


def test_on_a_path_a_node_takes_from_its_neighbours_by_the_roots_of_their_links() -> None:
    """Eq. 2 link by link: the sum over j of x_j W / sqrt((d_i + 1) (d_j + 1))."""
    torch.manual_seed(0)
    layer, X = GraphConvolution(renormalized(PATH, 5), 3, 2).double(), torch.randn(5, 3).double()
    links, Z = [1, 2, 2, 2, 1], layer(X)
    for i in range(5):
        near = [j for j in (i - 1, i, i + 1) if 0 <= j < 5]
        parts = [X[j] @ layer.Theta / ((links[i] + 1) * (links[j] + 1)) ** 0.5 for j in near]
        assert torch.allclose(Z[i], torch.stack(parts).sum(0), atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 9))
def test_with_one_parameter_the_first_order_filter_is_equation_7(seed: int, N: int) -> None:
    torch.manual_seed(seed)
    edges, X = random_edges(seed, N), torch.randn(N, 3).double()
    two = ChebyshevConvolution(scaled_laplacian(edges, N, K=1), 1, 3, 2).double()
    one = GraphConvolution(single_parameter(edges, N), 3, 2).double()
    with torch.no_grad():
        two.Theta[0].copy_(one.Theta)
        two.Theta[1].copy_(-one.Theta)  # theta = theta_0' = -theta_1'
    assert torch.allclose(two(X), one(X), atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 9))
def test_eigenvalues_are_within_1_where_those_of_equation_7_reach_2(seed: int, N: int) -> None:
    edges = random_edges(seed, N)
    values = torch.linalg.eigvalsh(renormalized(edges, N).dense())
    assert values.max() == pytest.approx(1) and values.min() > -1
    doubled = torch.linalg.eigvalsh(single_parameter(edges, N).dense())
    assert doubled.min() > -1e-9
    assert doubled.max() == pytest.approx(2 if edges.numel() else 1)


@settings(deadline=None, max_examples=30)
@given(seeds, st.integers(2, 9))
def test_a_net_does_not_know_the_numbers_of_the_nodes(seed: int, N: int) -> None:
    torch.manual_seed(seed)
    edges, X, number = random_edges(seed, N), torch.randn(N, 4), torch.randperm(N)
    filters = [renormalized(at, N).to(CPU) for at in (edges, number[edges])]
    nets = [GCN(partial(GraphConvolution, P), 4, 6, 3, 0.5) for P in filters]
    nets[1].load_state_dict(nets[0].state_dict())
    other = torch.empty_like(X).index_copy(0, number, X)
    assert torch.allclose(nets[1].eval()(other)[number], nets[0].eval()(X), atol=1e-5)


def test_a_net_for_cora_has_23_040_weights() -> None:
    """1,433 words to 16 hidden units to 7 classes, without biases."""
    net = GCN(partial(GraphConvolution, renormalized(PATH, 5)), 1433, 16, 7, 0.5)
    assert sum(weight.numel() for weight in net.parameters()) == 1433 * 16 + 16 * 7 == 23_040


def test_dropout_keeps_the_mean_and_drops_nothing_afterwards() -> None:
    torch.manual_seed(0)
    net = GCN(partial(GraphConvolution, renormalized(PATH, 5)), 3, 4, 2, 0.25)
    dropped = net.train().drop(torch.ones(40_000))
    assert dropped.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(net.eval().drop(torch.ones(9)), torch.ones(9))


def test_an_update_is_adam_on_the_loss_with_the_l2_norm_of_the_first_layer() -> None:
    cfg, graph = replace(SMOKE, epochs=1, dropout=0.0), generated(0)
    nodes = draw_nodes(graph.y, 20, 50, 50, seed=0)
    net, twin = (build(cfg, "gcn", graph, CPU) for _ in range(2))
    twin.load_state_dict(net.state_dict())
    X, (first, second) = graph.features(), twin.parameters()
    assert [epoch for epoch, _ in descend(cfg, net, X, graph.y, nodes, 0.3)] == [1]
    loss = F.cross_entropy(twin(X)[nodes.train], graph.y[nodes.train])
    (loss + 0.3 / 2 * first.square().sum()).backward()
    torch.optim.Adam([first, second], lr=cfg.lr).step()
    for ours, theirs in zip(net.parameters(), (first, second), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_training_ends_when_the_validation_loss_has_not_fallen_for_a_while() -> None:
    cfg, graph = replace(SMOKE, epochs=60, patience=2, lr=0.5), generated(0)
    nodes = draw_nodes(graph.y, 20, 100, 50, seed=0)
    net = build(cfg, "mlp", graph, CPU)
    losses = [row["val_loss"] for _, row in descend(cfg, net, graph.features(), graph.y, nodes, 0)]
    assert len(losses) < 60 and min(losses) == losses[-3], "and two epochs later it is over"


def last(claim: str | None, arm: str = "gcn", **changes: Any) -> Row:
    """The result of a trial with the idea of a claim taken out."""
    keywords = {"alpha": 1.0} if arm == "label propagation" else {}
    with take_out(BROKEN, claim, replace(SMOKE, **changes)) as cfg:
        torch.manual_seed(0)
        *_, row = trial(cfg, CPU, arm=arm, seed=0, **keywords)
    assert isinstance(row, dict)
    return row


LEARNED = dict(epochs=60, lr=0.05, test=500)


def test_words_and_links_tell_more_than_either() -> None:
    gcn, mlp, labels = (
        float(last(None, arm, **LEARNED)["accuracy"]) for arm in ("gcn", "mlp", "label propagation")
    )
    assert gcn > labels + 5 and labels > mlp + 5


@pytest.mark.parametrize(
    ("claim", "rival"), [("beats-mlp", "mlp"), ("renormalization", "single parameter")]
)
def test_without_the_idea_the_net_is_its_rival(claim: str, rival: str) -> None:
    broken, other = last(claim, **LEARNED), last(claim, rival, **LEARNED)
    assert (broken["loss"], broken["accuracy"]) == (other["loss"], other["accuracy"])


def test_without_links_label_propagation_is_better() -> None:
    broken = last("beats-propagation", **LEARNED)
    rival = last("beats-propagation", "label propagation", **LEARNED)
    assert float(broken["accuracy"]) < float(rival["accuracy"])


LAWS = ("bounded-filter", "spectral-filter", "equivariance", "two-links")


@pytest.mark.parametrize("claim", [None, *LAWS])
def test_a_law_holds_until_its_idea_is_taken_out(claim: str | None) -> None:
    rows = [last(claim, arm, epochs=3) for arm in ("gcn", "filter")]
    judged = [dict(row, arm="gcn", seed=0, labels=0) for row in rows]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(judged)}
    fallen = {name for name in LAWS if verdicts[name] == "fails"}
    assert claim in fallen if claim else not fallen


def test_a_claim_that_a_preset_does_not_run_is_not_measured() -> None:
    cfg = replace(SMOKE, orders=(), curve=())
    rows = [event for event in run(cfg, CPU) if isinstance(event, dict)]
    verdicts = {verdict.claim: verdict.verdict for verdict in check(rows)}
    assert verdicts["simpler-filter"] == "not measured"
    assert "not measured" not in {verdicts[name] for name in verdicts if name != "simpler-filter"}
