"""FSDP: each device keeps a share of the model, of its gradients and of the optimizer's states.

A module of its own, since torch takes a while to import what it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import ModelParallelStrategy, Strategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from scaling import machine
from scaling.models import LanguageModel

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


def shard_model(model: LanguageModel) -> None:
    """Spreads the parameters over the devices of the process group, block by block.

    The embedding stays whole from the forward pass to the backward pass: the tied head, which
    runs after the model's own forward pass, reads it.
    """
    device = "cuda" if machine.gpus() else "cpu"
    mesh = init_device_mesh(device, (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=False)


def whole_state(model: torch.nn.Module) -> dict[str, Any]:
    """The parameters of a model that may be spread out; empty but on the first device.

    All devices call it together.
    """
    return get_model_state_dict(model, options=_WHOLE)


class ShardedStrategy(ModelParallelStrategy):
    """FSDP whose checkpoints are those of a single device, so that either can go on from them.

    Lightning's own number the optimizer's states after the model's parameters, torch's after the
    optimizer's groups: each would load the other's and mix them up.
    """

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        assert self.model is not None
        return whole_state(self.model)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> Any:
        return Strategy.load_checkpoint(self, checkpoint_path, weights_only)

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any | None = None
    ) -> None:
        Strategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.model is not None
        set_model_state_dict(self.model, checkpoint["state_dict"], options=_WHOLE)

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        assert self.model is not None
        named: dict[str, Any] = get_optimizer_state_dict(
            self.model, _bare(optimizer), options=_WHOLE
        )
        if not self.is_global_zero:
            return {}
        number = {name: i for i, name in enumerate(_names(named))}
        return {
            "state": {number[name]: state for name, state in named["state"].items()},
            "param_groups": [
                group | {"params": [number[name] for name in group["params"]]}
                for group in named["param_groups"]
            ],
        }

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        assert self.model is not None
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            bare = _bare(optimizer)
            name_of = {id(parameter): name for name, parameter in self.model.named_parameters()}
            names = [name_of[id(p)] for group in bare.param_groups for p in group["params"]]
            named: dict[str, Any] = {
                "state": {names[i]: state for i, state in saved["state"].items()},
                "param_groups": [
                    group | {"params": [names[i] for i in group["params"]]}
                    for group in saved["param_groups"]
                ],
            }
            set_optimizer_state_dict(self.model, bare, named, options=_WHOLE)


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    """The optimizer itself, where Lightning has wrapped it."""
    found: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return found


def _names(named: dict[str, Any]) -> list[str]:
    return [name for group in named["param_groups"] for name in group["params"]]
