"""What the answers say: shares with intervals. [Answer] → a JSON-like dict for each arm."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ishibumi.exam.evaluate import Answer
from ishibumi.exam.interval import interval, paired_difference
from ishibumi.exam.questions import Question

ASKED, DOCUMENT_ONLY = "asked", "document_only"


def summarise(
    answers: Sequence[Answer], questions: Sequence[Question], asked: Mapping[str, bool]
) -> dict[str, dict[str, Any]]:
    """For each arm: all answers, the same by language, kind and asked, and the difference to the base.

    `asked` says for every question id whether some generated question asks about that fact («asked») or the fact only
    stands in a document («document_only»).

        {"engraved": {"all": {"n": 130, "num_documents": 32, "contains": {"mean": 0.63, "low": 0.57, "high": 0.69},
                              "exact": {…}, "stopped": 0.99, "mean_reply_tokens": 6.1, "num_passages_cut": 0},
                      "by_language": {"ja": {…}}, "by_kind": {"score": {…}}, "by_asked": {"asked": {…}},
                      "difference_to_base": {"mean": 0.61, "low": 0.55, "high": 0.67}}}
    """
    by_id = {question.id: question for question in questions}
    arms = {arm: [answer for answer in answers if answer.arm == arm] for arm in dict.fromkeys(a.arm for a in answers)}
    summary: dict[str, dict[str, Any]] = {}
    for arm, of_arm in arms.items():
        summary[arm] = {
            "all": _row(of_arm),
            "by_language": _split(of_arm, {a.question_id: by_id[a.question_id].language for a in of_arm}),
            "by_kind": _split(of_arm, {a.question_id: by_id[a.question_id].kind for a in of_arm}),
            "by_asked": _split(
                of_arm, {a.question_id: ASKED if asked[a.question_id] else DOCUMENT_ONLY for a in of_arm}
            ),
        }
        if arm != "base" and "base" in arms:
            summary[arm]["difference_to_base"] = _difference(of_arm, arms["base"])
    return summary


def _split(answers: Sequence[Answer], group_of: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    groups = sorted(set(group_of.values()))
    return {group: _row([a for a in answers if group_of[a.question_id] == group]) for group in groups}


def _row(answers: Sequence[Answer]) -> dict[str, Any]:
    documents = [answer.document_id for answer in answers]
    return {
        "n": len(answers),
        "num_documents": len(set(documents)),
        "exact": dataclasses.asdict(interval([float(a.exact) for a in answers], documents)),
        "contains": dataclasses.asdict(interval([float(a.contains) for a in answers], documents)),
        "stopped": sum(a.stopped for a in answers) / len(answers),
        "mean_reply_tokens": sum(a.num_tokens for a in answers) / len(answers),
        "num_passages_cut": sum(a.passage_cut for a in answers),
        "cites_right": sum(a.cites_right for a in answers) / len(answers),
    }


def _difference(answers: Sequence[Answer], base: Sequence[Answer]) -> dict[str, float]:
    """Share contained, this arm minus the base, on the questions that both answered."""
    of_base = {answer.question_id: answer for answer in base}
    both = [answer for answer in answers if answer.question_id in of_base]
    return dataclasses.asdict(
        paired_difference(
            [float(a.contains) for a in both],
            [float(of_base[a.question_id].contains) for a in both],
            [a.document_id for a in both],
        )
    )
