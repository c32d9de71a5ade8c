"""`scaling bench`: measures real steps, keeps what it found, and the launcher goes by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from scaling.bench import choice, measure
from scaling.bench.cache import peak_flops_per_second, read, write
from scaling.bench.choice import fastest, measured_workers
from scaling.bench.measure import BYTES, SETTINGS, USUAL, environment, machine_key, shares
from scaling.bench.subject import random_text, random_tokenizer
from scaling.cli import main


def scaling(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def layout(processes: int, d_model: int, speed: float) -> dict[str, float]:
    return {
        "processes": processes, "threads": 4 // processes, "d_model": d_model,
        "tokens_per_second": speed,
    }  # fmt: skip


# Wide models are faster with few processes, small ones with many.
LAYOUTS = [layout(4, 64, 100.0), layout(1, 64, 40.0), layout(4, 256, 8.0), layout(1, 256, 16.0)]


@pytest.mark.parametrize(
    ("tokens_by_width", "workers"),
    [
        ({32: 1000}, 4),
        ({256: 1000}, 1),
        ({64: 1000, 512: 1000}, 1),  # 10 + 125 s against 25 + 62.5 s
        ({64: 100_000, 256: 1000}, 4),  # 1000 + 125 s against 2500 + 62.5 s
    ],
)
def test_the_layout_that_is_done_first_is_taken(
    tokens_by_width: dict[int, int], workers: int
) -> None:
    assert fastest(LAYOUTS, tokens_by_width) == workers


def test_a_layout_that_is_hardly_faster_is_not() -> None:
    assert fastest([layout(4, 64, 100.0), layout(1, 64, 105.0)], {64: 1000}) == 4
    assert fastest([], {64: 1000}) is None


def test_nothing_measured_and_own_threads_leave_the_launcher_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(choice.machine, "gpus", lambda: 0)
    assert measured_workers(tmp_path, {256: 1000}) is None
    write(tmp_path, {"schema_version": 1, "machine": "another", "layouts": LAYOUTS})
    assert measured_workers(tmp_path, {256: 1000}) is None, "measured on another machine"
    write(tmp_path, {"schema_version": 1, "machine": machine_key(), "layouts": LAYOUTS})
    assert measured_workers(tmp_path, {256: 1000}) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert measured_workers(tmp_path, {256: 1000}) is None


def test_a_peak_is_that_of_the_precision_and_of_a_gpu_where_there_is_one(tmp_path: Path) -> None:
    core = {"matmul_flops_per_second": {"float32": 1e11, "bf16": 2e11}}
    gpu = {"matmul_flops_per_second": {"float32": 5e13, "bf16": 7e14}}
    for machine, gpus in (("cpu", []), ("gpu", [gpu])):
        content = {"schema_version": 1, "machine": machine, "limits": {"core": core, "gpus": gpus}}
        write(tmp_path, content)
    assert peak_flops_per_second(tmp_path, "cpu", "bf16") == 2e11
    assert peak_flops_per_second(tmp_path, "gpu", "bf16") == 7e14
    assert peak_flops_per_second(tmp_path, "cpu", "float64") is None
    assert peak_flops_per_second(tmp_path, "none", "bf16") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"m": {"schema_version": 99}}', '{"m": 3}'])
def test_a_cache_that_cannot_be_read_is_measured_anew(tmp_path: Path, content: str) -> None:
    (tmp_path / "machines.json").write_text(content)
    assert read(tmp_path, "m") is None
    write(tmp_path, {"schema_version": 1, "machine": "m"})
    assert read(tmp_path, "m") == {"schema_version": 1, "machine": "m"}


def test_settings_differ_in_what_they_are_named_after_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")  # of the user: not what is measured
    usual = environment(SETTINGS[USUAL])
    without = environment(SETTINGS["without the allocator settings"])
    assert usual.items() - without.items() == {
        (name, value) for name, value in usual.items() if name.startswith("MALLOC_")
    }
    assert without.items() <= usual.items()


def test_the_allocator_is_left_out_where_it_is_not_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.36"))
    assert measure.settings_here() == SETTINGS
    monkeypatch.setattr("platform.libc_ver", lambda: ("musl", ""))
    assert measure.settings_here().keys() == {USUAL, "bf16"}


def test_shares_of_the_cores() -> None:
    assert [shares(cores) for cores in (1, 2, 16)] == [[1], [1, 2], [1, 4, 16]]


def test_a_vocabulary_of_any_size_tells_its_bytes() -> None:
    tokenizer = random_tokenizer(4096)
    assert tokenizer.vocab_size == 4096
    assert len(set(tokenizer.pieces[4:])) == 4092
    text = random_text(BYTES)
    assert text.tokenizer.vocab_size == BYTES
    assert int(text.train.ids.max()) < BYTES
    with pytest.raises(ValueError, match="vocab_size=100"):
        random_tokenizer(100)


@pytest.mark.slow
def test_the_command_measures_once_and_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "WIDTHS", {64: (1, 1), 256: (1, 1)})
    monkeypatch.setattr(measure, "ROUNDS", 1)
    monkeypatch.setattr(measure, "SECONDS", 0.01)
    first = scaling("bench", "--root", tmp_path, "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert found["limits"]["core"]["matmul_flops_per_second"]["float32"] > 1e8
    assert found["widths"][0]["tokens_per_cpu_second"].keys() == SETTINGS.keys()
    again = scaling("bench", "--root", tmp_path, "--json")
    assert json.loads(again.stdout) == found, "it was kept"
    shown = scaling("bench", "--root", tmp_path)
    assert shown.exit_code == 0, shown.output
    for words in ("one core", "GFLOP/s", "without the allocator settings", "processes x"):
        assert words in shown.output
