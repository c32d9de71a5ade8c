"""Operations of `wandb sweep` and `wandb agent`."""

from __future__ import annotations

import json
from typing import Any

from tests.wandb_service.state import ENTITY, State, StoredSweep


def upsert_sweep(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    entity, project = variables.get("entityName") or ENTITY, variables["projectName"]
    name = f"sweep{len(state.sweeps)}"
    state.sweeps[name] = StoredSweep.from_config(name, entity, project, variables["config"])
    owner = {"id": project, "name": project, "entity": {"id": entity, "name": entity}}
    sweep = {"id": name, "name": name, "project": owner}
    return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}


def sweep_with_runs(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    sweep = state.sweeps[variables["sweep"]]
    content = {
        "id": sweep.name, "name": sweep.name, "method": "grid", "state": sweep.state,
        "description": None, "config": sweep.config, "createdAt": None, "heartbeatAt": None,
        "updatedAt": None, "earlyStopJobRunning": False, "bestLoss": None, "controller": None,
        "scheduler": None, "runs": {"edges": []},
    }  # fmt: skip
    return {"project": {"sweep": content}}


def create_agent(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    agent = f"agent{len(state.agents)}"
    state.agents[agent] = variables["sweep"]
    return {"createAgent": {"agent": {"id": agent}}}


def heartbeat(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    """The next point while the agent has none in work; at the end, that it may go."""
    sweep = state.sweeps[state.agents[variables["id"]]]
    commands: list[dict[str, Any]] = []
    if not json.loads(variables.get("runState") or "{}"):
        if len(sweep.handed_out) == len(sweep.points):
            sweep.state = "FINISHED"
            commands = [{"type": "exit"}]
        else:
            point = sweep.points[len(sweep.handed_out)]
            run_id = f"{sweep.name}run{len(sweep.handed_out)}"
            run, _ = state.upsert_run(sweep.entity, sweep.project, run_id)
            run.sweep = sweep.name
            sweep.handed_out.append(run_id)
            arguments = {name: {"value": value} for name, value in point.items()}
            commands = [{"type": "run", "run_id": run_id, "program": "scaling", "args": arguments}]
    return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}


def sweep_state(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    return {"project": {"sweep": {"state": state.sweeps[variables["sweep"]].state}}}


SWEEP_OPERATIONS = {
    "UpsertSweep": upsert_sweep,
    "SweepWithRuns": sweep_with_runs,
    "CreateAgent": create_agent,
    "Heartbeat": heartbeat,
    "GetSweepState": sweep_state,
}
