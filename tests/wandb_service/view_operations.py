"""Operations of workspaces and reports."""

from __future__ import annotations

import json
from typing import Any

from tests.wandb_service.state import State

WHEN = "2026-01-01T00:00:00Z"


def upsert_view(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    known = variables.get("id")
    view_id = known if known in state.views else f"view{len(state.views)}"
    spec = json.loads(variables["spec"])
    state.views[view_id] = {**variables, "id": view_id, "spec": spec}
    view = {"id": view_id, "name": variables.get("name"), "type": variables.get("type"),
            "displayName": variables.get("displayName") or "", "description": "",
            "spec": variables["spec"], "createdAt": WHEN, "updatedAt": WHEN, "user": None,
            "project": {"id": "1", "name": variables.get("projectName"),
                        "entityName": variables.get("entityName")}}  # fmt: skip
    return {"upsertView": {"view": view, "inserted": known is None}}


def project(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    return {"project": {"id": "1", "internalId": "1", "name": variables.get("name")}}


def projects(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    names = sorted({name for entity, name, _ in state.runs if entity == variables["entity"]})
    edges = []
    for name in names:
        node = {
            "id": name,
            "internalId": "1",
            "name": name,
            "entityName": variables["entity"],
            "createdAt": WHEN,
            "isBenchmark": False,
            "user": None,
        }
        edges.append({"node": node, "cursor": name})
    info = {"endCursor": None, "hasNextPage": False}
    return {"models": {"edges": edges, "pageInfo": info}}


VIEW_OPERATIONS = {
    "ProjectInternalId": project,
    "GetProjects": projects,
    "UpsertView2": upsert_view,
    "upsertView": upsert_view,
    "UpsertView": upsert_view,
    "GetProject": project,
}
