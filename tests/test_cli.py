"""The command line: fast to answer, one line for what a user can set right, honest exit codes."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import resource
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scaling import cli
from scaling.cli import COMMANDS, main
from scaling.commands.retry import RETRIABLE
from scaling.store import SETTLED, Store
from tests.tiny_sweep import tiny_parameters, write_tiny_sweep

ROOT = Path(__file__).parents[1]
OWN = ("plan", "run", "status", "logs", "cancel", "retry", "cell")


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_one_line(result: Result, message: str) -> None:
    """Exit code 2, and one line on stderr that begins with `error: ` and holds `message`."""
    assert result.exit_code == 2, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]


def in_fresh_process(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time\n"
        "from scaling.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'numpy', 'pandas', 'rich', 'yaml'}\n"
        "print(sorted(heavy & sys.modules.keys()), time.process_time())"
    )
    imported, _, seconds = in_fresh_process(code).splitlines()[-1].rpartition(" ")
    assert imported == "[]"
    # Of the processor's time, start of Python included: the machine may be busy.
    assert float(seconds) < 0.3


@pytest.mark.parametrize("command", OWN)
def test_each_command_has_help_with_examples_that_parse(
    command: str,
) -> None:
    result = scaling(command, "--help")
    assert result.exit_code == 0
    examples = re.findall(rf"^ *(?:Example: )?scaling {command} (.+)$", result.output, re.MULTILINE)
    assert examples
    module, _, function = COMMANDS[command][0].partition(":")
    for example in examples:
        words = shlex.split(example.partition(" && ")[0], comments=True)
        getattr(importlib.import_module(module), function).make_context(command, words)


def test_every_command_that_is_named_exists() -> None:
    listed = scaling("--help").output
    for command, (target, line) in COMMANDS.items():
        assert f"  {command} " in listed
        assert line in listed
        module, _, function = target.partition(":")
        if find_spec(module) is not None:
            assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_the_trainer_s_commands_never_import_the_analysis() -> None:
    code = (
        "import sys\n"
        "import scaling.commands.run, scaling.commands.plan, scaling.sweep, scaling.engines.local\n"
        "print([name for name in sys.modules if name.partition('.')[0] == 'analysis'])"
    )
    assert in_fresh_process(code).strip() == "[]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """A sweep with one cell that diverges at once, run by the real command."""
    folder = tmp_path_factory.mktemp("cli")
    sweep = write_tiny_sweep(
        folder, name="mixed", peak_lr=[0.004, 1e18], train_tokens=[2560], warmup_tokens=0
    )
    root = folder / "runs"
    return sweep, root, scaling("run", sweep, "--root", root, "--wandb", "disabled")


def test_a_cell_that_fails_is_named_with_its_reason_and_exit_code_1(trained: Any) -> None:
    _, root, result = trained
    assert result.exit_code == 1, result.output
    assert f"mixed: 1 of 2 cells are done, in {root / 'cells'}" in result.output
    assert "  diverged: arch=decoder size=1x16x2 train_tokens=2560 seed=0 peak_lr=1e+18" in (
        result.output
    )
    assert "the training loss is not finite" in result.output


def test_a_second_run_is_quick_and_trains_nothing(trained: Any) -> None:
    sweep, root, _ = trained
    before = {path: path.stat().st_mtime_ns for path in root.glob("cells/*/*")}
    arguments = ["-m", "scaling", "run", str(sweep), "--root", str(root)]
    started = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 1
    assert {path: path.stat().st_mtime_ns for path in root.glob("cells/*/*")} == before
    # Of the processor's time, imports included: the machine may be busy.
    assert ended.ru_utime + ended.ru_stime - started.ru_utime - started.ru_stime < 4.0


def test_status_tells_the_state_of_each_cell(trained: Any) -> None:
    sweep, root, _ = trained
    for given in ("mixed", sweep):
        found = json.loads(scaling("status", given, "--root", root, "--json").output)
        assert found["counts"] == {"done": 1, "diverged": 1}
        states = {row["labels"]["peak_lr"]: row["state"] for row in found["cells"]}
        assert states == {0.004: "done", 1e18: "diverged"}
    overview = json.loads(scaling("status", "--root", root, "--json").output)
    assert overview["sweeps"] == {"mixed": {"done": 1, "diverged": 1}}
    assert "1 diverged, 1 done" in scaling("status", "mixed", "--root", root).output


def test_another_sweep_shares_what_is_trained(trained: Any) -> None:
    sweep, root, _ = trained
    arguments = ("run", sweep, "--root", root, "--name", "shared", "--set", "peak_lr=0.004")
    before = len(Store(root).run_ids())
    result = scaling(*arguments)
    assert result.exit_code == 0, result.output
    assert "shared: 1 of 1 cells are done" in result.output
    assert len(Store(root).run_ids()) == before


def test_retry_takes_only_what_it_is_told_and_never_what_is_done(trained: Any) -> None:
    sweep, root, _ = trained
    assert set(RETRIABLE) == SETTLED - {"done"}
    untouched = scaling("retry", sweep, "--root", root, "--only", "failed")
    assert untouched.output == "mixed: no cell is failed\n"
    result = scaling("retry", "mixed", "--root", root)
    # The sweep is no bundled one, so that its name alone would not find it.
    again = f"scaling run {root / 'mixed' / 'sweep.yaml'} --root {root}"
    assert result.output == f"mixed: pending again: 1 diverged; train them with: {again}\n"
    found = json.loads(scaling("status", "mixed", "--root", root, "--json").output)
    assert found["counts"] == {"done": 1, "pending": 1}


def test_plan_lists_cells_exclusions_and_the_total(tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path, limits={"min_steps": 15})
    arguments = ("plan", sweep, "--root", tmp_path / "runs", "--no-calibration", "--workers", 2)
    output = scaling(*arguments).output
    assert (
        "excluded: arch=decoder size=1x16x2 train_tokens=2560 seed=0: steps=10 is under" in output
    )
    assert "tiny: 1 cells, 1 left, 1 excluded; " in output
    found = json.loads(scaling(*arguments, "--json").output)
    assert [cell["train_tokens"] for cell in found["cells"]] == [5120]
    assert found["excluded"][0]["excluded"] == "steps=10 is under min_steps=15"


def test_an_agent_s_point_is_trained_and_an_excluded_one_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    point = tmp_path / "point.json"
    values = tiny_parameters(tmp_path, train_tokens=2560, limits={"min_steps": 11})
    point.write_text(json.dumps(values))
    arguments = ("cell", point, "--root", tmp_path / "runs", "--wandb", "disabled")
    excluded = scaling(*arguments)
    assert (excluded.exit_code, excluded.output) == (
        0,
        "excluded: steps=10 is under min_steps=11\n",
    )
    point.write_text(json.dumps(values | {"limits": {}}))
    result = scaling(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith(" done")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("arch=decodr", "arch='decodr' is unknown; did you mean 'decoder'?"),
        ("d_model=30", "d_model=30 is not divisible by n_head=4; the nearest width that is: 32"),
        ("peak_lr=3e-4", "YAML reads 3e-4 as text: write 3.0e-4"),
        ("mask_rte=0.4", "parameter 'mask_rte' is unknown; did you mean 'mask_rate'?"),
        ("limits={min_steps: 100000}", "has no cells: all 2 are excluded, the first"),
        ("seq_len", "--set 'seq_len' is not KEY=VALUE; write --set seq_len=128"),
        ("seed=[1", "the value is not YAML"),
        ("corpus=files:/nowhere.txt", "/nowhere.txt"),
    ],
)
def test_wrong_settings_are_one_line(tmp_path: Path, setting: str, message: str) -> None:
    sweep = write_tiny_sweep(tmp_path, n_head=4)
    for command in ("plan", "run"):
        result = scaling(command, sweep, "--root", tmp_path / "runs", "--set", setting)
        assert_one_line(result, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "text.txt"),
        (b"\x00\xff\xfe\x80" * 64, "text.txt"),
        (b"a few words\n\n" * 4, "text.txt"),
    ],
    ids=["empty", "binary", "short"],
)
def test_a_text_that_does_not_serve_is_one_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    text = tmp_path / "text.txt"
    text.write_bytes(content)
    sweep = write_tiny_sweep(tmp_path)
    arguments = ("--root", tmp_path / "runs", "--set", f"corpus=files:{text}")
    assert_one_line(scaling("run", sweep, *arguments), message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "quikstart"), "sweep 'quikstart' is neither a file nor bundled; did you mean"),
        (("plan", "missing.yaml"), "missing.yaml: no such file or directory; check the path"),
        (("status", "nothing"), "sweep 'nothing' is not in "),
        (("retry", "nothing"), "sweep 'nothing' is not in "),
        (("runn",), "No such command 'runn'; did you mean 'run'?"),
        (("run",), "Missing argument 'SWEEP'; see `main run --help`"),
        (("run", "quickstart", "--workers", "0"), "Invalid value for '--workers'"),
        (("sync",), "runs holds no cells; give the store with --root"),
        (("generate", "0123"), "the store holds no cell; give the folder of another with --root"),
        (("evaluate", "nothing"), "sweep 'nothing' is not in "),
        (("cell", "missing.json"), "missing.json: no such file or directory"),
    ],
)
def test_wrong_usage_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_one_line(scaling(*arguments), message)


@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_full_disk_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return write(descriptor, data)  # a pipe
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sweep = write_tiny_sweep(tmp_path)
    monkeypatch.setattr(os, "write", full)
    result = scaling(command, sweep, "--root", tmp_path / "runs")
    assert_one_line(result, "no space left on device, ")
    assert str(tmp_path / "runs") in result.stderr
    assert "bytes are free; free some and run again" in result.stderr


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 KiB; skips where this user may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", str(disk)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no right to mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_fills_up_in_training_stops_the_launch(tiny_disk: Path, tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path)
    root = tiny_disk / "runs"
    # The text is in the cache; what no longer fits is a checkpoint or the weights.
    (tmp_path / "cache").mkdir()
    root.mkdir()
    (root / "cache").symlink_to(tmp_path / "cache")
    (tiny_disk / "ballast").write_bytes(b"\0" * (56 << 10))
    result = scaling("run", sweep, "--root", root, "--wandb", "disabled")
    assert_one_line(result, "no space left on device, ")
    (tiny_disk / "ballast").unlink()
    assert set(Store(root).states(Store(root).run_ids()).values()) == {"pending"}


def test_a_store_that_may_not_be_written_is_one_line(tiny_disk: Path, tmp_path: Path) -> None:
    sweep = write_tiny_sweep(tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    result = scaling("run", sweep, "--root", tiny_disk / "runs")
    assert_one_line(result, "read-only file system; choose a place that can be written with --root")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(name: str) -> Path:
        return Path(str(int("no number")))

    monkeypatch.setattr("scaling.sweep_file.find_sweep", broken)
    result = scaling("plan", "quickstart", "--root", tmp_path)
    assert isinstance(result.exception, ValueError)
    assert cli.main.name == "main"


@pytest.mark.parametrize(
    ("then", "ended"),
    [
        ("raise AttributeError('half imported')", (130, "stopped\n")),
        ("interruption.check()", (130, "stopped\n")),
        ("sys.exit(1)", (1, "")),
    ],
)
def test_ctrl_c_that_an_import_swallows_is_heard(then: str, ended: tuple[int, str]) -> None:
    script = (
        "import os, signal, sys, scaling.cli\n"
        "from scaling import interruption\n"
        "from scaling.__main__ import main\n"
        "def command(**_):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        f"    {then}\n"
        "scaling.cli.main = command\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == ended


def test_ctrl_c_ends_any_command_with_one_word_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scaling.commands.options.one_run", pressed)
    monkeypatch.setattr("scaling.commands.export.one_run", pressed)
    result = CliRunner().invoke(main, ["export", "0123", "out"])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "stopped\n")
