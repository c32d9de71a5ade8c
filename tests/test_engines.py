"""What every engine keeps to, on the real thing: a sweep is trained, told of, and gone on with."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from scaling.cli import main
from scaling.engines import ENGINES, check_options
from scaling.errors import EngineError
from scaling.store import Store
from tests.launches import (
    PATIENCE_SECONDS,
    at_work,
    claim_pids,
    ends,
    launch,
    launched,
    results,
    wait_for,
)
from tests.tiny_sweep import write_tiny_sweep

# Long enough to be caught at work.
LONG_TOKENS = 150_016


def _slurm() -> Iterator[tuple[str, ...]]:
    from tests.slurm_cluster import reason_to_skip, running_cluster

    if (reason := reason_to_skip()) is not None:
        pytest.skip(reason)
    with (
        # Not pytest's folder: the path of a socket may have a hundred characters.
        tempfile.TemporaryDirectory(prefix="slurm-") as folder,
        running_cluster(Path(folder)) as cluster,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in ("SLURM_CONF", "PATH"):
            patch.setenv(name, cluster.environment[name])
        yield ("--engine-option", "wait=true")


def _ray() -> Iterator[tuple[str, ...]]:
    pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
    from tests.ray_cluster import ray_cluster

    with ray_cluster() as cluster:
        yield ("--engine-option", f"address={cluster.address}")


def _local() -> Iterator[tuple[str, ...]]:
    yield ()


# engine -> its surroundings and the options of a launch that finds them.
SURROUNDINGS: dict[str, Callable[[], Iterator[tuple[str, ...]]]] = {
    "local": _local,
    "ray": _ray,
    "slurm": _slurm,
}
# Their workers were submitted, and go on when the launch that waits for them is interrupted.
OUTLIVE_THE_LAUNCH = ("slurm",)


@pytest.fixture(scope="module", params=sorted(SURROUNDINGS))
def engine(request: pytest.FixtureRequest) -> Iterator[tuple[str, ...]]:
    """Options of `scaling run` that have two cells trained at a time."""
    for options in SURROUNDINGS[request.param]():
        yield ("--engine", request.param, "--workers", "2", *options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the long sweep by the local engine, left alone."""
    folder = tmp_path_factory.mktemp("undisturbed")
    sweep = write_long_sweep(folder)
    code, output = launched(sweep, folder / "runs", "--workers", "2")
    assert code == 0, output
    return results(folder / "runs")


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of the wild sweep when each cell is trained alone."""
    folder = tmp_path_factory.mktemp("one_by_one")
    code, output = launched(write_wild_sweep(folder), folder / "runs", "--workers", "1")
    assert code == 1, output
    return results(folder / "runs")


def write_wild_sweep(folder: Path) -> Path:
    """Trunks with branches; half of them with a learning rate beyond all reason."""
    return write_tiny_sweep(folder, peak_lr=[0.004, 1e8], arch=["decoder", "encoder"])


def write_long_sweep(folder: Path) -> Path:
    """Two trunks, each with a branch."""
    return write_tiny_sweep(folder, train_tokens=[LONG_TOKENS, 2 * LONG_TOKENS], seed=[0, 1])


def test_every_engine_is_tested_here() -> None:
    assert set(SURROUNDINGS) == set(ENGINES)


@pytest.mark.slow
def test_a_sweep_is_trained_failures_are_told_and_nothing_is_done_twice(
    engine: tuple[str, ...], tmp_path: Path, one_by_one: dict[str, Any]
) -> None:
    sweep, root = write_wild_sweep(tmp_path), tmp_path / "runs"
    code, output = launched(sweep, root, *engine)
    assert code == 1, output
    found = results(root)
    assert len(found) == 8
    for result in found.values():
        wild = result["spec"]["peak_lr"] == 1e8
        assert result["status"] == ("diverged" if wild else "done")
        assert bool(result["reason"]) == wild
    assert output.count("diverged: ") == 4, output
    assert ends(root) == {run_id: ["ended"] for run_id in found}

    assert found == one_by_one

    written = {path: path.stat().st_mtime_ns for path in root.glob("cells/*/record.json")}
    code, output = launched(sweep, root, *engine)
    assert code == 1, output
    assert {path: path.stat().st_mtime_ns for path in root.glob("cells/*/record.json")} == written
    assert ends(root) == {run_id: ["ended"] for run_id in found}


@pytest.mark.slow
def test_an_interrupted_launch_goes_on_to_the_same_results(
    engine: tuple[str, ...], tmp_path: Path, undisturbed: dict[str, Any]
) -> None:
    sweep, root = write_long_sweep(tmp_path), tmp_path / "runs"
    with launch(sweep, root, *engine) as launcher:
        wait_for(lambda: len(at_work(root)) == 2)
        launcher.send_signal(signal.SIGINT)
        output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
    assert "Traceback" not in output
    assert launcher.returncode == 130, output
    if engine[1] in OUTLIVE_THE_LAUNCH:
        assert "the tasks go on without this display\nwatch them again with: scaling run " in output
    else:
        assert "go on with: scaling run " in output
        # Nothing goes on behind its back, and nothing is lost.
        assert claim_pids(root) == []
        assert list(root.glob("cells/*/checkpoint.pt"))

    code, output = launched(sweep, root, *engine)
    assert code == 0, output
    assert results(root) == undisturbed


@pytest.mark.slow
def test_a_cancelled_sweep_ends_at_its_checkpoints_and_goes_on_to_the_same_results(
    engine: tuple[str, ...], tmp_path: Path
) -> None:
    # Longer than two heartbeats: at one the cells are seen to train, at one they hear of it.
    changes = {"train_tokens": 4 * LONG_TOKENS, "seed": [0, 1]}
    sweep, root = write_tiny_sweep(tmp_path, **changes), tmp_path / "runs"
    with launch(sweep, root, *engine) as launcher:
        wait_for(lambda: len(list(root.glob("cells/*/progress.json"))) == 2)
        result = CliRunner().invoke(main, ["cancel", "tiny", "--root", str(root)])
        assert "2 running (at its checkpoint within about 5 s)" in result.output
        output, _ = launcher.communicate(timeout=PATIENCE_SECONDS)
    assert launcher.returncode == 1, output
    assert output.count("cancelled: ") == 2, output
    store = Store(root)
    assert set(store.states(store.run_ids()).values()) == {"cancelled"}
    assert list(ends(root).values()) == [["released"]] * 2
    assert len(list(root.glob("cells/*/checkpoint.pt"))) == 2

    code, output = launched(sweep, root, *engine)
    assert code == 0, output
    assert list(ends(root).values()) == [["released", "ended"]] * 2
    code, output = launched(sweep, tmp_path / "quiet", "--workers", "2")
    assert code == 0, output
    assert results(root) == results(tmp_path / "quiet")


@pytest.mark.slow
def test_an_unknown_option_is_told_in_one_line(engine: tuple[str, ...], tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path, train_tokens=2560)
    code, output = launched(sweep, tmp_path / "runs", *engine, "--engine-option", "colour=red")
    assert code == 2
    assert output.startswith(f"error: the engine {engine[1]} has no option 'colour'")
    assert output.count("\n") == 1
    assert not list(tmp_path.glob("runs/cells/*/record.json"))


def test_an_option_is_checked_by_its_name() -> None:
    check_options("ray", {"address": "auto"}, ("address",))
    with pytest.raises(EngineError, match="has no option 'adress'; its options: address"):
        check_options("ray", {"adress": "auto"}, ("address",))
