"""How Lightning lays a model out over the devices that share a run.

The processes are ours (`scaling.ranks`), so Lightning is only told which of them this one is.
"""

from __future__ import annotations

from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy, Strategy

from scaling import machine
from scaling.lit import LitRun
from scaling.split import Split


def make_strategy(split: Split, rank: int, lit: LitRun) -> Strategy | str:
    """What the Trainer takes as its strategy, in the process of that rank."""
    if split.devices == 1:
        return "auto"
    ranks = OwnRanks(rank, split.devices)
    if split.is_sharded:
        from scaling.sharding import ShardedStrategy

        sharded = ShardedStrategy(data_parallel_size=split.devices, tensor_parallel_size=1)
        sharded.cluster_environment = ranks
        return sharded
    # Published BERT keeps its heads where the objective has no pairs, or no tokens, to predict,
    # and gives them no gradient. Looking for such parameters costs a walk over the graph at each
    # step.
    has_pair_head = getattr(lit.model, "pair_head", None) is not None
    unused = (has_pair_head and lit.objective.pair_term is None) or (
        lit.model.head is not None and lit.objective.head_positions(lit.spec) == 0
    )
    return DDPStrategy(cluster_environment=ranks, find_unused_parameters=unused)


def accelerator(split: Split) -> str:
    """Several processes share the GPUs, or else the processors."""
    if machine.gpus():
        return "cuda"
    return "auto" if split.devices == 1 else "cpu"


class OwnRanks(ClusterEnvironment):
    """Processes of one machine that were started, and connected, before the Trainer was made."""

    def __init__(self, rank: int, world_size: int) -> None:
        super().__init__()
        self._rank, self._world_size = rank, world_size

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        raise AssertionError("the process group was made by `scaling.ranks`")

    @property
    def main_port(self) -> int:
        raise AssertionError("the process group was made by `scaling.ranks`")

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._world_size

    def set_world_size(self, size: int) -> None:
        assert size == self._world_size

    def global_rank(self) -> int:
        return self._rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == self._rank

    def local_rank(self) -> int:
        return self._rank

    def node_rank(self) -> int:
        return 0
