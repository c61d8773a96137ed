"""Runs on a real Ray cluster of two nodes on this machine: streamed, cancelled, begun anew when a node is killed."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from kb.runs import store
from kb.runs.store import Order
from tests.conftest import free_port

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters are POSIX only"),
]
SLOW = {"updates": 100_000, "data": "digits"}  # minutes, were nobody to stop it
Until = Callable[..., Any]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes; on each there is room for one run."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    port = free_port()
    small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
    found = Cluster(initialize_head=True, head_node_args=small | {"ray_client_server_port": port})
    found.second = found.add_node(num_cpus=1, object_store_memory=100 << 20)
    found.client = f"ray://127.0.0.1:{port}"
    yield found
    found.shutdown()


@pytest.fixture(params=["direct", "client"])
def address(cluster: Any, request: pytest.FixtureRequest) -> str:
    return str(cluster.address if request.param == "direct" else cluster.client)


def ended(engine: Engine, run_id: str) -> Any:
    return list(store.watch(engine, run_id, every=0.05))[-1]


def test_a_run_on_the_cluster_is_recorded_as_here(loaded: Engine, address: str) -> None:
    here, there = store.submit_all(
        loaded, [Order("two_rings", "smoke", device="cpu", cluster=where) for where in ("", address)]
    )
    one, other = ended(loaded, here), ended(loaded, there)
    assert (other.status, other.reason, other.attempts) == ("succeeded", None, 1), store.log_tail(there)
    assert other.environment["device"] == "cpu" and other.usage["cpu_seconds"] > 0
    assert one.source_hash == other.source_hash
    assert [row.values for row in store.rows(loaded, there)] == [row.values for row in store.rows(loaded, here)]
    assert [(v.claim, v.verdict) for v in store.verdicts(loaded, there)] == [
        (v.claim, v.verdict) for v in store.verdicts(loaded, here)
    ]
    assert store.artifacts(loaded, there)
    for artifact in store.artifacts(loaded, there):
        assert store.artifact_file(artifact).stat().st_size == artifact.size


def test_it_is_seen_while_it_runs_and_ends_when_asked(loaded: Engine, address: str, until: Until) -> None:
    run_id = store.submit(loaded, "dropout", "quick", changes=SLOW, device="cpu", cluster=address)
    until(lambda: store.rows(loaded, run_id))
    assert store.get(loaded, run_id).status == "running"
    with pytest.raises(ValueError, match="can't be paused"):
        store.pause(loaded, run_id)
    store.cancel(loaded, run_id)
    assert ended(loaded, run_id).status == "cancelled"
    again = store.submit(loaded, "two_rings", "smoke", device="cpu", cluster=address)
    assert ended(loaded, again).status == "succeeded"


def test_a_killed_stand_in_leaves_the_cluster_free(loaded: Engine, cluster: Any, until: Until) -> None:
    order = Order("dropout", "quick", SLOW, "cpu", cluster=cluster.address)
    first = store.submit_all(loaded, [order, order])
    until(lambda: all(store.rows(loaded, run_id) for run_id in first))
    for run_id in first:
        os.kill(store.get(loaded, run_id).process or 0, signal.SIGKILL)
    assert [ended(loaded, run_id).status for run_id in first] == ["failed", "failed"]
    second = store.submit_all(loaded, [order, order])
    until(lambda: all(store.rows(loaded, run_id) for run_id in second))  # there is room for two
    for run_id in second:
        store.cancel(loaded, run_id)
    assert [ended(loaded, run_id).status for run_id in second] == ["cancelled", "cancelled"]


def test_limits_hold_there_too(loaded: Engine, cluster: Any) -> None:
    order = Order("dropout", "quick", SLOW, "cpu", limits={"seconds": 3.0}, cluster=cluster.address)
    run = ended(loaded, store.submit_all(loaded, [order])[0])
    assert run.status == "failed" and run.reason.startswith("it reached its limit of time, 3 s")


def test_what_the_cluster_lacks_is_said(loaded: Engine, address: str) -> None:
    run_id = store.submit(loaded, "two_rings", "smoke", device="cuda", cluster=address)
    run = ended(loaded, run_id)
    assert (run.status, run.reason) == ("failed", "the cluster has no GPU; `--device cpu` needs none")


def test_a_cluster_that_isnt_there_is_said(loaded: Engine) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    run = ended(loaded, store.submit(loaded, "two_rings", "smoke", cluster=nobody))
    assert run.status == "failed" and nobody in run.reason and "can't be reached" in run.reason


@pytest.mark.parametrize(("refusals", "let_in"), [(2, True), (3, False)])
def test_a_server_that_did_not_start_is_asked_again(
    refusals: int, let_in: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kb.runs import cluster

    asked = []

    def init(address: str, **_: Any) -> None:
        asked.append(address)
        if len(asked) <= refusals:
            raise ConnectionAbortedError("Starting Ray client server failed")

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: None)
    with contextlib.nullcontext() if let_in else pytest.raises(ConnectionAbortedError):
        cluster.connect("auto")
    assert asked == ["auto"] * 3


def test_a_lost_node_costs_only_time(loaded: Engine, cluster: Any, until: Until) -> None:
    settings = {"updates": 800, "data": "digits", "seeds": 2}
    orders = [Order("dropout", "smoke", settings | {"seed": seed}, "cpu", cluster=cluster.address) for seed in (0, 1)]
    ids = store.submit_all(loaded, orders)
    until(lambda: all(store.rows(loaded, run_id) for run_id in ids))
    cluster.remove_node(cluster.second, allow_graceful=False)
    runs = [ended(loaded, run_id) for run_id in ids]
    assert [run.status for run in runs] == ["succeeded", "succeeded"], [run.reason for run in runs]
    assert sorted(run.attempts for run in runs) == [1, 2]
    for run_id in ids:  # whole, once, in order
        rows = store.rows(loaded, run_id)
        assert [row.number for row in rows] == list(range(len(rows)))
        for points in store.series(row.values for row in rows).values():
            assert len(points) == len({x for x, _ in points})
