"""The Slurm engine without Slurm: its options, the script, what is submitted and what is not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scaling import machine
from scaling.commands.cancel import _leave_slurm
from scaling.engines import slurm
from scaling.engines.slurm_queue import read_submissions
from scaling.engines.slurm_script import Request, sbatch_script
from scaling.errors import EngineError
from scaling.jobs import Job
from scaling.store import Store
from tests.test_cli import scaling
from tests.tiny_sweep import write_tiny_sweep

CHAIN = tuple(
    Job(run_id=f"{i:016x}", shorter=() if i % 2 else (f"{i + 1:016x}",), sweep="tiny")
    for i in range(8)
)

# Answers as Slurm does, from files beside it: what it was asked, and which tasks there are.
FAKE = """#!{python}
import pathlib, sys
folder = pathlib.Path(__file__).parent
name = pathlib.Path(__file__).name
with (folder / "asked").open("a") as asked:
    asked.write(" ".join([name, *sys.argv[1:]]) + "\\n")
tasks = folder / "tasks"
if name == "sbatch":
    text = pathlib.Path(sys.argv[-1]).read_text()
    number = int(text.split("--array=0-")[1].split("%")[0]) + 1
    job = str(700 + (folder / "asked").read_text().count("sbatch"))
    with tasks.open("a") as file:
        file.write(f"{{job}} PENDING\\n" * number)
    print(job)
elif name == "squeue" and (folder / "error").exists():
    sys.exit((folder / "error").read_text())
elif name == "squeue" and tasks.exists():
    print(tasks.read_text(), end="")
elif name == "scancel":
    tasks.unlink()
"""


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with stand-ins for Slurm's commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        (folder / name).write_text(FAKE.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def prepared(folder: Path, jobs: tuple[Job, ...] = CHAIN) -> Path:
    for job in jobs:
        (folder / "runs" / "cells" / job.run_id).mkdir(parents=True)
    return folder / "runs"


def launch(
    root: Path, jobs: tuple[Job, ...] = CHAIN, workers: int | None = None, **options: str
) -> None:
    slurm.run_jobs(root, jobs, workers=workers, display=None, options=options)  # type: ignore[arg-type]


def script(request: Request, *, devices: int = 1, tasks: int = 3) -> str:
    folder = Path("/shared/my runs/s/slurm")
    return sbatch_script(
        request,
        name="scaling-s",
        folder=folder,
        root=folder.parents[1],
        devices=devices,
        tasks=tasks,
    )


def test_the_script_asks_for_what_the_options_say(tmp_path: Path) -> None:
    setup = tmp_path / "modules of mine.sh"
    setup.touch()
    request = Request.of(
        {
            "partition": "gpu",
            "time": "04:00:00",
            "gres": "gpu:a100:1",
            "cpus_per_task": "8",
            "array_parallelism": "2",
            "constraint": "[rack1|rack2]",
            "cells_per_task": "4",
            "setup": str(setup),
            "slurm_exclusive": "true",
        }
    )
    folder = "/shared/my runs/s/slurm"
    assert script(request).splitlines() == [
        "#!/bin/bash",
        "",
        "# Parameters",
        "#SBATCH --array=0-2%2",
        "#SBATCH --constraint='[rack1|rack2]'",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --exclusive",
        "#SBATCH --gres=gpu:a100:1",
        "#SBATCH --job-name=scaling-s",
        "#SBATCH --nodes=1",
        "#SBATCH --open-mode=append",
        f"#SBATCH --output='{folder}/%A_%a.log'",
        "#SBATCH --partition=gpu",
        "#SBATCH --requeue",
        "#SBATCH --signal=B:USR1@90",
        "#SBATCH --time=04:00:00",
        "",
        "# setup",
        f"source '{setup}' || exit",
        "",
        "# command",
        "export SUBMITIT_EXECUTOR=slurm",
        f"exec {sys.executable} -u -m scaling.engines.slurm_task --root '/shared/my runs' "
        f"--jobs '{folder}/jobs.json' --devices 1 --cells 4",
    ]


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({"gpus_per_node": "1", "cpus_per_task": "8"}, ["gpus-per-node=4", "cpus-per-task=32"]),
        ({"gpus_per_node": "h100:1"}, ["gpus-per-node=h100:4", "cpus-per-task=4"]),
        ({"gres": "gpu"}, ["gres=gpu:4", "cpus-per-task=4"]),
        ({}, ["cpus-per-task=4"]),
    ],
)
def test_cells_on_several_devices_get_as_many(options: dict[str, str], lines: list[str]) -> None:
    text = script(Request.of(options | {"cells_per_task": "2"}), devices=4)
    for line in lines:
        assert f"#SBATCH --{line}\n" in text
    assert text.rstrip().endswith("--devices 4 --cells 1")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"partition": "gpu\n#SBATCH --uid=0"}, r"partition='gpu\\n.* shell"),
        ({"account": "$(id)"}, r"account='\$\(id\)' holds what a shell"),
        ({"qos": "a;b"}, r"letters, digits and"),
        ({"mem": ""}, "mem=''"),
        ({"partitoin": "gpu"}, r"no option 'partitoin'; its options: account, .*slurm_NAME"),
        ({"slurm_teardown": "x"}, "slurm_teardown is the engine's own"),
        ({"setup": "module load cuda"}, r"setup='module load cuda' is no file"),
        ({"wait": "yes"}, "wait='yes' is neither true nor false"),
        ({"cells_per_task": "0"}, "cells_per_task='0' is not a whole number"),
        ({"array_parallelism": "many"}, "array_parallelism='many' is not a whole number"),
        ({"time": "1"}, r"time=1 is 60 seconds, and Slurm warns 90 seconds before"),
        ({"time": "00:01:30"}, "time=00:01:30 is 90 seconds"),
        ({"time": "1-", "signal_delay_s": "x"}, "signal_delay_s='x' is not a whole number"),
    ],
)
def test_an_option_that_cannot_be_passed_on_is_refused(options: dict[str, str], line: str) -> None:
    with pytest.raises(EngineError, match=line):
        Request.of(options)


@pytest.mark.parametrize("time", ["2", "1:31", "00:01:31", "0-1", "1-00:00", "UNLIMITED"])
def test_a_time_that_leaves_room_for_the_warning_is_taken(time: str) -> None:
    assert Request.of({"time": time}).parameters == {"time": int(time) if time == "2" else time}


def test_a_parameter_that_submitit_has_not_is_named() -> None:
    with pytest.raises(EngineError, match="submitit has no parameter 'colour'"):
        script(Request.of({"slurm_colour": "red"}))


def test_without_slurm_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match="sbatch not found: the engine slurm works where"):
        launch(prepared(tmp_path))


def test_a_second_launch_submits_what_is_missing(
    tmp_path: Path, commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = prepared(tmp_path)
    launch(root, workers=3)
    assert "8 cells: submitted job 701, 3 worker tasks" in capsys.readouterr().out
    launch(root, workers=3)
    printed = capsys.readouterr().out
    assert "of 3 worker tasks there are 3 PENDING already" in printed
    assert "nothing to submit" in printed
    # There are four chains of two cells: a fifth worker would have nothing to do.
    launch(root, workers=16)
    assert "submitted job 702, 1 worker tasks" in capsys.readouterr().out
    asked = (commands / "asked").read_text()
    assert asked.count("sbatch") == 2
    assert "--jobs=701,702" in asked
    submissions = read_submissions(Store(root), CHAIN[0].sweep)
    assert [(found.job_id, found.tasks) for found in submissions] == [("701", 3), ("702", 1)]


def test_ctrl_c_while_waiting_leaves_the_tasks_and_says_how_to_watch_them_again(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    root = tmp_path / "runs"
    monkeypatch.setattr(slurm, "time", SimpleNamespace(sleep=pressed))
    words = [str(write_tiny_sweep(tmp_path)), "--root", str(root), "--engine", "slurm"]
    words += ["--engine-option", "wait=true"]
    monkeypatch.setattr(sys, "argv", ["scaling", "run", *words])
    result = scaling("run", *words)
    assert result.exit_code == 130, result.output
    assert result.output.splitlines()[-2:] == [
        "the tasks go on without this display",
        f"watch them again with: scaling run {' '.join(words)}",
    ]
    assert "scancel" not in (commands / "asked").read_text()


def test_a_submission_asks_nothing_of_the_machine_where_it_is_made(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked() -> None:
        raise AssertionError("a login node has no GPUs and little memory, and trains nothing")

    for name in ("gpu_bytes", "gpus", "physical_cores"):
        monkeypatch.setattr(machine, name, asked)
    words = ("--root", tmp_path / "runs", "--engine", "slurm", "--wandb", "disabled")
    result = scaling("run", write_tiny_sweep(tmp_path), *words)
    assert "submitted job 701" in result.output
    forecast = json.loads((tmp_path / "runs" / "tiny" / "plan.json").read_bytes())
    assert [cell["fits"] for cell in forecast["cells"]] == [None, None]
    assert forecast["device_memory_bytes"] is None


def test_tasks_that_are_about_to_leave_do_not_count(tmp_path: Path, commands: Path) -> None:
    root = prepared(tmp_path)
    launch(root, workers=2)
    (commands / "tasks").write_text("701 COMPLETING\n701 RUNNING\n")
    launch(root, workers=2)
    assert [s.tasks for s in read_submissions(Store(root), "tiny")] == [2, 1]


def test_each_number_of_devices_has_its_array(tmp_path: Path, commands: Path) -> None:
    jobs = (*CHAIN[:2], Job(run_id="f" * 16, devices=4, sweep="tiny"))
    root = prepared(tmp_path, jobs)
    launch(root, jobs)
    found = read_submissions(Store(root), "tiny")
    assert [(s.devices, s.tasks) for s in found] == [(1, 1), (4, 1)]
    assert (root / "tiny" / "slurm" / "devices-4.sh").exists()


def test_a_launch_with_nothing_left_asks_nothing(tmp_path: Path, commands: Path) -> None:
    launch(prepared(tmp_path), ())
    assert not (commands / "asked").exists()


def test_nothing_is_submitted_when_the_queue_cannot_be_read(tmp_path: Path, commands: Path) -> None:
    root = prepared(tmp_path)
    launch(root)
    (commands / "error").write_text("slurm_load_jobs error: Unable to contact slurm controller")
    with pytest.raises(EngineError, match="Slurm refused: slurm_load_jobs error: Unable to"):
        launch(root)
    assert (commands / "asked").read_text().count("sbatch") == 1
    # A job that has gone from its memory is no error.
    (commands / "error").write_text("slurm_load_jobs error: Invalid job id specified")
    launch(root)
    assert (commands / "asked").read_text().count("sbatch") == 2


def test_a_refusal_of_sbatch_is_one_line(tmp_path: Path, commands: Path) -> None:
    root = prepared(tmp_path)
    refuses = "#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpo' >&2; exit 1\n"
    (commands / "sbatch").write_text(refuses)
    with pytest.raises(EngineError, match="Slurm refused: sbatch: error: invalid partition"):
        launch(root, partition="gpo")
    assert read_submissions(Store(root), "tiny") == []


def test_cancel_ends_the_arrays_that_have_tasks(tmp_path: Path, commands: Path) -> None:
    root = prepared(tmp_path)
    assert slurm.cancel(root, "tiny") == []
    launch(root, workers=2)
    assert slurm.cancel(root, "tiny") == ["701"]
    assert "scancel 701\n" in (commands / "asked").read_text()
    assert slurm.cancel(root, "tiny") == []


def test_scaling_cancel_takes_the_workers_out_of_the_queue(
    tmp_path: Path, commands: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = prepared(tmp_path)
    _leave_slurm(root, "tiny")
    assert capsys.readouterr().out == ""
    launch(root, workers=2)
    (commands / "error").write_text("slurm_load_jobs error: Unable to contact slurm controller")
    capsys.readouterr()
    _leave_slurm(root, "tiny")
    said = capsys.readouterr().out
    assert said.startswith("its Slurm jobs end by themselves when their turn comes: Slurm")
    (commands / "error").unlink()
    _leave_slurm(root, "tiny")
    assert capsys.readouterr().out == "taken out of Slurm's queue: 701\n"


@pytest.mark.parametrize("content", ["{", json.dumps({"schema_version": 9, "submissions": []})])
def test_a_strange_record_of_submissions_is_said(tmp_path: Path, content: Any) -> None:
    root = prepared(tmp_path)
    (root / "tiny").mkdir()
    (root / "tiny" / "slurm.json").write_text(content)
    with pytest.raises(EngineError, match=r"slurm\.json is no list of submissions"):
        slurm.cancel(root, "tiny")
