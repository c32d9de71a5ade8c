"""Engines start workers; the store alone knows what has been done.

An engine is a function `(root, jobs, **options) -> Summary` that has `scaling.worker.run_cell`
called for each job until all of them have ended, in processes wherever it likes. It keeps no state
of its own that matters: whatever it loses, the next launch finds in the store. To add one, write a
file and name it here.
"""

from __future__ import annotations

ENGINES: dict[str, str] = {"local": "scaling.engines.local:run_jobs"}
