"""The thread that owns one W&B run: opens it, writes rows, closes it; no error leaves it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

COUNTERS = ("progress/tokens", "progress/flops", "progress/step")

_INIT_SECONDS = 15.0
_FINISH_SECONDS = 60.0
_PATIENCE_SECONDS = 2 * _INIT_SECONDS + _FINISH_SECONDS

# What W&B gathers beside the rows costs more than a short run: listing the packages 75 ms, asking
# git 20 ms, a second helper process for the metrics of the machine. A user gets one back with the
# variable of its name, such as WANDB_X_DISABLE_STATS=false.
_SETTINGS: dict[str, Any] = {
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
    "label_disable": True,
    # A killed process loses what is not on disk yet; by default that is 15 s.
    "x_transaction_log_flush_interval": 2.0,
    # Both matter over a network only.
    "init_timeout": _INIT_SECONDS,
    "finish_timeout": _FINISH_SECONDS,
}

_log = logging.getLogger(__name__)

Job = Callable[[Any], None]


class WandbWriter(threading.Thread):
    """Runs jobs on a W&B run in their order; `close` waits until all is on disk.

    Args:
        init: arguments of `wandb.init`.
        root: the store; W&B writes under `<root>/wandb/` alone.
        mode: `offline` or `online`.
    Attributes:
        trouble: what broke, in one line; from then on every job is dropped.
    """

    def __init__(self, init: dict[str, Any], *, root: Path, mode: str) -> None:
        super().__init__(name="wandb-writer", daemon=True)
        self._init, self._root, self._mode = init, root, mode
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._opened = threading.Event()
        self._run: Any = None
        self._exit_code = 0
        self._closed = False
        self.trouble: str | None = None
        self._defined = set(COUNTERS)

    def put_row(self, row: Mapping[str, float]) -> None:
        self._put(lambda run: self._write_row(run, row))

    def close(
        self,
        summary: dict[str, Any],
        *,
        exit_code: int,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        """Writes the summary and ends the run; a second call does nothing.

        Offline this takes milliseconds; what a server does not take within `patience_seconds`
        stays on disk.
        """
        if self._closed or not self.is_alive():
            return
        self._put(lambda run: run.summary.update(summary))
        self._closed, self._exit_code = True, exit_code
        self._jobs.put(None)
        self.join(timeout=patience_seconds)
        if self.is_alive():
            self._give_up("it does not answer; `wandb sync` uploads what lies on disk")

    def wait_for_run(self) -> Any:
        """The open `wandb.Run`; None when there is none."""
        if self.is_alive():
            self._opened.wait()
        return self._run

    def run(self) -> None:
        try:
            with _SERVICE.in_use(self._root, self._mode):
                with _SERVICE.lock:
                    self._run = self._open()
                self._opened.set()
                try:
                    for job in iter(self._jobs.get, None):
                        self._do(job)
                finally:
                    self._run.finish(exit_code=self._exit_code)
        except BaseException as error:  # W&B reports some troubles by SystemExit
            self._give_up(_one_line(error))
        finally:
            self._opened.set()

    def _put(self, job: Job) -> None:
        if self.trouble is None and not self._closed:
            self._jobs.put(job)

    def _do(self, job: Job) -> None:
        if self.trouble is None:
            try:
                job(self._run)
            except Exception as error:
                self._give_up(_one_line(error))

    def _write_row(self, run: Any, row: Mapping[str, float]) -> None:
        # By exact name: W&B matches patterns in random order, and the first match wins.
        for key in row.keys() - self._defined:
            run.define_metric(key, step_metric=COUNTERS[0])
            self._defined.add(key)
        run.log(dict(row))

    def _open(self) -> Any:
        try:
            run = self._open_as(self._mode)
        except Exception as error:
            if self._mode == "offline":
                raise
            _SERVICE.restart("offline")
            run = self._open_as("offline")
            _log.warning(
                "W&B is offline for this run: %s; `wandb sync` uploads it later", _one_line(error)
            )
        for key in COUNTERS:
            run.define_metric(key)
        return run

    def _open_as(self, mode: str) -> Any:
        import wandb

        # `create_new` leaves a run of the user's own alone, and is never handed it instead.
        place = os.environ.get("WANDB_DIR") or self._root
        settings = quiet_settings(mode)
        return wandb.init(**self._init, dir=place, reinit="create_new", settings=settings)

    def _give_up(self, trouble: str) -> None:
        if self.trouble is None:
            self.trouble = trouble
            _log.warning("W&B stops for this run: %s; training goes on without it", trouble)


class _Service:
    """W&B's helper process: started with the first run of this process, stopped with the last.

    W&B itself stops it at the exit of the interpreter, which workers of `multiprocessing` skip.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._users = 0
        self._ours = False
        self._environment: dict[str, str | None] = {}

    @contextmanager
    def in_use(self, root: Path, mode: str) -> Iterator[None]:
        import wandb  # may fail: nothing has changed by then

        with self.lock:
            self._users += 1
            if self._users == 1:
                self._set_environment(root, mode)
                self._ours = wandb.run is None and "WANDB_SERVICE" not in os.environ
        try:
            if self._ours:
                # The mode of one run is not enough: W&B would import its network code, and might
                # ask for a key at the terminal.
                wandb.setup(quiet_settings(mode))
            yield
        finally:
            with self.lock:
                self._users -= 1
                if self._users == 0:
                    self._stop()

    def _set_environment(self, root: Path, mode: str) -> None:
        wanted = {"WANDB_MODE": mode}
        defaults = {
            # Unless told so before its start, W&B reports its own errors home, offline too.
            "WANDB_ERROR_REPORTING": "false",
            # What its user should know, the suite says.
            "WANDB_SILENT": "true",
            # Beside the runs: `wandb sync` looks there, and a home folder may be small.
            "WANDB_DATA_DIR": str(root / "wandb" / "data"),
            "WANDB_CACHE_DIR": str(root / "wandb" / "cache"),
        }
        wanted |= {name: value for name, value in defaults.items() if name not in os.environ}
        self._environment = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)

    def restart(self, mode: str) -> None:
        """Makes W&B forget a run that could not be opened; its id counts as in use until then."""
        import wandb

        if self._ours and self._users == 1:
            wandb.teardown()
            wandb.setup(quiet_settings(mode))

    def _stop(self) -> None:
        import wandb

        try:
            if self._ours and wandb.run is None:
                wandb.teardown()
        finally:
            for name, before in self._environment.items():
                if before is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = before


_SERVICE = _Service()
in_use = _SERVICE.in_use


def quiet_settings(mode: str) -> Any:
    """Settings of W&B that write and say no more than the suite needs."""
    import wandb

    known = wandb.Settings.model_fields
    wanted: dict[str, Any] = {
        name: value
        for name, value in _SETTINGS.items()
        if name in known and f"WANDB_{name.upper()}" not in os.environ
    }
    return wandb.Settings(**wanted, mode=mode, console="off", silent=True)  # type: ignore[arg-type]


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
