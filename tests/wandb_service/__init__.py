"""A stand-in for the W&B service on loopback, for the real client, agent, sync and public API.

It keeps what it is sent as the service does (lines by offset, last summary, runs by project), so
that what was written can be read back. It proves what the client sends and how the suite acts on
the answers, not what the service accepts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.wandb_service.server import WandbService


@contextmanager
def wandb_service() -> Iterator[WandbService]:
    """A running service; it is gone after the block."""
    with WandbService() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.faults.heal()
            server.shutdown()
            thread.join()
