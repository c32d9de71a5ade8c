"""Imported by the fork server after the training modules: makes their objects cheap to share."""

from __future__ import annotations

import gc
import os

from scaling import tracking

# In a child: the server that forked it.
SERVER_PID = os.getpid()

tracking.preload()
# What is frozen is never visited by a child's collector, so its pages stay shared.
gc.freeze()
