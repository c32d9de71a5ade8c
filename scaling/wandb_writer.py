"""The thread that owns one W&B run: opens it, writes rows, closes it; no error leaves it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Full, Queue
from typing import Any

COUNTERS = ("progress/tokens", "progress/flops", "progress/step")

_INIT_SECONDS = 15.0
_FINISH_SECONDS = 60.0
# Offline all ends in milliseconds, and a disk that hangs stops the training itself.
_OFFLINE_PATIENCE_SECONDS = 90.0
# For a server, a cell waits at its end no longer than this share of the time that it ran, or than
# the least; when that has happened, no cell of the store tries the server for a while. So what a
# server costs that is down, slow or refuses is under 1 % of the time of a worker.
_PATIENCE_SHARE = 0.01
_LEAST_PATIENCE_SECONDS = 5.0
_RETRY_SERVER_SECONDS = 600.0
# Rows that wait for a server that is slow to open; a run has a few dozen.
_MAX_WAITING = 10_000

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
        if mode == "online" and Server(root).is_to_be_left_alone():
            mode = "offline"
        self._init, self._root, self._mode = init, root, mode
        self._jobs: Queue[Job | None] = Queue(_MAX_WAITING)
        self._began = time.monotonic()
        self._server = Server(root)
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
        patience_seconds: float | None = None,
    ) -> None:
        """Writes the summary and ends the run; a second call does nothing.

        Offline this takes milliseconds. What a server does not take within `patience_seconds`
        (by default at most 1 % of the time that the run took, or 5 s) goes on being sent while the
        next cell trains, and is sent by `scaling sync` otherwise.
        """
        if self._closed or not self.is_alive():
            return
        self._put(lambda run: run.summary.update(summary))
        self._closed, self._exit_code = True, exit_code
        is_online = self._mode == "online"
        if patience_seconds is None:
            patience_seconds = self._patience_seconds()
        with contextlib.suppress(Full):
            self._jobs.put_nowait(None)
        self.join(timeout=patience_seconds)
        if not is_online and self.is_alive():
            self._give_up("the disk does not answer")
        elif is_online and self.is_alive():
            # The thread goes on; whatever it does not get done, `scaling sync` does.
            self._server.failed("it does not answer")
        elif self._mode == "online" and self.trouble is None:
            self._server.answered()

    def _patience_seconds(self) -> float:
        if self._mode != "online":
            return _OFFLINE_PATIENCE_SECONDS
        share = _PATIENCE_SHARE * (time.monotonic() - self._began)
        return min(max(_LEAST_PATIENCE_SECONDS, share), _FINISH_SECONDS)

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
        """Never waits: training calls this."""
        if self.trouble is None and not self._closed:
            try:
                self._jobs.put_nowait(job)
            except Full:
                self._give_up(f"{_MAX_WAITING} rows wait for it; `scaling sync` sends them later")

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
            self._mode = "offline"
            self._server.failed(_one_line(error))
            _SERVICE.restart("offline")
            run = self._open_as("offline")
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


class Server:
    """What the workers of one store know of the W&B server: whether it failed a while ago.

    The mark lies in the store, so that of many workers one pays for finding out, and one says so.
    """

    def __init__(self, root: Path) -> None:
        self._mark = root / "wandb" / "server-failed"

    def is_to_be_left_alone(self) -> bool:
        try:
            return time.time() - self._mark.stat().st_mtime < _RETRY_SERVER_SECONDS
        except OSError:
            return False

    def failed(self, trouble: str) -> str:
        """Notes it, and warns unless it had failed before; returns `trouble`."""
        with contextlib.suppress(OSError):
            self._mark.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._mark.open("x").close()
            except FileExistsError:
                os.utime(self._mark)
                _log.info("W&B is offline for this run: %s", trouble)
                return trouble
        _log.warning(
            "W&B is offline for this run: %s; training goes on, further runs try the server every "
            "%.0f min, and `scaling sync` sends what is missing",
            trouble,
            _RETRY_SERVER_SECONDS / 60,
        )
        return trouble

    def answered(self) -> None:
        with contextlib.suppress(OSError):
            self._mark.unlink()


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
