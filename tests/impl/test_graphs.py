"""Graphs: sparse products, Cora's files, the block model, splits, and labels that spread."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import shortest_path

from impl.kit import graphs
from impl.kit.data import DataUnavailable
from impl.kit.graphs import Graph, citations, cora, draw_nodes, generated, propagate_labels
from impl.kit.sparse import Sparse

CONTENT = "31\t1\t0\t1\tTheory\n7\t0\t1\t0\tRule_Learning\n44\t0\t0\t1\tTheory\n"
CITES = "31\t7\n7\t31\n44\t44\n7\t44\n"


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_a_sparse_product_and_its_gradient_are_those_of_the_dense_matrix(
    seed: int, N: int, M: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.randn(N, M, generator=draw) * (torch.rand(N, M, generator=draw) < 0.5)
    at = matrix.nonzero().T
    at = at[:, torch.randperm(at.shape[1], generator=draw)]
    sparse = Sparse(at, matrix[at[0], at[1]], (N, M))
    dense, upstream = torch.randn(M, 3, generator=draw), torch.randn(N, 3, generator=draw)
    ours, theirs = dense.clone().requires_grad_(), dense.clone().requires_grad_()
    (sparse @ ours).backward(upstream)
    (matrix @ theirs).backward(upstream)
    assert ours.grad is not None and theirs.grad is not None
    assert torch.equal(sparse.dense(), matrix)
    assert torch.allclose(sparse @ dense, matrix @ dense, atol=1e-6)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_the_radius_is_the_largest_absolute_eigenvalue() -> None:
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 30, generator=draw)
    matrix = matrix + matrix.T
    at = matrix.nonzero().T
    radius = Sparse(at, matrix[at[0], at[1]], (30, 30)).radius()
    assert radius == pytest.approx(torch.linalg.eigvalsh(matrix).abs().max().item(), rel=1e-5)


def test_a_generated_graph_is_like_cora() -> None:
    graph = generated(3)
    assert len(graph.y) == 2708 and graph.edges.shape[1] == pytest.approx(5278, rel=0.1)
    assert (graph.edges[0] < graph.edges[1]).all()
    assert len(graph.edges.unique(dim=1).T) == graph.edges.shape[1]
    within = (graph.y[graph.edges[0]] == graph.y[graph.edges[1]]).float().mean().item()
    assert within == pytest.approx(0.81, abs=0.05)
    assert torch.bincount(graph.edges.flatten()).max() > 50, "few nodes have many links"
    assert torch.allclose(graph.features().dense().sum(1), torch.ones(2708))
    assert torch.equal(graph.edges, generated.__wrapped__(3).edges)
    assert not torch.equal(graph.words, generated(4).words)


def test_splits_are_disjoint_and_learn_from_as_many_nodes_of_each_class() -> None:
    y = generated(0).y
    few, many = (draw_nodes(y, labels, 500, 1_000, seed=5) for labels in (3, 20))
    for nodes, labels in ((few, 3), (many, 20)):
        assert torch.bincount(y[nodes.train]).tolist() == [labels] * 7
        assert len(torch.cat([nodes.train, nodes.val, nodes.test]).unique()) == 7 * labels + 1_500
    assert torch.equal(few.test, many.test) and torch.equal(few.val, many.val)
    assert not torch.equal(few.test, draw_nodes(y, 3, 500, 1_000, seed=6).test)
    with pytest.raises(ValueError, match="are too many"):
        draw_nodes(y, 150, 500, 1_000, seed=0)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_distances_are_those_of_shortest_paths(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    pairs = torch.combinations(torch.arange(12)).T
    edges = pairs[:, torch.rand(66, generator=draw) < 0.12]
    A = np.zeros((12, 12))
    A[edges[0], edges[1]] = 1
    expected = shortest_path(A, directed=False, unweighted=True)[4]
    graph = Graph("test", edges, torch.zeros(2, 1), torch.zeros(12))
    expected[np.isinf(expected)] = -1
    assert graph.distances(4).tolist() == expected.tolist()


def test_labels_spread_to_the_harmonic_function_of_zhu_et_al() -> None:
    """f_u = (I - P_uu)^-1 P_ul f_l, before the classes are made equally common."""
    edges = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 5, 3, 5]])
    y, train, rest = torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 5]), torch.arange(1, 5)
    A = torch.zeros(6, 6)
    A[edges[0], edges[1]] = A[edges[1], edges[0]] = 1
    P = A / A.sum(1, keepdim=True)
    harmonic = torch.eye(2)[y].clone()
    inverse = torch.linalg.inv(torch.eye(4) - P[rest][:, rest])
    harmonic[rest] = inverse @ P[rest][:, train] @ harmonic[train]
    graph = Graph("test", edges, torch.zeros(2, 1), y)
    spread = propagate_labels(graph, train, alpha=1.0, steps=500)
    assert torch.allclose(spread, harmonic / harmonic.sum(0), atol=1e-5)


def test_cora_as_linqs_published_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cora").mkdir()
    (tmp_path / "cora" / "cora.content").write_text(CONTENT)
    (tmp_path / "cora" / "cora.cites").write_text(CITES)
    monkeypatch.setenv("KB_DATA", str(tmp_path))
    graph = cora.__wrapped__()
    assert graph.name == "cora-linqs" and graph.published is None
    assert graph.edges.T.tolist() == [[0, 1], [1, 2]], "each link once, none to itself"
    assert graph.words.T.tolist() == [[0, 0], [0, 2], [1, 1], [2, 2]]
    assert graph.y.tolist() == [1, 0, 1]


def test_without_cora_a_graph_is_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable() -> Graph:
        raise DataUnavailable("no network")

    monkeypatch.setattr(graphs, "cora", unavailable)
    graphs._cora_if_there.cache_clear()
    try:
        assert citations("auto", 2).name == "generated"
        with pytest.raises(DataUnavailable):
            citations("cora", 2)
    finally:
        graphs._cora_if_there.cache_clear()
    with pytest.raises(ValueError, match="no graph 'citeseer'"):
        citations("citeseer", 2)
