"""Shares right by file of questions, where several made one exam. Answers of variants.py + question files → JSON lines.

python experiments/by_exam.py OUT.answers.jsonl QUESTIONS.jsonl MORE.jsonl …

Replies are graded anew, by the answers that the files accept now.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from ishibumi.artifacts import read_jsonl
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.interval import interval
from ishibumi.exam.questions import Question, read_questions


def main() -> None:
    """Print a line for each variant, file and split: share right with its interval over documents, and by kind."""
    asked: dict[str, tuple[str, Question]] = {}
    for path in map(Path, sys.argv[2:]):
        asked |= {question.question: (path.stem, question) for question in read_questions([path])}
    found: dict[tuple[str, float, str, str], list[tuple[Question, bool]]] = defaultdict(list)
    for row in read_jsonl(Path(sys.argv[1])):
        if "answer" in row and row["answer"][1] in asked:
            split, text, _, reply = row["answer"][:4]
            file, question = asked[text]
            found[row["variant"], row["kept"], file, split].append((question, contains_answer(reply, question)))
    for key, answers in sorted(found.items(), key=lambda entry: entry[0]):
        share = interval([float(is_right) for _, is_right in answers], [q.document_ids for q, _ in answers])
        kinds: dict[str, list[bool]] = defaultdict(list)
        for question, is_right in answers:
            kinds[question.kind].append(is_right)
        told = dict(zip(("variant", "kept", "exam", "split"), key, strict=True))
        figures = {"right": round(share.mean, 3), "low": round(share.low, 3), "high": round(share.high, 3)}
        by_kind = {kind: f"{sum(grades)}/{len(grades)}" for kind, grades in sorted(kinds.items())}
        print(json.dumps(told | figures | {"by_kind": by_kind}, ensure_ascii=False))


if __name__ == "__main__":
    main()
