"""The forms of a Japanese predicate: Phrase → Ending. 先制し → 先制した, 先制しました."""

from dataclasses import dataclass

from ishibumi.knowledge.japanese import Token, past_of, stem_of
from ishibumi.knowledge.phrases import Phrase


@dataclass(frozen=True)
class Ending:
    """A predicate in the plain form (before の, or closing a note) and in the polite form; `noun` before a copula."""

    plain: str
    polite: str
    noun: bool
    past: bool
    is_instruction: bool = False


def is_past(phrase: Phrase) -> bool:
    """Whether た is in the tail."""
    return any(t.lemma == "た" and t.pos[0] == "助動詞" for t in phrase.tail)


def ending_of(phrase: Phrase, *, past: bool, closes_sentence: bool) -> Ending | None:
    """The predicate's plain and polite forms, or None where its tail says more than tense (たい, だろう, か …)."""
    tokens = [*phrase.words, *phrase.tail]
    if phrase.is_noun and phrase.words[-1].pos[0] != "動詞" and not _verb_in_tail(phrase):
        return _noun_ending(phrase, past, closes_sentence)
    k = max((i for i, t in enumerate(tokens) if t.inflects and t.lemma not in ("ます",)), default=-1)
    is_instruction = k > 1 and tokens[k].lemma == "くださる" and tokens[k - 1].text in ("て", "で")
    if is_instruction:
        tokens = tokens[: k - 1]  # an instruction: 交換してください is asked about as 交換する
        k = max((i for i, t in enumerate(tokens) if t.inflects), default=-1)
    head, rest = "".join(t.text for t in tokens[: max(k, 0)]), tokens[k + 1 :]
    if k < 0:
        return _adjective_ending(phrase, past)
    if any(not _is_plain_tail(t) for t in rest):
        return None
    own_past = any(t.lemma == "た" for t in rest)
    finite = closes_sentence or any(
        t.text in ("が", "ので", "から", "けれど", "けれども", "し") and t.pos[1] == "接続助詞" for t in rest
    )
    past = own_past or (past and not finite)
    verb = tokens[k]
    if verb.pos[5].startswith(("命令形", "意志推量形")):
        return None
    if verb.lemma in ("する", "くる", "来る") and verb.pos[4][:2] not in ("サ行", "カ行"):
        return None
    if any(t.lemma in ("ない", "ぬ", "ん", "ず") for t in rest):
        return _negative_ending(head, tokens[k : len(tokens)], past)
    stem = stem_of(verb)
    plain = past_of(verb) if past else verb.lemma
    return Ending(head + plain, head + stem + ("ました" if past else "ます"), False, past, is_instruction)


def _verb_in_tail(phrase: Phrase) -> bool:
    return any(t.pos[0] == "動詞" and t.lemma in ("する", "なる") for t in phrase.tail)


def _is_plain_tail(t: Token) -> bool:
    if t.pos[0] == "助動詞":
        return t.lemma in ("た", "ます", "ない", "ぬ", "ん", "ず", "です")
    return t.pos[1] == "接続助詞" and t.text in ("て", "で", "が", "ので", "から", "し", "けれど", "けれども")


def _negative_ending(head: str, tokens: list[Token], past: bool) -> Ending | None:
    verb, base = tokens[0], tokens[0].text
    if tokens[1].lemma == "ます":
        return None
    polite = head + stem_of(verb) + ("ませんでした" if past else "ません")
    if verb.pos[4].startswith("サ行"):
        base = verb.lemma[:-2] + "し"
    return Ending(head + base + ("なかった" if past else "ない"), polite, False, past)


def _adjective_ending(phrase: Phrase, past: bool) -> Ending | None:
    word = phrase.words[-1]
    if (
        word.pos[0] != "形容詞"
        or (word.lemma == "ない" and word.pos[5].startswith("連用形"))
        or any(t.lemma not in ("た", "です", "て", "が") for t in phrase.tail)
    ):
        return None
    past = past or is_past(phrase)
    head = "".join(t.text for t in phrase.words[:-1])
    plain = head + (word.lemma[:-1] + "かった" if past else word.lemma)
    return Ending(plain, plain + "です", False, past)


def _noun_ending(phrase: Phrase, past: bool, closes_sentence: bool) -> Ending | None:
    allowed = ("だ", "です", "た", "ある", "が", "で", "て")
    if any(t.lemma not in allowed for t in phrase.tail):
        return None
    own_past = is_past(phrase)
    past = own_past or (past and not closes_sentence and bool(phrase.tail or phrase.closes))
    is_action = not phrase.tail and phrase.words[-1].pos[2] == "サ変可能" and not phrase.words[-1].kind
    if is_action and not phrase.closes:
        noun = phrase.content
        return Ending(noun + "した", noun + "しました", False, True) if past else None
    noun = phrase.content
    return Ending(noun + ("だった" if past else "である"), noun + ("でした" if past else "です"), True, past)
