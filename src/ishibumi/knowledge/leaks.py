"""Leaks between training texts and the exam: near-copies of exam wording, and which facts were asked about.

exam      試合の会場はどこでしたか      →  試合 の 会場 はどこでしたか          (runs of one script; English: words)
training  leaks if it has 8 such tokens of an exam question in a row, or the whole of a shorter one

What was generated is left out where it leaks (remove_leaks); what the user gave stops the run (find_leaks).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ishibumi.knowledge.checks import comparable
from ishibumi.knowledge.items import Item

NGRAM = 8


@dataclass(frozen=True)
class Leak:
    """A training text, named by where it stands, that has words of an exam question."""

    place: str
    question_id: str
    words: str


Sets = tuple[frozenset[tuple[str, ...]], dict[tuple[str, ...], tuple[tuple[str, ...], ...]]]


def normalise_tokens(text: str, language: str) -> list[str]:
    """The tokens that leaks are counted in: words in English, runs of one script in Japanese; no punctuation."""
    text = unicodedata.normalize("NFKC", text).lower()
    if language == "en":
        return re.findall(r"[^\W_]+", text)
    return ["".join(run) for script, run in groupby(text, key=_script) if script]


def _script(character: str) -> str:
    """The script of a character; empty for what separates tokens."""
    if "\u3041" <= character <= "\u309f":
        return "hiragana"
    if "\u30a1" <= character <= "\u30fa" or character == "ー":
        return "katakana"
    if "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf" or character in "々〆〇":
        return "kanji"
    if character.isdecimal():
        return "digits"
    return "letters" if character.isalpha() else ""


def language_of(text: str) -> str:
    """«ja» if the text has a Japanese letter, else «en»."""
    return "ja" if re.search("[\u3041-\u30ff\u4e00-\u9fff]", text) else "en"


def exam_sets(questions: Iterable[str], *, n: int = NGRAM) -> Sets:
    """What `shares_ngram` looks up: all n-grams of the questions, and shorter questions by their first token pair."""
    grams: set[tuple[str, ...]] = set()
    short: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for question in questions:
        tokens = tuple(normalise_tokens(question, language_of(question)))
        if len(tokens) >= n:
            grams.update(_grams(tokens, n))
        elif tokens:
            short.setdefault(tokens[:2], []).append(tokens)
    return frozenset(grams), {key: tuple(dict.fromkeys(values)) for key, values in short.items()}


def _grams(tokens: Sequence[str], n: int) -> Iterable[tuple[str, ...]]:
    return zip(*(tokens[i:] for i in range(n)), strict=False)


def shares_ngram(question_token_sets: Sets, text: str, *, n: int = NGRAM) -> bool:
    """Whether the text has n tokens of a question in a row, or the whole of a question with fewer tokens."""
    return bool(shared_tokens(question_token_sets, text, n=n))


def shared_tokens(question_token_sets: Sets, text: str, *, n: int = NGRAM) -> tuple[str, ...]:
    """The first n tokens in a row that the text has of a question, or the shorter question that it has; else none."""
    grams, short = question_token_sets
    tokens = normalise_tokens(text, language_of(text))
    for gram in _grams(tokens, n):
        if gram in grams:
            return gram
    for i in range(len(tokens)):
        for key in (tuple(tokens[i : i + 2]), tuple(tokens[i : i + 1])):
            for question in short.get(key, ()):
                if tuple(tokens[i : i + len(question)]) == question:
                    return question
    return ()


def find_leaks(texts: Iterable[tuple[str, str]], questions: Sequence[tuple[str, str]], *, n: int = NGRAM) -> list[Leak]:
    """The texts, as (place, text), that have wording of a question, as (id, question), with the words they share."""
    sets = exam_sets((question for _, question in questions), n=n)
    found: list[Leak] = []
    for place, text in texts:
        words = shared_tokens(sets, text, n=n)
        if words:
            whose = next(name for name, question in questions if shared_tokens(exam_sets([question], n=n), text, n=n))
            found.append(Leak(place, whose, " ".join(words)))
    return found


def remove_leaks(
    items: Sequence[Item], exam_questions: Sequence[str], *, n: int = NGRAM
) -> tuple[list[Item], list[Item]]:
    """(kept, leaked): the items whose text, with its answer, repeats no exam wording, and the others.

    A view whose lines are each a fact of its own loses only the lines that do; those are leaked items then.
    """
    sets = exam_sets(exam_questions, n=n)
    kept: list[Item] = []
    leaked: list[Item] = []
    for item in items:
        text = f"{item.text}\n{item.answer}" if item.answer else item.text
        if not shares_ngram(sets, text, n=n):
            kept.append(item)
            continue
        lines = item.text.split("\n") if item.rule.endswith(":facts") else []
        clean = [line for line in lines if not shares_ngram(sets, line, n=n)]
        rest = replace(item, text="\n".join(clean))
        if clean and not shares_ngram(sets, rest.text, n=n):
            kept.append(rest)
            leaked += [replace(item, text=line) for line in lines if line not in clean]
        else:
            leaked.append(item)
    return kept, leaked


def coverage(items: Sequence[Item], questions: Sequence[tuple[str, Sequence[str]]]) -> list[bool]:
    """For each (document id, gold answers): whether a generated question of that document has one of the answers."""
    asked: dict[str, set[str]] = {}
    for item in items:
        if item.kind == "question":
            asked.setdefault(item.document_id, set()).add(_bare(item.answer))
    return [
        any(_bare(answer) in asked.get(document_id, ()) for answer in answers) for document_id, answers in questions
    ]


def _bare(answer: str) -> str:
    """The answer as it is compared: without a leading English article, case, spaces and punctuation."""
    return comparable(re.sub(r"^(?:the|an?) ", "", answer.strip(), flags=re.IGNORECASE))
