"""Answers that an expert would give, on the project's own timeline: ids and their order."""

import networkx as nx
import pytest
from sqlalchemy import Engine

from kb import db, graph, graph_paths, loader


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, timeline: loader.Timeline) -> Engine:
    engine = db.open_database(tmp_path_factory.mktemp("expert") / "kb.sqlite3")
    db.load_timeline(engine, timeline.milestones)
    return engine


@pytest.fixture(scope="module")
def lineage(engine: Engine) -> nx.MultiDiGraph:
    return graph.load_lineage(engine)


def best_way(lineage: nx.MultiDiGraph, a: str, b: str) -> list[str]:
    [way] = graph_paths.find_paths(lineage, a, b, limit=1)
    assert way.directed
    return [a, *(step.id for step in way.steps)]


def in_order(way: list[str], *ids: str) -> bool:
    return [id for id in way if id in ids] == list(ids)


def near(lineage: nx.MultiDiGraph, id: str, links: int, *, earlier: bool) -> set[str]:
    walk = graph.ancestors if earlier else graph.descendants
    return {step.id for step in walk(lineage, id, links)}


def test_what_made_alexnet_possible(lineage: nx.MultiDiGraph) -> None:
    direct = near(lineage, "alexnet", 1, earlier=True)
    assert direct >= {"lenet5", "relu", "dropout", "ciresan-cnn", "cuda-convnet", "gtx-580"}
    assert "imagenet" in direct
    everything = near(lineage, "alexnet", 99, earlier=True)
    assert everything >= {"backprop", "zip-codes", "neocognitron", "cuda", "perceptron", "wordnet"}
    assert not everything & {"svhn", "timit", "keras"}, "it was measured on them, or came later"


def test_from_lenet_to_resnet(lineage: nx.MultiDiGraph) -> None:
    way = best_way(lineage, "lenet5", "resnet")
    assert in_order(way, "lenet5", "alexnet", "vgg", "resnet")
    assert not set(way) & {"rcnn", "fast-rcnn", "faster-rcnn", "norb"}


def test_from_the_perceptron_to_alexnet(lineage: nx.MultiDiGraph) -> None:
    way = best_way(lineage, "perceptron", "alexnet")
    assert in_order(way, "perceptron", "backprop", "zip-codes", "lenet5", "alexnet")


def test_what_alphago_rested_on_and_led_to(lineage: nx.MultiDiGraph) -> None:
    before = near(lineage, "alphago", 99, earlier=True)
    assert before >= {"backprop", "alexnet", "dqn", "tpu-v1"}
    assert near(lineage, "alphago", 2, earlier=False) >= {"alphago-zero", "alphazero"}


def test_from_back_propagation_to_language_models(lineage: nx.MultiDiGraph) -> None:
    way = best_way(lineage, "backprop", "gpt-3")
    assert in_order(way, "backprop", "lstm", "bahdanau-attention", "transformer", "gpt-3")
    ways = graph_paths.find_paths(lineage, "backprop", "chatgpt")
    assert any("transformer" in {step.id for step in way.steps} for way in ways)


def test_what_the_lstm_led_to(lineage: nx.MultiDiGraph) -> None:
    direct = near(lineage, "lstm", 1, earlier=False)
    assert direct >= {"forget-gate", "ctc", "gru", "highway-networks"}
    assert near(lineage, "lstm", 99, earlier=False) >= {"seq2seq", "transformer", "resnet"}


def test_what_gpus_were_before(lineage: nx.MultiDiGraph) -> None:
    way = best_way(lineage, "geforce-256", "alexnet")
    assert in_order(way, "geforce-256", "geforce-3", "geforce-6800", "alexnet")
    assert set(way) & {"cuda", "geforce-8800"}


def test_why_2012(lineage: nx.MultiDiGraph) -> None:
    """It took theory, software, hardware and data."""
    tracks = {lineage.nodes[id]["track"] for id in near(lineage, "alexnet", 1, earlier=True)}
    assert tracks == {"theory", "software", "hardware", "data"}


def test_what_would_be_lost_without_imagenet(lineage: nx.MultiDiGraph) -> None:
    losses = {loss.id: loss for loss in graph.losses(lineage, "imagenet")}
    assert "imagenet" in losses["alexnet"].lost
    assert losses["alexnet"].lines > len(losses["alexnet"].lost)
