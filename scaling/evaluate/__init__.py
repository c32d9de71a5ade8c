"""What is done with a model: measurements that training ends with, and those of finished models.

To add one of the latter, write a file with a `Measurement` (see `scaling.evaluate.measurement`)
and name it here; a sweep or `scaling evaluate` then asks for it by that name.
"""

from __future__ import annotations

# name -> where it is, so that a list of the names imports none of them.
MEASUREMENTS: dict[str, str] = {
    "left_to_right": "scaling.evaluate.left_to_right:LEFT_TO_RIGHT",
    "minimal_pairs": "scaling.evaluate.pair_ranking:MINIMAL_PAIRS",
    "generation": "scaling.evaluate.generation:MEASUREMENT",
    "next_sentence": "scaling.evaluate.next_sentence:MEASUREMENT",
    "transfer": "scaling.evaluate.transfer.measure:MEASUREMENT",
    "cls_geometry": "scaling.evaluate.cls_geometry:CLS_GEOMETRY",
}
