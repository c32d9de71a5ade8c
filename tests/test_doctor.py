"""`scaling doctor`: what it finds where something is amiss, and what it says to do."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import platform
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from click.testing import CliRunner, Result

from scaling import checks, machine
from scaling.checks import Check, hardware, install, store, tracking
from scaling.commands.doctor import doctor
from scaling.install import install_command

KEY = "0123456789abcdef" * 2 + "01234567"


def answer(answers: list[Check], name: str) -> Check:
    return next(check for check in answers if check.name == name)


def run_doctor(*arguments: str) -> Result:
    return CliRunner().invoke(doctor, arguments)


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def only(monkeypatch: pytest.MonkeyPatch, *answers: Check) -> None:
    monkeypatch.setattr(checks, "CHECKS", {"planted": lambda root: list(answers)})


def test_this_machine_is_usable_and_nothing_is_left_behind(tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = run_doctor("--root", str(tmp_path / "runs"), "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0, result.output
    assert found["usable"] is True
    assert {check["name"] for check in found["checks"]} >= {
        "python", "libraries", "datasets", "transformers", "ray", "submitit", "devices", "bf16",
        "compiler", "cores", "memory", "allocator", "store", "disk", "W&B", "corpus",
    }  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_check_exits_with_1_and_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = Check(name="python", verdict="ok", found="3.12.1")
    broken = Check(name="store", verdict="failed", found="read-only", remedy="use [--root]")
    only(monkeypatch, fine, broken)
    result = run_doctor()
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1:] == [
        ["ok", "python", "3.12.1"],
        ["failed", "store", "read-only", "use", "[--root]"],
    ]


def test_warnings_and_optional_things_leave_the_machine_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for verdict in ("warning", "optional"):
        amiss = Check(name="disk", verdict=verdict, found="1 GiB", remedy="free some")
        only(monkeypatch, amiss)
        result = run_doctor("--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["checks"] == [dataclasses.asdict(amiss)]


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(root: Path) -> list[Check]:
        raise ImportError("libcudart.so.12: cannot open")

    monkeypatch.setattr(checks, "CHECKS", {"devices": broken})
    (found,) = checks.run_checks(Path("runs"))
    assert (found.name, found.verdict) == ("devices", "failed")
    assert found.found == "ImportError: libcudart.so.12: cannot open"


def test_an_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.4")
    (found,) = install.check_python()
    assert (found.verdict, found.found) == ("failed", "3.10.4")
    assert found.remedy == "make an environment with Python >=3.11"


def test_libraries_out_of_range_are_named_with_the_range(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "psutil":
            raise metadata.PackageNotFoundError(name)
        return "2.5.1" if name == "torch" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = install.check_libraries()
    assert [check.name for check in found] == ["torch", "psutil"]
    assert all(check.verdict == "failed" for check in found)
    assert found[0].found == "2.5.1, needed is <2.14,>=2.6"
    assert found[0].remedy == "pip install 'torch<2.14,>=2.6'"
    assert found[1].found.startswith("not installed")


def test_missing_extras_are_optional_and_say_what_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", version)
    found = install.check_extras()
    assert {check.verdict for check in found} == {"optional"}
    remedy = f"for corpus hub:NAME: {install_command('hub')}"
    assert answer(found, "datasets").remedy == remedy


def test_a_checkout_and_an_installed_package_declare_the_same() -> None:
    text = """
        [project]
        requires-python = ">=3.11"
        dependencies = ["torch>=2.6,<2.14", "psutil>=6"]
        optional-dependencies = { hub = ["datasets>=3"], dev = ["scaling-suite[hub]", "mypy"] }
    """
    lines = [
        "torch<2.14,>=2.6",
        "psutil>=6",
        'datasets>=3; extra == "hub"',
        'scaling-suite[hub]; extra == "dev"',
        'mypy; extra == "dev"',
    ]
    declared = [
        install.from_project(tomllib.loads(text)["project"]),
        install.from_metadata(">=3.11", lines, extras=["hub", "dev"]),
    ]
    names = [
        (python, {extra: [(w.name, w.specifier) for w in wanted] for extra, wanted in all_.items()})
        for python, all_ in declared
    ]
    assert names[0] == names[1]


def test_gpus_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = SimpleNamespace(name="H100", total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: gpu)
    (found,) = hardware.check_devices()
    assert found.found == "cuda:0 H100, 80.0 GiB; cuda:1 H100, 80.0 GiB"


def test_slow_bf16_and_little_memory_have_remedies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "native_bf16", lambda: False)
    assert hardware.check_bf16()[0].verdict == "optional"
    memory = SimpleNamespace(available=2**30, total=2**33)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    found = answer(hardware.check_cores_and_memory(), "memory")
    assert (found.verdict, found.found) == ("warning", "1.0 GiB free of 8.0 GiB")


@pytest.mark.parametrize(
    ("script", "found", "remedy"),
    [
        ("echo 'x.cpp:1: fatal error: Python.h' >&2; exit 1", "fatal error", "python3-dev"),
        ("exit 1", "it fails without a word", "python3-dev"),
    ],
)
def test_a_compiler_without_headers_is_found_out(
    script: str, found: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    (check,) = hardware.check_compiler()
    assert check.verdict == "optional"
    assert found in check.found
    assert remedy in (check.remedy or "")


@pytest.mark.parametrize(
    ("libc", "preload", "verdict"),
    [
        (("glibc", "2.36"), "", "ok"),
        (("glibc", "2.31"), "", "optional"),
        (("", ""), "", "optional"),
        (("glibc", "2.36"), "/usr/lib/libjemalloc.so.2", "optional"),
    ],
)
def test_allocator_variables_need_glibc(
    libc: tuple[str, str], preload: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)
    monkeypatch.setenv("LD_PRELOAD", preload)
    assert hardware.check_allocator()[0].verdict == verdict


def test_a_store_without_hard_links_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    found = answer(store.check_store(tmp_path), "store")
    assert found.verdict == "failed"
    assert "no hard links" in found.found
    assert found.remedy == "choose another one with --root"
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdtemp(*arguments: Any, **options: Any) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    found = answer(store.check_store(tmp_path / "runs"), "store")
    assert found.verdict == "failed"
    assert found.found == f"{tmp_path / 'runs'}: read-only file system"
    assert found.remedy == "choose a place that can be written with --root"


def test_a_clock_that_is_wrong_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scaling import claims

    real = claims.server_seconds
    monkeypatch.setattr(claims, "server_seconds", lambda folder: real(folder) - 90)
    found = answer(store.check_store(tmp_path), "clock")
    assert found.verdict == "warning"
    assert "90 s away" in found.found


def test_a_key_is_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tracking, "_try_offline", lambda: None)
    assert tracking.check_wandb()[0].found == "offline, no key, and none is needed"
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine wandb.example login user password {KEY}\n")
    netrc.chmod(0o600)
    assert tracking.check_wandb()[0].found == "offline, no key, and none is needed"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example")
    assert tracking.check_wandb()[0].found == f"offline, a key in {netrc}"
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert tracking.check_wandb()[0].found == "offline, a key in WANDB_API_KEY"


def test_online_without_a_key_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    settings = tmp_path / "config" / "settings"
    settings.write_text("[default]\nbase_url = https://wandb.example\n")
    monkeypatch.setenv("WANDB_MODE", "online")
    (found,) = tracking.check_wandb()
    assert found.verdict == "warning"
    assert "no key for https://wandb.example" in found.found
    assert "wandb login" in (found.remedy or "")


def test_broken_and_disabled_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "_try_offline", lambda: "Error: wandb-core exited with code 2")
    assert tracking.check_wandb()[0].verdict == "warning"
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert tracking.check_wandb()[0].verdict == "ok"
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    assert tracking.check_wandb()[0].verdict == "warning"
