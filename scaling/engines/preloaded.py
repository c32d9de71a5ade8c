"""Imported by the fork server after the training modules: makes their objects cheap to share."""

from __future__ import annotations

import gc
import os
import signal
import sys

from scaling import tracking

# In a child: the server that forked it.
SERVER_PID = os.getpid()

tracking.preload()
# What is frozen is never visited by a child's collector, so its pages stay shared.
gc.freeze()

# A batch system sends SIGTERM to every process of a job: the server has to outlive its children,
# which are killed when it goes, and write their checkpoints first. It ends with its launcher.
# A child has the signal blocked at first: one that came before the child listens is not lost.
if any("multiprocessing.forkserver" in argument for argument in sys.orig_argv):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
