"""Runs on a Ray cluster of two nodes on this machine; a run starts anew when its node is lost."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from kb.runs import control, curves, store, submission
from kb.runs.submission import RunRequest
from tests.conftest import free_port
from tests.kb.run_processes import SLOW, Until, wait_for_end

pytest.importorskip("ray")
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters are POSIX only"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes; on each there is room for one run."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    port = free_port()
    small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=small | {"ray_client_server_port": port})
    cluster.second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.client = f"ray://127.0.0.1:{port}"
    yield cluster
    cluster.shutdown()


@pytest.mark.parametrize(
    ("connection", "name", "broken"),
    [
        ("direct", "two_rings", None),
        pytest.param("client", "brnn", "same-as-torch", marks=pytest.mark.slow),
    ],
)
def test_a_run_on_the_cluster_is_recorded_like_a_local_one(
    loaded: Engine, cluster: Any, connection: str, name: str, broken: str | None
) -> None:
    address = cluster.address if connection == "direct" else cluster.client
    options = {"broken": broken} if broken else {}
    local, remote = submission.submit_all(
        loaded,
        [
            RunRequest(name, "smoke", device="cpu", options=options, cluster=where)
            for where in ("", address)
        ],
    )
    local_run, run = wait_for_end(loaded, local), wait_for_end(loaded, remote)
    assert (run.status, run.reason, run.attempts) == ("succeeded", None, 1), store.log_tail(remote)
    assert run.environment["device"] == "cpu" and run.usage["cpu_seconds"] > 0
    assert run.source_hash == local_run.source_hash
    # trials that run at the same time send their rows in any order
    assert sorted(repr(row.values) for row in store.rows(loaded, remote)) == sorted(
        repr(row.values) for row in store.rows(loaded, local)
    )
    verdicts = {verdict.claim: verdict.verdict for verdict in store.verdicts(loaded, remote)}
    assert verdicts == {verdict.claim: verdict.verdict for verdict in store.verdicts(loaded, local)}
    if broken:  # the idea is taken out on the nodes too
        assert verdicts[broken] == "fails"
    assert store.artifacts(loaded, remote)
    for artifact in store.artifacts(loaded, remote):
        assert store.artifact_file(artifact).stat().st_size == artifact.size


@pytest.mark.slow
def test_a_run_uses_all_nodes_and_leaves_them_free_when_it_is_killed_or_cancelled(
    loaded: Engine, cluster: Any, until: Until
) -> None:
    request = RunRequest("dropout", "quick", SLOW, "cpu", cluster=cluster.address)
    (killed,) = submission.submit_all(loaded, [request])
    until(lambda: store.rows(loaded, killed) and len(trial_processes()) == 2)
    os.kill(store.get(loaded, killed).process or 0, signal.SIGKILL)
    assert wait_for_end(loaded, killed).status == "failed"
    (cancelled,) = submission.submit_all(loaded, [request])
    until(lambda: store.rows(loaded, cancelled) and len(trial_processes()) == 2)
    assert store.get(loaded, cancelled).status == "running"
    with pytest.raises(ValueError, match="can't be paused"):
        control.pause(loaded, cancelled)
    control.cancel(loaded, cancelled)
    assert wait_for_end(loaded, cancelled).status == "cancelled"
    until(lambda: not trial_processes())


def trial_processes() -> list[int]:
    """The processes of Ray that execute a trial; Ray names them so."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [""])[0].startswith("ray::execute_trial")
    ]


@pytest.mark.slow
def test_an_error_in_a_trial_is_told_as_on_one_machine(loaded: Engine, cluster: Any) -> None:
    run_id = submission.submit(
        loaded,
        "dropout",
        "smoke",
        changes={"data": "nothing"},
        device="cpu",
        cluster=cluster.address,
    )
    reason = wait_for_end(loaded, run_id).reason
    assert reason.startswith("ValueError: no data set 'nothing'"), reason


@pytest.mark.slow
def test_limits_hold_on_the_cluster(loaded: Engine, cluster: Any) -> None:
    request = RunRequest(
        "dropout", "quick", SLOW, "cpu", limits={"seconds": 3.0}, cluster=cluster.address
    )
    run = wait_for_end(loaded, submission.submit_all(loaded, [request])[0])
    assert run.status == "failed" and run.reason.startswith("it reached its limit of time, 3 s")


def test_a_device_that_the_cluster_lacks_is_named(loaded: Engine, cluster: Any) -> None:
    run_id = submission.submit(loaded, "two_rings", "smoke", device="cuda", cluster=cluster.address)
    run = wait_for_end(loaded, run_id)
    assert (run.status, run.reason) == (
        "failed",
        "the cluster has no GPU; `--device cpu` needs none",
    )


def test_an_unreachable_cluster_is_named(loaded: Engine) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    run = wait_for_end(loaded, submission.submit(loaded, "two_rings", "smoke", cluster=nobody))
    assert run.status == "failed" and nobody in run.reason and "can't be reached" in run.reason


@pytest.mark.parametrize(("refusals", "succeeds"), [(2, True), (3, False)])
def test_a_server_that_did_not_start_is_tried_again(
    refusals: int, succeeds: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kb.runs import cluster

    addresses = []

    def init(address: str, **_: Any) -> None:
        addresses.append(address)
        if len(addresses) <= refusals:
            raise ConnectionAbortedError("Starting Ray client server failed")

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: None)
    with contextlib.nullcontext() if succeeds else pytest.raises(ConnectionAbortedError):
        cluster.connect("auto")
    assert addresses == ["auto"] * 3


@pytest.mark.slow
def test_a_lost_node_costs_only_time(loaded: Engine, cluster: Any, until: Until) -> None:
    settings = {"updates": 400, "data": "digits", "seeds": 2}
    requests = [
        RunRequest("dropout", "smoke", settings | {"seed": seed}, "cpu", cluster=cluster.address)
        for seed in (0, 1)
    ]
    ids = submission.submit_all(loaded, requests)
    until(lambda: all(store.rows(loaded, run_id) for run_id in ids))
    cluster.remove_node(cluster.second, allow_graceful=False)
    runs = [wait_for_end(loaded, run_id) for run_id in ids]
    assert [run.status for run in runs] == ["succeeded", "succeeded"], [run.reason for run in runs]
    # a run starts again only if it was the lost node that arranged its trials
    assert all(run.attempts in (1, 2) for run in runs)
    for run_id in ids:  # all rows, once, in order
        rows = store.rows(loaded, run_id)
        assert [row.number for row in rows] == list(range(len(rows)))
        for points in curves.build_curves(row.values for row in rows).values():
            assert len(points) == len({x for x, _ in points})
