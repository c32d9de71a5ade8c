"""A project on a W&B server: how it is written, and whether there is a key for it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from scaling.errors import TrackingError

PREFIX = "wandb:"
DEFAULT_PROJECT = "scaling"
# They become parts of a path in the store.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Project:
    """Where runs are: entity (a user or a team) and project; `sweep` narrows a reading."""

    entity: str
    project: str
    sweep: str | None = None

    @property
    def path(self) -> str:
        return f"{self.entity}/{self.project}"

    def __str__(self) -> str:
        return "/".join(filter(None, (self.entity, self.project, self.sweep)))


def parse_project(text: str, *, with_sweep: bool = False) -> Project:
    """`ENTITY/PROJECT`, or where asked for `ENTITY/PROJECT/SWEEP`, with or without `wandb:`.

    Raises:
        TrackingError: it is neither.
    """
    parts = text.removeprefix(PREFIX).split("/")
    wanted = (2, 3) if with_sweep else (2,)
    if len(parts) not in wanted or not all(map(_NAME.fullmatch, parts)):
        form = "ENTITY/PROJECT[/SWEEP]" if with_sweep else "ENTITY/PROJECT"
        raise TrackingError(
            f"{text!r} is not {form}, in letters, digits and ._-; write for example "
            f"{PREFIX if with_sweep else ''}my-team/scaling"
        )
    return Project(entity=parts[0], project=parts[1], sweep=(*parts, None)[2])


def require_key() -> str:
    """The server that W&B speaks to; raises TrackingError where there is no key for it."""
    from scaling.checks.tracking import key_source, server_url

    server = server_url()
    if key_source(server) is None:
        raise TrackingError(
            f"there is no key for {server}; `wandb login`, or set WANDB_API_KEY, or WANDB_BASE_URL "
            "for another server"
        )
    return server


def complete(text: str | None, default: str) -> Project:
    """The project that is meant: what is missing comes from the environment and the account.

    Args:
        text: `ENTITY/PROJECT`, `PROJECT` or nothing.
        default: the project where none is named, such as that of the sweep file.
    """
    if text and "/" in text:
        return parse_project(text)
    project = text or os.environ.get("WANDB_PROJECT") or default
    return parse_project(f"{os.environ.get('WANDB_ENTITY') or _own_entity()}/{project}")


def _own_entity() -> str:
    import wandb

    try:
        entity = wandb.Api(timeout=30).default_entity
    except Exception as error:
        raise unreachable(error) from None
    if not entity:
        raise TrackingError("the account has no default entity; give --project ENTITY/PROJECT")
    return str(entity)


def unreachable(error: BaseException) -> TrackingError:
    """An error of the server, in one line."""
    from scaling.checks.tracking import server_url
    from scaling.redact import redact

    host = urlsplit(server_url()).netloc
    line = redact(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return TrackingError(
        f"W&B at {host} does not do what is asked ({line}); try again later, nothing is lost"
    )
