"""Operations of artifacts, such as the tables of a run."""

from __future__ import annotations

from typing import Any

from tests.wandb_service.state import Artifact, State


def create_artifact(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    given = variables["input"]
    artifact = Artifact(
        id=f"artifact{len(state.artifacts)}",
        name=given["artifactCollectionName"],
        type=given["artifactTypeName"],
        digest=given["digest"],
        run=given.get("runName"),
    )
    state.artifacts[artifact.id] = artifact
    return {
        "createArtifact": {
            "artifact": {
                "id": artifact.id, "state": "PENDING", "digest": artifact.digest,
                "artifactSequence": {"id": artifact.name, "latestArtifact": None},
            }
        }
    }  # fmt: skip


def create_manifest(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    place = f"{url}/storage/manifest/{variables['artifactID']}"
    file = {"id": "f", "name": variables["name"], "displayName": variables["name"],
            "uploadUrl": place, "uploadHeaders": []}  # fmt: skip
    return {"createArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}


def update_manifest(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    file = {"id": "f", "uploadUrl": f"{url}/storage/manifest/latest", "uploadHeaders": []}
    return {"updateArtifactManifest": {"artifactManifest": {"id": "m", "file": file}}}


def create_files(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    edges = []
    for file in variables["input"]["artifactFiles"]:
        place = f"{url}/storage/artifact/{file['artifactID']}/{file['name']}"
        node = {"id": file["name"], "name": file["name"], "displayName": file["name"],
                "storagePath": file["name"], "uploadUrl": place, "uploadHeaders": [],
                "uploadMultipartUrls": None, "artifact": {"id": file["artifactID"]}}  # fmt: skip
        edges.append({"node": node})
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def commit_artifact(state: State, variables: dict[str, Any], url: str) -> dict[str, Any]:
    artifact = state.artifacts[variables["artifactID"]]
    artifact.committed = True
    return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}


ARTIFACT_OPERATIONS = {
    "ArtifactType": lambda state, variables, url: {"project": {"artifact": None}},
    "CreateArtifact": create_artifact,
    "CreateArtifactManifest": create_manifest,
    "UpdateArtifactManifest": update_manifest,
    "CreateArtifactFiles": create_files,
    "CommitArtifact": commit_artifact,
    "FetchArtifactDigestAlgorithm": lambda state, variables, url: {"artifactType": None},
    "XXHashDigestsEnabled": lambda state, variables, url: {"entity": None},
}
