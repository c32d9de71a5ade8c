"""Imported by the fork server before all else: Ctrl-C ends it without a word while it imports.

A terminal sends Ctrl-C to the server too, and the launcher alone has something to say of it. The
server is started with the signal blocked, so that this file is there before the first one arrives;
once its imports are done, `multiprocessing` has it ignored.
"""

from __future__ import annotations

import signal
import sys

# In the server alone; where the launcher ignores Ctrl-C, as one behind `nohup` does, so does it.
if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
