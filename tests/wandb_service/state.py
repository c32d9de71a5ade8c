"""What the service keeps: projects with runs, files, artifacts, sweeps and views."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import yaml

ENTITY = "team"


@dataclass
class StoredRun:
    """A run; its files are lines by offset, as the file stream sends them.

    Attributes:
        attributes: the last values of UpsertBucket, such as `groupName`.
        config: name -> {"value": ...}, as the client sends it.
        exit_code: None while it has not ended.
    """

    entity: str
    project: str
    name: str
    number: int
    attributes: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    sweep: str | None = None
    exit_code: int | None = None
    written: bool = False

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.get("wandb-history.jsonl", [])]

    @property
    def summary(self) -> dict[str, Any]:
        lines = self.lines.get("wandb-summary.json", [])
        return json.loads(lines[-1]) if lines else {}

    @property
    def values(self) -> dict[str, Any]:
        """The config without W&B's own entries."""
        return {k: v["value"] for k, v in self.config.items() if k != "_wandb"}

    @property
    def state(self) -> str:
        if self.exit_code is None:
            return "running" if self.written else "pending"
        return "finished" if self.exit_code == 0 else "failed"

    def stream(self, body: dict[str, Any]) -> None:
        """Takes one request of the file stream; lines that were sent before are replaced."""
        self.written = True
        for name, part in body.get("files", {}).items():
            lines = self.lines.setdefault(name, [])
            offset, content = part["offset"], part["content"]
            if name == "wandb-summary.json":
                lines[:] = content[-1:]
                continue
            if offset > len(lines):
                raise ValueError(f"{name} of {self.name} has a gap: {len(lines)} lines, {offset=}")
            lines[offset : offset + len(content)] = content
        if body.get("exitcode") is not None:
            self.exit_code = body["exitcode"]


@dataclass
class StoredSweep:
    """A grid sweep that hands each of its points to whichever agent asks first."""

    name: str
    entity: str
    project: str
    config: str
    points: list[dict[str, Any]]
    handed_out: list[str] = field(default_factory=list)
    state: str = "RUNNING"

    @classmethod
    def from_config(cls, name: str, entity: str, project: str, config: str) -> StoredSweep:
        parameters = yaml.safe_load(config)["parameters"]
        axes = [entry.get("values", [entry.get("value")]) for entry in parameters.values()]
        points = [dict(zip(parameters, values, strict=True)) for values in itertools.product(*axes)]
        return cls(name, entity, project, config, points)


@dataclass
class Artifact:
    """A version of an artifact and its manifest."""

    id: str
    name: str
    type: str
    digest: str
    run: str | None
    manifest: bytes = b""
    committed: bool = False


@dataclass
class State:
    """Everything that the service was told."""

    runs: dict[tuple[str, str, str], StoredRun] = field(default_factory=dict)
    sweeps: dict[str, StoredSweep] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)

    def run(self, name: str, project: str = "scaling", entity: str = ENTITY) -> StoredRun:
        return self.runs[entity, project, name]

    def upsert_run(self, entity: str, project: str, name: str) -> tuple[StoredRun, bool]:
        """The run, made where it is missing, and whether it was."""
        key = (entity, project, name)
        if key in self.runs:
            return self.runs[key], False
        self.runs[key] = StoredRun(entity, project, name, number=len(self.runs))
        return self.runs[key], True

    def of_project(self, entity: str, project: str) -> list[StoredRun]:
        """Its runs, the oldest first."""
        return [run for run in self.runs.values() if (run.entity, run.project) == (entity, project)]
