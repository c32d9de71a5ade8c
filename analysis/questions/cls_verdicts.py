"""The verdicts of question 5: what makes [CLS] vectors alike, what a loss on them does, what cures.

Each is judged at the largest size and horizon of the study; the conventions under which it would be
another are its other sizes and horizons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

from analysis.difference import signed
from analysis.questions.answer import QuestionVerdict, judge
from analysis.questions.cls_view import Side, View, own_pooling
from analysis.seeds import paired_difference, seed_mean
from analysis.values import Estimate

_COSINE, _STS, _DOCUMENT = "raw.cosine_mean", "sts_spearman.raw", "raw.same_document"
_UNITS = {"cosine_mean": "cosine", "sts_spearman": "correlation", "same_document": "share"}

# A loss that reads [CLS]: what it is, the arm with it, the arm without it on the same format.
LOSSES_ON_CLS: tuple[tuple[str, str, str], ...] = (
    ("next-sentence prediction", "mlm+nsp", "mlm-pairs"),
    ("sentence-order prediction", "mlm+sop", "mlm-pairs"),
    ("next-sentence prediction with its format of pairs", "bert-nsp", "bert-mlm"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """That a number, or its difference from another one, lies above (or below) `null`.

    Attributes:
        other: what is taken away from `one`, seed by seed; None for nothing.
        with_control: whether the same difference before training is printed beside.
    """

    words: str
    one: Side
    other: Side | None = None
    null: float = 0.0
    above: bool = True
    with_control: bool = False

    def estimate(self, view: View, size: str, tokens: int) -> tuple[Estimate | None, int]:
        """The effect at a size and horizon, and how many seeds it rests on."""
        unit = next(unit for part, unit in _UNITS.items() if part in self.one.column)
        values = view.values(self.one, size, tokens)
        if self.other is None:
            found = seed_mean(list(values.values()), name=unit, unit="") if values else None
            return found, len(values)
        others = view.values(self.other, size, tokens)
        name = f"difference of {unit}s"
        return paired_difference(values, others, name=name, unit=""), len(values.keys() & others)

    def before_training(self) -> Claim:
        """The same of untrained models."""
        sides = [self.one, self.other]
        one, other = (side and dataclasses.replace(side, is_trained=False) for side in sides)
        assert one is not None
        return dataclasses.replace(self, one=one, other=other)


def verdicts(view: View) -> Iterator[QuestionVerdict]:
    """Those for which the study has the arms."""
    pooling = own_pooling(view.frame)
    masked = [arm for arm, own in pooling.items() if own == "cls"]
    claims = [
        *_untrained(view, masked),
        *(claim for arm in masked for claim in _of_arm(arm)),
        *(claim for loss in LOSSES_ON_CLS for claim in _of_loss(*loss)),
        *(
            claim
            for causal, own in pooling.items()
            if own == "last"
            for arm in masked
            for claim in _of_position(causal, arm)
        ),
    ]
    for claim in claims:
        yield from _judged(view, claim)


def _untrained(view: View, masked: list[str]) -> Iterator[Claim]:
    """One claim per architecture: its arms start from the same weights."""
    arms = view.frame.loc[view.frame["arm"].isin(masked), ["arch", "arm"]]
    for arch, arm in arms.drop_duplicates("arch").itertuples(index=False):
        yield Claim(
            words=f"{arch}: the [CLS] vectors of an untrained model are near parallel, "
            "cosine above 0.9",
            one=Side(column=_COSINE, arm=arm, is_trained=False),
            null=0.9,
        )


def _of_arm(arm: str) -> Iterator[Claim]:
    """What training and each cure do to the [CLS] of one arm."""
    cls = Side(column=_COSINE, arm=arm)
    sts = Side(column=_STS, arm=arm)
    yield Claim(
        words=f"{arm}: training makes [CLS] vectors less similar",
        one=cls,
        other=dataclasses.replace(cls, is_trained=False),
        above=False,
    )
    yield Claim(
        words=f"{arm}: [CLS] vectors are more similar than the means over tokens",
        one=cls,
        other=dataclasses.replace(cls, pooling="mean"),
    )
    yield Claim(
        words=f"{arm}: training makes raw [CLS] rank sentence pairs worse (STS Spearman)",
        one=sts,
        other=dataclasses.replace(sts, is_trained=False),
        above=False,
    )
    for cure, name in (("centred", "centring"), ("whitened", "whitening")):
        yield Claim(
            words=f"{arm}: {name} makes [CLS] rank sentence pairs better (STS Spearman)",
            one=dataclasses.replace(sts, column=f"sts_spearman.{cure}"),
            other=sts,
        )


def _of_loss(loss: str, arm: str, without: str) -> Iterator[Claim]:
    """What a loss on [CLS] does to it, against the arm that lacks the loss."""
    for column, above, what in (
        (_COSINE, False, "makes [CLS] vectors less similar"),
        (_STS, True, "makes raw [CLS] rank sentence pairs better (STS Spearman)"),
        (_DOCUMENT, True, "makes the nearest [CLS] more often one of the same document"),
    ):
        yield Claim(
            words=f"{loss} {what}",
            one=Side(column=column, arm=arm),
            other=Side(column=column, arm=without),
            above=above,
        )


def _of_position(causal: str, arm: str) -> Iterator[Claim]:
    """The causal model's last token beside [CLS], and beside the last token of the same arm."""
    last = Side(column=_COSINE, arm=causal, pooling="last")
    for pooling, name in (("cls", "[CLS]"), ("last", "last token")):
        yield Claim(
            words=f"the last token of {causal} is less similar than the {name} of {arm}",
            one=last,
            other=Side(column=_COSINE, arm=arm, pooling=pooling),
            above=False,
            with_control=True,
        )


def _judged(view: View, claim: Claim) -> Iterator[QuestionVerdict]:
    """The verdict, or none where the study has no such arm, pooling or task at its largest size."""
    main = _verdict(view, claim, view.size, view.tokens)
    if main is None or main.estimate is None:
        return
    basis = main.estimate.interval.method if main.estimate.interval else ""
    if claim.with_control:
        untrained, _ = claim.before_training().estimate(view, view.size, view.tokens)
        basis += f"; {signed(untrained)} before training" if untrained is not None else ""
    yield dataclasses.replace(main, flips=_flips(view, claim, main), basis=basis)


def _verdict(view: View, claim: Claim, size: str, tokens: int) -> QuestionVerdict | None:
    estimate, n_seeds = claim.estimate(view, size, tokens)
    if estimate is None:
        return None
    return judge(claim.words, estimate, n_seeds=n_seeds, null=claim.null, above=claim.above)


def _flips(view: View, claim: Claim, main: QuestionVerdict) -> tuple[str, ...]:
    flips = []
    for size, tokens in view.conventions():
        verdict = _verdict(view, claim, size, tokens)
        if verdict is None or _said(verdict) == _said(main):
            continue
        assert verdict.estimate is not None
        flips.append(
            f"size {size}, {tokens} tokens ({_said(verdict)}, {verdict.estimate.value:+.3f})"
        )
    return tuple(flips)


def _said(verdict: QuestionVerdict) -> str:
    if verdict.is_established:
        return "established"
    return "contradicted" if verdict.is_contradicted else "not established"
