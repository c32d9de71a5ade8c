"""Makes the report of a sweep again when cells have ended, in a process of its own.

A report costs seconds to minutes of one core, and the machine may be training. The process runs at
low priority and rests ten times as long as it worked; while the sweep runs it makes the quick form
(fewer bootstrap draws, no checks), and the whole report at the end. Nothing is written into the
store.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scaling.logs import harmless
from scaling.store import ENDED
from scaling.words import duration

if TYPE_CHECKING:
    from scaling.sweep_status import SweepStatus

# The trainer imports nothing of the analysis, so the report is made by running its module.
_MODULE = "analysis.report.live_page"
_REST = 10.0
_SECONDS_TO_STOP = 5.0


class ReportMaker:
    """The newest report of one sweep, and the process that makes the next one.

    Attributes:
        note: what a reader is told of it.
        is_final: it holds all that the sweep found, with all draws.
    """

    def __init__(self, sweep_folder: Path, folder: Path) -> None:
        self._source, self._page = sweep_folder, folder / "report.html"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._made_of: tuple[str, bool] | None = None
        self._rests_until = 0.0
        self.note = "The report is being made."
        self.is_final = False

    def page(self) -> bytes | None:
        """The report as it was last made; None before the first one."""
        try:
            return self._page.read_bytes()
        except FileNotFoundError:
            return None

    def look(self, status: SweepStatus) -> None:
        """Starts the next report if there is something new and the last one's rest is over."""
        with self._lock:
            # The first one comes quickly, also of a sweep that is over.
            is_final = status.is_over and self._made_of is not None
            wanted = (_ended(status), is_final)
            if self._process is not None or wanted == self._made_of:
                return
            if time.monotonic() < self._rests_until and not status.is_over:
                return
            self._made_of, self.is_final = wanted, False
            command = [sys.executable, "-m", _MODULE, str(self._source), str(self._page)]
            command += [] if is_final else ["--quick"]
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            thread = threading.Thread(
                target=self._await, args=(self._process, is_final), daemon=True
            )
            thread.start()

    def _await(self, process: subprocess.Popen[str], is_final: bool) -> None:
        began = time.monotonic()
        _, errors = process.communicate()
        seconds = time.monotonic() - began
        with self._lock:
            self._process = None
            self._rests_until = time.monotonic() + _REST * seconds
            if process.returncode == 0:
                at = time.strftime("%H:%M:%S")
                self.note = f"Report of {at}, made in {duration(seconds)}."
                self.is_final = is_final
            else:
                last = harmless(errors).strip().splitlines()[-1:] or ["no reason given"]
                self.note = f"The report could not be made: {last[0][:300]}"

    def stop(self) -> None:
        """Ends the process that makes a report, if there is one."""
        with self._lock:
            process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()


def _ended(status: SweepStatus) -> str:
    """Changes when a cell ends, is retried or is cancelled."""
    ended = sorted(f"{cell.run_id} {cell.state}" for cell in status.cells if cell.state in ENDED)
    return hashlib.sha256("\n".join(ended).encode()).hexdigest()
