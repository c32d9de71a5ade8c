"""The five questions: each turns the records of its study into verdicts, tables and figures.

To add one, write a file with a function `answer(table: QuestionTable) -> Answer`, name it here,
and commit the records of a study under `analysis/reference/`.
"""

from __future__ import annotations

# name -> where it is, and what it asks, so that a list of them imports none.
QUESTIONS: dict[str, tuple[str, str]] = {
    "q1": ("analysis.questions.q1_transfer:answer", "why was BERT used so much first?"),
    "q2": (
        "analysis.questions.q2_scaling:answer",
        "does GPT scale better than BERT, and what is the cause?",
    ),
    "q3": (
        "analysis.questions.q3_generation:answer",
        "can BERT generate, and why is GPT used for that?",
    ),
    "q4": (
        "analysis.questions.q4_next_sentence:answer",
        "why was next-sentence prediction found useless?",
    ),
    "q5": ("analysis.questions.q5_cls:answer", "Why are [CLS] vectors so similar?"),
}
