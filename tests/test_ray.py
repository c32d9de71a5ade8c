"""The engine for Ray on a cluster of real node processes, and what is left when they are killed."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.engines import load_engine
from scaling.engines.detached import Detached
from scaling.engines.node_facts import difference, facts, mark_store
from scaling.engines.ray_request import Request, check_room, make_request, shapes_wanted
from scaling.errors import EngineError
from scaling.jobs import Job, make_jobs
from scaling.store import Store
from scaling.sweep import expand
from tests.launches import at_work, claim_pids, ends, launch, launched, results, wait_for
from tests.tiny_sweep import loader, write_tiny_sweep

# Long enough for Ray to notice a death before a cell has ended.
LONG_TOKENS = 600_064
GPU_NODE = {"CPU": 16.0, "GPU": 4.0}
CPU_NODE = {"CPU": 8.0}


def job(devices: int, name: str = "") -> Job:
    return Job(run_id=name or f"on-{devices}", devices=devices)


@pytest.mark.parametrize(
    ("options", "nodes", "asked", "rooms"),
    [
        ({}, [CPU_NODE], {"num_cpus": 1.0, "num_gpus": 0.0}, [8]),
        ({}, [CPU_NODE, GPU_NODE], {"num_cpus": 1.0, "num_gpus": 1.0}, [0, 4]),
        ({"gpus_per_cell": "0.5"}, [GPU_NODE], {"num_cpus": 1.0, "num_gpus": 0.5}, [8]),
        # 0.4 of a GPU goes twice into each, and never into the rests of two.
        ({"gpus_per_cell": "0.4"}, [GPU_NODE], {"num_cpus": 1.0, "num_gpus": 0.4}, [8]),
        ({"gpus_per_cell": "0.1"}, [GPU_NODE], {"num_cpus": 1.0, "num_gpus": 0.1}, [16]),
        ({"cpus_per_cell": "8"}, [GPU_NODE], {"num_cpus": 8.0, "num_gpus": 1.0}, [2]),
        ({"gpus_per_cell": "0"}, [GPU_NODE], {"num_cpus": 1.0, "num_gpus": 0.0}, [16]),
    ],
)
def test_what_a_cell_asks_for_and_how_many_find_room(
    options: dict[str, str],
    nodes: list[dict[str, float]],
    asked: dict[str, float],
    rooms: list[int],
) -> None:
    request = make_request(options, nodes)
    assert request.of(1) == asked
    assert [request.cells_on(node) for node in nodes] == rooms


def test_a_gang_asks_one_node_for_whole_gpus() -> None:
    request = Request(cpus=2.0, gpus=0.5)
    assert request.of(4) == {"num_cpus": 8.0, "num_gpus": 4.0}
    assert request.cells_on(GPU_NODE, 4) == 1
    check_room(request, [job(4)], [CPU_NODE, GPU_NODE])
    with pytest.raises(EngineError, match="a cell on 8 devices asks one node for 16 CPUs and 8"):
        check_room(request, [job(1), job(8)], [GPU_NODE, GPU_NODE])
    assert Request(cpus=1.0, gpus=0.0).of(3) == {"num_cpus": 3.0, "num_gpus": 0.0}


@pytest.mark.parametrize(
    ("busy", "startable", "workers", "wanted"),
    [
        ([], [1, 1, 1], None, {1: 3}),
        ([1, 1], [1, 1, 1], None, {1: 4}),
        ([1], [1, 1, 1], 2, {1: 2}),
        ([], [4, 1], None, {4: 1}),
        # What waits for four devices is not overtaken, so that they come free in the end.
        ([1], [4, 1, 1], None, {1: 1}),
        ([1, 1], [], None, {1: 2}),
    ],
)
def test_slots_follow_what_could_start(
    busy: list[int], startable: list[int], workers: int | None, wanted: dict[int, int]
) -> None:
    jobs = [job(devices, str(number)) for number, devices in enumerate(startable)]
    assert shapes_wanted(busy, jobs, workers=workers, room=4) == wanted


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"gpus_per_cell": "2"}, "gpus_per_cell=2 is above 1"),
        ({"gpus_per_cell": "half"}, "gpus_per_cell='half' is no amount"),
        ({"cpus_per_cell": "-1"}, "cpus_per_cell='-1' is no amount"),
        ({"cpus_per_cell": "0", "gpus_per_cell": "0"}, "a cell needs one of them"),
        ({"colour": "red"}, "the engine ray has no option 'colour'"),
    ],
)
def test_wrong_options_are_told(options: dict[str, str], line: str) -> None:
    with pytest.raises(EngineError, match=line):
        make_request(options, [GPU_NODE])


def test_a_node_must_have_the_same_store_and_the_same_suite(tmp_path: Path) -> None:
    shared, away = tmp_path / "shared", tmp_path / "away"
    mark_store(shared)
    mine = facts(shared)
    assert difference("n1", mine, mine) is None
    # The same path on a node where nothing is mounted, and somebody has used it all the same.
    shared.rename(away)
    mark_store(shared)
    line = difference("n1", mine, facts(shared))
    assert line is not None
    assert line.startswith("node n1 cannot use the store: another folder stands there under the ")
    assert difference("n1", mine, mine | {"torch": "1.0"}) == (
        f"node n1 has torch 1.0, this launch has torch {mine['torch']}; "
        "install the same on every node"
    )
    # A second launch finds the mark of the first.
    mark_store(away)
    assert facts(away) == mine


def test_a_missing_library_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "scaling.engines.ray", raising=False)
    with pytest.raises(EngineError, match=r"needs the package ray, .* -e '\.\[ray\]'"):
        load_engine("ray")


@pytest.mark.slow
def test_a_cell_whose_asker_is_gone_writes_its_checkpoint(tmp_path: Path) -> None:
    store, asked = long_job(tmp_path)
    process = Detached(store.root, 1, os.environ)
    process.give(asked)
    wait_for(lambda: any(kind == "progress" for kind, _ in process.news(1.0)))
    (pid,) = claim_pids(store.root)
    # The same end of the socket closes when the asker is killed.
    process._connection.close()
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
    assert store.state(asked.run_id) == "pending"
    assert ends(store.root)[asked.run_id] == ["released"]
    assert (store.folder(asked.run_id) / "checkpoint.pt").exists()


@pytest.mark.slow
def test_the_process_of_a_slot_belongs_to_no_worker(tmp_path: Path) -> None:
    store, asked = long_job(tmp_path)
    process = Detached(store.root, 1, os.environ)
    process.give(asked)
    wait_for(lambda: any(kind == "progress" for kind, _ in process.news(1.0)))
    (pid,) = claim_pids(store.root)
    # Ray kills the children of a worker that it ends, and knows them by their parent.
    ancestors = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        ancestors.append(pid)
    assert os.getpid() not in ancestors
    process.stop()
    assert store.state(asked.run_id) == "pending"
    assert ends(store.root)[asked.run_id] == ["released"]


def long_job(folder: Path) -> tuple[Store, Job]:
    store = Store(folder / "runs")
    sweep = expand(write_tiny_sweep(folder, train_tokens=2_560_000), loader(store.root))
    for cell in sweep.cells:
        store.add(cell.spec)
    (asked,) = make_jobs(sweep.cells, wandb_mode="disabled")
    return store, asked


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the sweep by the local engine, left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    code, output = launched(write_sweep(folder), folder / "runs", "--workers", "2")
    assert code == 0, output
    return results(folder / "runs")


@pytest.fixture
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    from tests.ray_cluster import ray_cluster

    with ray_cluster(nodes=2) as started:
        yield started


def write_sweep(folder: Path) -> Path:
    """One cell more than there are nodes."""
    return write_tiny_sweep(folder, train_tokens=LONG_TOKENS, seed=[0, 1, 2])


def on(cluster: Any) -> tuple[str, ...]:
    return ("--engine", "ray", "--engine-option", f"address={cluster.address}")


def two_at_work(root: Path) -> list[int]:
    """The processes of two cells, some steps after they have started."""
    wait_for(lambda: len(at_work(root)) == 2)
    return at_work(root)


def all_gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("with_cells", "before"), [(False, {"released"}), (True, {"died", "lost"})]
)
def test_the_cells_of_a_killed_node_are_trained_on_another(
    cluster: Any, tmp_path: Path, undisturbed: dict[str, Any], with_cells: bool, before: set[str]
) -> None:
    sweep, root = write_sweep(tmp_path), tmp_path / "runs"
    with launch(sweep, root, *on(cluster)) as launcher:
        two_at_work(root)
        cluster.kill_node(0, with_cells=with_cells)
        if not with_cells:
            wait_for(lambda: len(claim_pids(root)) == 1)
            cluster.add_node()
            # One node is dead: the other cell runs on the one that has come.
            wait_for(lambda: len(claim_pids(root)) == 2)
        output, _ = launcher.communicate(timeout=400)
    assert launcher.returncode == 0, output
    assert results(root) == undisturbed
    # The cell of the node that died was taken up again, and no other was: from the checkpoint
    # that it wrote when its worker was gone, or anew when the power was.
    *others, taken_up = sorted(ends(root).values(), key=len)
    assert others == [["ended"]] * 2
    assert taken_up[0] in before
    assert taken_up[1:] == ["ended"]
    assert Store(root).refused() == []
    # What Ray has to say of the node stays in its logs.
    assert "raylet" not in output


@pytest.mark.slow
def test_a_killed_launch_leaves_checkpoints_and_goes_on(
    cluster: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    sweep, root = write_sweep(tmp_path), tmp_path / "runs"
    with launch(sweep, root, *on(cluster)) as launcher:
        pids = two_at_work(root)
        launcher.kill()
        launcher.communicate()
    wait_for(lambda: all_gone(pids))
    assert list(ends(root).values()) == [["released"]] * 2
    assert len(list(root.glob("cells/*/checkpoint.pt"))) == 2
    code, output = launched(sweep, root, *on(cluster))
    assert code == 0, output
    assert results(root) == undisturbed
    assert sorted(ends(root).values()) == [["ended"]] + [["released", "ended"]] * 2


@pytest.mark.slow
def test_a_dead_head_ends_the_launch_in_one_line_and_the_next_goes_on(
    cluster: Any, tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    from tests.ray_cluster import ray_cluster

    sweep, root = write_sweep(tmp_path), tmp_path / "runs"
    with launch(sweep, root, *on(cluster)) as launcher:
        pids = two_at_work(root)
        cluster.kill_head()
        # Ray itself would end the process after a minute, without a word.
        output, _ = launcher.communicate(timeout=55)
    assert launcher.returncode == 2, output
    line = output.splitlines()[-1]
    assert line.startswith("error: the head of the Ray cluster "), output
    assert line.endswith("the same command goes on from the checkpoints")
    assert "Traceback" not in output
    wait_for(lambda: all_gone(pids))
    assert not any(held.exists() for held in root.glob("cells/*/claim.json"))
    with ray_cluster(nodes=2) as another:
        code, output = launched(sweep, root, *on(another))
    assert code == 0, output
    assert results(root) == undisturbed


@pytest.mark.slow
def test_two_cells_share_a_gpu(cluster: Any, tmp_path: Path) -> None:
    # Ray goes by what a node declares: its two cells see GPU 0, and train without it here.
    cluster.add_node(num_cpus=4, num_gpus=1)
    sweep, root = write_sweep(tmp_path), tmp_path / "runs"
    with launch(sweep, root, *on(cluster), "--engine-option", "gpus_per_cell=0.5") as launcher:
        for pid in two_at_work(root):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            assert b"CUDA_VISIBLE_DEVICES=0" in environment
            assert b"OMP_NUM_THREADS=1" in environment
        launcher.send_signal(signal.SIGTERM)
        output, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 130, output
    # There was room for the third cell on processors alone.
    assert sorted(ends(root).values()) == [["released"]] * 2


@pytest.mark.slow
def test_a_cell_on_two_devices_needs_a_node_that_has_both(cluster: Any, tmp_path: Path) -> None:
    sweep, root = write_tiny_sweep(tmp_path, train_tokens=2560), tmp_path / "runs"
    code, output = launched(sweep, root, *on(cluster), "--devices", "2")
    assert code == 2
    assert output.startswith("error: a cell on 2 devices asks one node for 2 CPUs and 0 GPUs; ")
    assert output.count("\n") == 1
    cluster.add_node(num_cpus=2)
    code, output = launched(sweep, root, *on(cluster), "--devices", "2")
    assert code == 0, output
    ((run_id, found),) = results(root).items()
    assert found["status"] == "done"
    record = Store(root).record(run_id)
    assert record is not None
    assert record.provenance.devices == 2


@pytest.mark.slow
def test_a_node_without_the_store_is_found_before_a_cell_is_started(
    cluster: Any, tmp_path: Path
) -> None:
    ray = pytest.importorskip("ray")
    from scaling.engines.ray_cluster import check_nodes, connected

    root = tmp_path / "runs"
    mark_store(root)
    mine = facts(root)
    with connected(cluster.address) as found:
        able = [node for node in found.nodes if node.resources.get("CPU")]
        assert len(able) == 2
        check_nodes(able, root, mine)
        with pytest.raises(EngineError, match=r"elsewhere is not there; mount the store"):
            check_nodes(able, tmp_path / "elsewhere", mine)
        with pytest.raises(EngineError, match=r"has Python 2\.7|this launch has Python 2\.7"):
            check_nodes(able, root, mine | {"Python": "2.7"})
    assert not ray.is_initialized()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:PORT", "nonsense"])
def test_no_cluster_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `auto` finds when the machine's cluster has died: its address, and nobody there.
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    address = address.replace("PORT", str(port))
    sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
    options = ("--engine", "ray", "--engine-option", f"address={address}")
    code, output = launched(sweep, tmp_path / "runs", *options)
    assert code == 2
    assert output.startswith("error: ")
    assert "`ray start --head`" in output
    assert output.count("\n") == 1
