"""The GraphQL operations that wandb 0.31 and wandb-workspaces 0.4 send, by their names."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from tests.wandb_service.artifact_operations import ARTIFACT_OPERATIONS
from tests.wandb_service.state import ENTITY, State, StoredRun
from tests.wandb_service.sweep_operations import SWEEP_OPERATIONS
from tests.wandb_service.view_operations import VIEW_OPERATIONS

Operation = Callable[[State, dict[str, Any], str], dict[str, Any]]

CREATED = "2026-01-01T00:00:00Z"


class Unknown(Exception):
    """An operation, or an argument of one, that the stand-in does not serve."""


def viewer(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    return {
        "viewer": {
            "id": "user", "entity": ENTITY, "username": "user", "name": "User", "admin": False,
            "email": "user@example.org", "flags": "{}", "deletedAt": None,
            "teams": {"edges": [{"node": {"name": ENTITY}}]},
            "apiKeys": {"edges": []},
        }
    }  # fmt: skip


def upsert_bucket(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    entity, project = variables.get("entity") or ENTITY, variables.get("project") or "uncategorized"
    run, inserted = state.upsert_run(entity, project, variables["name"])
    run.attributes |= {k: v for k, v in variables.items() if v is not None and k != "config"}
    run.sweep = variables.get("sweep") or run.sweep
    if variables.get("config"):
        run.config |= json.loads(variables["config"])
    bucket = run_node(run) | {
        "project": {"id": project, "name": project, "entity": {"id": entity, "name": entity}},
        "historyLineCount": len(run.history),
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}


def resume_status(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    entity, project = variables.get("entity") or ENTITY, variables["project"]
    run = state.runs.get((entity, project, variables["name"]))
    model = {"id": project, "name": project, "entity": {"id": entity, "name": entity}}
    if run is None or not run.written:
        return {"model": model | {"bucket": None}}
    tails = {
        f"{kind}Tail": json.dumps(run.lines.get(f"wandb-{kind}.jsonl", [])[-1:])
        for kind in ("history", "events")
    }
    # The client takes a run for one of its own by the telemetry that it sent.
    telemetry = run.config.get("_wandb", {}).get("value", {}).get("t")
    own = {"wandbConfig": json.dumps({"t": telemetry} if telemetry else {})}
    return {"model": model | {"bucket": run_node(run) | tails | own}}


def run_files(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    place = f"{variables['entity']}/{variables['project']}/{variables['run']}"
    files = [{"name": n, "uploadUrl": f"{url}/storage/{place}/{n}"} for n in variables["files"]]
    return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}


def list_runs(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    found = state.of_project(variables["entity"], variables["project"])
    if not found:
        return {"project": None}
    for name, wanted in json.loads(variables.get("filters") or "{}").items():
        if name != "group":
            raise Unknown(f"a filter by {name}")
        found = [run for run in found if run.attributes.get("groupName") == wanted]
    start = int(variables.get("cursor") or 0)
    page = found[start : start + variables["perPage"]]
    edges = [{"node": run_node(run), "cursor": str(start + i + 1)} for i, run in enumerate(page)]
    more = start + len(page) < len(found)
    info = {"endCursor": edges[-1]["cursor"] if edges else None, "hasNextPage": more}
    runs = {"edges": edges, "pageInfo": info}
    return {"project": {"internalId": "1", "runCount": len(found), "readOnly": False, "runs": runs}}


def one_run(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    run = _run(state, variables)
    return {"project": {"internalId": "1", "run": run and run_node(run)}}


def parquet_history(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    """No parquet yet: all rows are live, as they are while a run is young."""
    return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": []}}}}


def history_page(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    run = _run(state, variables)
    assert run is not None
    low, high = variables["minStep"], variables["maxStep"]
    rows = [row for row in run.history if low <= row["_step"] < high][: variables["pageSize"]]
    return {"project": {"run": {"history": [json.dumps(row) for row in rows]}}}


def list_files(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    place = f"/storage/{variables['entity']}/{variables['project']}/{variables['name']}/"
    edges = []
    for path, content in state.uploads.items():
        name = path.removeprefix(place)
        if path.startswith(place) and (
            not variables["fileNames"] or name in variables["fileNames"]
        ):
            place_of = {"url": url + path, "directUrl": url + path}
            sizes = {"sizeBytes": len(content), "mimetype": None, "updatedAt": CREATED, "md5": ""}
            node = {"id": name, "name": name} | place_of | sizes
            edges.append({"node": node, "cursor": name})
    files = {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}
    return {"project": {"internalId": "1", "run": {"fileCount": len(edges), "files": files}}}


def _run(state: State, variables: dict[str, Any]) -> StoredRun | None:
    name = variables.get("name") or variables.get("runName") or variables.get("run")
    return state.runs.get((variables["entity"], variables["project"], name))


def run_node(run: StoredRun) -> dict[str, Any]:
    """Everything that any query asks of a run."""
    history = run.history
    keys = sorted({key for row in history for key in row})
    return {
        "id": base64.b64encode(f"Run:v1:{run.name}:{run.project}:{run.entity}".encode()).decode(),
        "projectId": "1",
        "name": run.name,
        "displayName": run.attributes.get("displayName") or run.name,
        "tags": run.attributes.get("tags") or [],
        "sweepName": run.sweep,
        "state": run.state,
        "config": json.dumps(run.config),
        "group": run.attributes.get("groupName"),
        "jobType": run.attributes.get("jobType"),
        "commit": None, "readOnly": False, "createdAt": CREATED, "heartbeatAt": CREATED,
        "description": None, "notes": None, "systemMetrics": "{}", "wandbConfig": "{}",
        "summaryMetrics": json.dumps(run.summary),
        "historyLineCount": len(history), "logLineCount": 0, "eventsLineCount": 0,
        "user": {"name": "User", "username": "user"},
        "historyKeys": {"keys": {key: {} for key in keys},
                        "lastStep": history[-1]["_step"] if history else -1},
        "exitcode": run.exit_code, "shouldStop": False, "failed": False, "stopped": False,
        "running": run.state == "running", "sampledHistory": [], "files": {"edges": []},
    }  # fmt: skip


OPERATIONS: dict[str, Operation] = {
    "Viewer": viewer,
    "GetViewer": viewer,
    "GetDefaultEntity": viewer,
    "ServerFeaturesQuery": lambda state, variables, url: {"serverInfo": {"features": []}},
    "UpsertBucket": upsert_bucket,
    "RunResumeStatus": resume_status,
    "CreateRunFiles": run_files,
    "RunFiles": list_files,
    "Runs": list_runs,
    "Run": one_run,
    "RunHistoryKeys": one_run,
    "RunParquetHistory": parquet_history,
    "HistoryPage": history_page,
    **ARTIFACT_OPERATIONS,
    **SWEEP_OPERATIONS,
    **VIEW_OPERATIONS,
}
