"""The forms of a Japanese predicate: words → Ending. 先制し → 先制した, 先制しました."""

from collections.abc import Sequence
from dataclasses import dataclass

from ishibumi.knowledge.japanese import Token

GODAN = {row[0]: row[1] for row in ("うい", "くき", "ぐぎ", "すし", "つち", "ぬに", "ぶび", "むみ", "るり")}
PAST = dict(
    zip("うくぐすつぬぶむる", ["った", "いた", "いだ", "した", "った", "んだ", "んだ", "んだ", "った"], strict=True)
)
LINKING = ("て", "で", "が", "ので", "から", "し", "けれど", "けれども", "ものの", "と")


@dataclass(frozen=True)
class Ending:
    """A predicate in the plain and in the polite form; `noun` is what a copula follows, empty for verbs."""

    plain: str
    polite: str
    past: bool
    noun: str = ""


def is_past(tail: Sequence[Token]) -> bool:
    """Whether た is in the tail."""
    return any(t.lemma == "た" and t.pos[0] == "助動詞" for t in tail)


def ending_of(words: Sequence[Token], tail: Sequence[Token], *, past: bool, closes_sentence: bool) -> Ending | None:
    """The predicate's forms, or None where its tail says more than tense (ない, たい, だろう, か …)."""
    tokens = [*words, *tail]
    at = max((i for i, t in enumerate(tokens) if t.inflects and t.lemma != "ます"), default=-1)
    if at < 0 or (at and tokens[at].lemma == "ある" and tokens[at - 1].text == "で"):
        return _noun(words, tail, past=past) if words[-1].pos[0] != "形容詞" else None
    verb, rest = tokens[at], tokens[at + 1 :]
    if any(not _is_plain(t) for t in rest) or verb.pos[5].startswith(("命令形", "意志推量形")):
        return None
    finite = closes_sentence or any(t.text in LINKING[2:] for t in rest)
    past = is_past(rest) or (past and not finite)
    head = "".join(t.text for t in tokens[:at])
    polite = head + _stem(verb) + ("ました" if past else "ます")
    return Ending(head + (_past(verb) if past else verb.lemma), polite, past)


def _is_plain(t: Token) -> bool:
    is_auxiliary = t.pos[0] == "助動詞" and t.lemma in ("た", "ます", "です")
    return is_auxiliary or (t.pos[1] == "接続助詞" and t.text in LINKING)


def _noun(words: Sequence[Token], tail: Sequence[Token], *, past: bool) -> Ending | None:
    if any(t.lemma not in ("だ", "です", "た", "ある", "が", "で", "て") for t in tail):
        return None
    noun = "".join(t.text for t in words)
    past = past or is_past(tail)
    if not tail and words[-1].pos[2] == "サ変可能" and not words[-1].kind:
        return Ending(noun + "した", noun + "しました", True) if past else None
    return Ending(noun + ("だった" if past else "である"), noun + ("でした" if past else "です"), past, noun)


def _stem(token: Token) -> str:
    """The form before ます."""
    lemma = token.lemma
    if token.pos[4].startswith("五段"):
        return lemma[:-1] + GODAN[lemma[-1]]
    if token.pos[4].startswith("サ行"):
        return lemma[:-2] + ("じ" if lemma.endswith("ずる") else "し")
    return "き" if lemma == "くる" else lemma[:-1]


def _past(token: Token) -> str:
    lemma = token.lemma
    if token.pos[4].startswith("五段"):
        return lemma[:-1] + ("った" if lemma in ("行く", "いく") else PAST[lemma[-1]])
    return _stem(token) + "た"
