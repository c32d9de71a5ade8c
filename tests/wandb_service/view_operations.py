"""Operations of workspaces and reports."""

from __future__ import annotations

import json
from typing import Any

from tests.wandb_service.state import State


def upsert_view(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    known = variables.get("id")
    view_id = known if known in state.views else f"view{len(state.views)}"
    spec = json.loads(variables["spec"])
    state.views[view_id] = {**variables, "id": view_id, "spec": spec}
    view = {"id": view_id, "name": variables.get("name"), "type": variables.get("type"),
            "displayName": variables.get("displayName"), "description": None,
            "spec": variables["spec"], "updatedAt": None}  # fmt: skip
    return {"upsertView": {"view": view, "inserted": known is None}}


def project(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    return {"project": {"id": "1", "internalId": "1", "name": variables.get("name")}}


VIEW_OPERATIONS = {
    "UpsertView2": upsert_view,
    "upsertView": upsert_view,
    "UpsertView": upsert_view,
    "GetProject": project,
}
