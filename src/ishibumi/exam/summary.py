"""What the answers say: shares with intervals. [Answer] → a JSON-like dict for each arm."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ishibumi.exam.calibration import calibration_error, separation, withheld
from ishibumi.exam.evaluate import Answer
from ishibumi.exam.interval import interval, paired_difference
from ishibumi.exam.questions import COMBINED, GENERATED, HELD_OUT, REVERSED, TRAINING, UNANSWERABLE, Question
from ishibumi.exam.share_right import pooled

ASKED, DOCUMENT_ONLY = "asked", "document_only"
# In the order in which they are shown; the first that an exam has is the one that «all» is about.
SPLIT_ORDER = (HELD_OUT, GENERATED, REVERSED, COMBINED, UNANSWERABLE, TRAINING)
MIN_MEASURED = 30  # replies: fewer say nothing about what a confidence is worth
DIFFERENCES = {"engraved": ("base", "retrieval"), "engraved_retrieval": ("retrieval",)}


def summarise(
    answers: Sequence[Answer], questions: Sequence[Question], asked: Mapping[str, bool]
) -> dict[str, dict[str, Any]]:
    """For each arm: the shares right of its main split, their parts, the other splits, and what the arm does not know.

    `asked` says for every question id whether some generated question asks about that fact («asked») or the fact only
    stands in a document («document_only»). "all" and its parts, the differences and "known_before" are about the main
    split alone, the held-out questions where there are any. "known_before" counts what the untouched base has right and
    gives the share without it; "honesty" is about all questions but those of training.

        {"engraved": {"split": "held_out",
                      "all": {"n": 130, "num_documents": 32, "contains": {"mean": 0.63, "low": 0.57, "high": 0.69},
                              "exact": {…}, "stopped": 0.99, "mean_reply_tokens": 6.1, "num_passages_cut": 0},
                      "by_split": {"held_out": {…}, "reversed": {…}}, "by_language": {"ja": {…}},
                      "by_kind": {"score": {…}}, "by_asked": {"asked": {…}},
                      "differences": {"base": {"mean": 0.61, "low": 0.55, "high": 0.67}},
                      "known_before": {"n": 3, "without": {…}},
                      "honesty": {"refused_unanswerable": {"mean": 0.2, …}, "refused_answerable": {…},
                                  "separation": 0.71, "calibration_error": 0.2,
                                  "withheld": [{"below": 0.41, "right": 0.1, "wrong": 0.8, "unanswerable": 0.5}],
                                  "calibration": [{"lowest": 0.2, "share_right": 0.1, "num_replies": 12}]}}}

    The last two are None where fewer than 30 replies have a confidence, and absent in the summaries of older runs.
    """
    by_id = {question.id: question for question in questions}
    arms = {arm: [answer for answer in answers if answer.arm == arm] for arm in dict.fromkeys(a.arm for a in answers)}
    splits = {by_id[a.question_id].split for a in answers}
    main = next((split for split in SPLIT_ORDER if split in splits), HELD_OUT)
    in_main = {arm: [a for a in of_arm if by_id[a.question_id].split == main] for arm, of_arm in arms.items()}
    known = {a.question_id for a in in_main.get("base", ()) if a.contains}

    def parts(of_arm: Sequence[Answer], group_of: Callable[[Question], str]) -> dict[str, dict[str, Any]]:
        group = {a.question_id: group_of(by_id[a.question_id]) for a in of_arm}
        return {
            name: _row([a for a in of_arm if group[a.question_id] == name], by_id)
            for name in sorted(set(group.values()))
        }

    return {
        arm: {
            "split": main,
            "all": _row(in_main[arm], by_id),
            "by_split": parts(of_arm, lambda q: q.split),
            "by_language": parts(in_main[arm], lambda q: q.language),
            "by_kind": parts(in_main[arm], lambda q: q.kind),
            "by_asked": parts(in_main[arm], lambda q: ASKED if asked[q.id] else DOCUMENT_ONLY),
            "differences": {
                other: _difference(in_main[arm], in_main[other], by_id)
                for other in DIFFERENCES.get(arm, ())
                if other in arms
            },
            "known_before": _known_before(in_main[arm], known, by_id) if "base" in arms else None,
            "honesty": _honesty(of_arm, by_id),
        }
        for arm, of_arm in arms.items()
        if in_main[arm]
    }


def split_sizes(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The splits of an exam in the order in which they are shown, with their numbers of questions."""
    sizes = {name: row["n"] for of_arm in arms.values() for name, row in of_arm["by_split"].items()}
    return {name: sizes[name] for name in SPLIT_ORDER if name in sizes}


def _row(answers: Sequence[Answer], by_id: Mapping[str, Question]) -> dict[str, Any]:
    return {
        "n": len(answers),
        "num_documents": len({name for a in answers for name in by_id[a.question_id].document_ids}),
        "exact": _share(answers, by_id, lambda a: a.exact),
        "contains": _share(answers, by_id, lambda a: a.contains),
        "stopped": sum(a.stopped for a in answers) / len(answers),
        "mean_reply_tokens": sum(a.num_tokens for a in answers) / len(answers),
        "num_passages_cut": sum(a.passage_cut for a in answers),
        "cites_right": sum(a.cites_right for a in answers) / len(answers),
    }


def _share(
    answers: Sequence[Answer], by_id: Mapping[str, Question], is_so: Callable[[Answer], bool]
) -> dict[str, float]:
    documents = [by_id[a.question_id].document_ids for a in answers]
    return dataclasses.asdict(interval([float(is_so(a)) for a in answers], documents))


def _difference(answers: Sequence[Answer], others: Sequence[Answer], by_id: Mapping[str, Question]) -> dict[str, float]:
    """Share contained, this arm minus the other, on the questions that both answered."""
    of_other = {answer.question_id: answer for answer in others}
    both = [answer for answer in answers if answer.question_id in of_other]
    return dataclasses.asdict(
        paired_difference(
            [float(a.contains) for a in both],
            [float(of_other[a.question_id].contains) for a in both],
            [by_id[a.question_id].document_ids for a in both],
        )
    )


def _known_before(answers: Sequence[Answer], known: set[str], by_id: Mapping[str, Question]) -> dict[str, Any]:
    rest = [answer for answer in answers if answer.question_id not in known]
    return {"n": len(known), "without": _row(rest, by_id) if rest else None}


def _honesty(answers: Sequence[Answer], by_id: Mapping[str, Question]) -> dict[str, Any]:
    """How often the arm refuses where it should and where it should not, and whether its confidence tells anything."""
    own = [a for a in answers if by_id[a.question_id].split != TRAINING]
    groups = {"unanswerable": [a for a in own if by_id[a.question_id].split == UNANSWERABLE]}
    groups["answerable"] = [a for a in own if by_id[a.question_id].split != UNANSWERABLE]
    refused = {
        f"refused_{name}": _share(of_group, by_id, lambda a: a.refused) if of_group else None
        for name, of_group in groups.items()
    }
    sure = [(math.exp(a.mean_logprob), a) for a in own if a.mean_logprob is not None]
    confidences, right = [confidence for confidence, _ in sure], [a.contains for _, a in sure]
    found: dict[str, Any] = {
        **refused,
        "separation": separation(confidences, right),
        "calibration_error": calibration_error(confidences, right),
        "withheld": None,
        "calibration": None,
    }
    if len(sure) >= MIN_MEASURED:
        # A refusal of what has no answer is right, but not among the answers that one would rather keep.
        of_answerable = [(c, a.contains) for c, a in sure if by_id[a.question_id].split != UNANSWERABLE]
        found["withheld"] = withheld(
            [confidence for confidence, is_right in of_answerable if is_right],
            [confidence for confidence, is_right in of_answerable if not is_right],
            [c for c, a in sure if by_id[a.question_id].split == UNANSWERABLE and not a.contains],
        )
        found["calibration"] = [dataclasses.asdict(pool) for pool in pooled(confidences, right)]
    return found
