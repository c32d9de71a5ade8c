"""Imported by the fork server after the training modules: makes their objects cheap to share."""

from __future__ import annotations

import gc

from scaling import tracking

tracking.preload()
# What is frozen is never visited by a child's collector, so its pages stay shared.
gc.freeze()
