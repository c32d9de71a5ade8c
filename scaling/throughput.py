"""The names under which a run logs how fast it trains."""

from __future__ import annotations

TOKENS_PER_SECOND = "throughput/tokens_per_second"
TRAIN_FLOPS_PER_SECOND = "throughput/train_flops_per_second"
# Model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), of the matmul peak
# that `scaling bench` measured.
MFU = "throughput/mfu"
