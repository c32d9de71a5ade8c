"""What the dashboard shows, as plain data: each chart and the keys that it reads.

A masked and a causal loss never share a chart; levels are compared in bits per byte. The keys are
those of `scaling.run_log`, `scaling.wandb_mirror` and `scaling.dashboard.study_run`; a test holds
them against what a run really logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scaling.curve_rows import nats_key
from scaling.dashboard.study_run import FIGURES, FITS, OPTIMA, figure_key
from scaling.throughput import MFU
from scaling.wandb_mirror.overview import STATES
from scaling.wandb_writer import COUNTERS

TOKENS, FLOPS, _ = COUNTERS
_TERMS = {"clm": "next-token loss, nats per target", "mlm": "masked-token loss, nats per target"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One panel.

    Attributes:
        kind: `line` over the rows of each run, `scatter` of final values with one point per run,
            `table` that a run logged, or `media` (figures that a run logged).
        x, y: keys; a table or a figure has `y` alone.
        group_by: a field of the config, for lines: mean and range of its runs.
    """

    kind: Literal["line", "scatter", "table", "media"]
    title: str
    y: str
    x: str | None = None
    log_x: bool = False
    log_y: bool = False
    group_by: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.x, self.y)))


def _curves(x: str, over: str) -> list[Chart]:
    return [
        Chart(
            kind="line", title=f"{words} over {over}", x=x, y=nats_key("validation", term),
            log_x=True, log_y=True, group_by="arch",
        )
        for term, words in _TERMS.items()
    ]  # fmt: skip


SECTIONS: dict[str, list[Chart]] = {
    "Loss over training FLOPs": _curves(FLOPS, "training FLOPs"),
    "Loss over tokens": _curves(TOKENS, "tokens"),
    "IsoFLOP": [
        Chart(kind="scatter", title="bits per byte over N, one point per run",
              x="final/params_total", y="final/bits_per_byte", log_x=True, log_y=True),
        Chart(kind="scatter", title="bits per byte over training FLOPs",
              x="final/train_flops", y="final/bits_per_byte", log_x=True, log_y=True),
        *(Chart(kind="scatter", title=f"{words} over N", x="final/params_total",
                y=f"final/{term}_nats", log_x=True, log_y=True) for term, words in _TERMS.items()),
    ],
    "Laws": [
        *(Chart(kind="media", title=title, y=figure_key(name)) for name, title in FIGURES.items()),
        Chart(kind="table", title="N* and D* at each budget", y=OPTIMA),
        Chart(kind="table", title="fits with 95 % intervals", y=FITS),
    ],
    "Throughput": [
        Chart(kind="line", title="tokens per second", x=TOKENS,
              y="throughput/tokens_per_second", log_x=True),
        Chart(kind="line", title="training FLOPs per second", x=TOKENS,
              y="throughput/train_flops_per_second", log_x=True),
        Chart(kind="line", title="share of the measured matmul peak (MFU)", x=TOKENS,
              y=MFU, log_x=True),
    ],
    "States": [Chart(kind="table", title="state of every cell", y=STATES)],
}  # fmt: skip

# Columns of the table of runs.
COLUMNS = ("final/status", "final/reason", "final/bits_per_byte", "final/params_total",
           "final/train_flops")  # fmt: skip


def all_keys() -> set[str]:
    """Every key that the dashboard reads."""
    charts = [chart for section in SECTIONS.values() for chart in section]
    return {key for chart in charts for key in chart.keys} | set(COLUMNS)
