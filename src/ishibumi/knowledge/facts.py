"""Facts of a Japanese text: what in a phrase can be asked for, of which kind, and by which question word."""

import itertools
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache

from ishibumi.knowledge.japanese import NUMERAL, ORG_END, PLACE_END, TITLES, Token, analyser, tokenize
from ishibumi.knowledge.phrases import Phrase, chunk
from ishibumi.knowledge.words import words

QUESTION_WORDS = {"person": "誰", "place": "どこ", "country": "どこ", "organisation": "どこ"}
# What stands behind an unknown word that is a place: で行われ, のルーメン・スタジアム, 市
AT_PLACE = (
    r"(?:では?[^、。]{0,8}(?:行われ|開かれ|開催|あっ|あり)"
    r"|の[^、。はがをに]{0,14}(?:スタジアム|競技場|球場|アリーナ|ホール|ドーム|会館)|市|州|県|近郊|郊外)"
)
NOT_NAME_END = frozenset("氏様君派家邸案妻兄弟親子ら側戦軍流型系弾砲発組役卿公王帝派相職賞杯")


@dataclass(frozen=True)
class Entity:
    """Something to ask for: `content[start:end]` of a phrase, its kind, and the answer to give.

    Kinds: person, country, place, organisation, name, unknown (a name of some kind), date, time, score, number, title,
    other.
    """

    start: int
    end: int
    kind: str
    answer: str


@dataclass(frozen=True)
class Names:
    """The names of one document: `full` maps a short form to the full name, `persons` holds all of them.

    Where `is_foreign` (some person is written like フェラン・トーレス), an unknown katakana word is one too.
    """

    full: dict[str, str] = field(default_factory=dict[str, str])
    persons: frozenset[str] = frozenset()
    is_foreign: bool = False
    places: frozenset[str] = frozenset()


def names_of(texts: list[str]) -> Names:
    """The persons of a document, found over all its sentences, with the parts by which they are also called."""
    found: dict[str, None] = {}
    titled: set[str] = set()
    places: set[str] = set()
    for text in texts:
        tokens = tokenize(text)
        for i, t in enumerate(tokens):
            if t.kind == "katakana" and _dotted_kind(t.text) == "person":
                found[t.text] = None
            elif t.pos[2] == "人名" and not t.kind and (i == 0 or tokens[i - 1].pos[2] != "人名"):
                run = tokens[i : i + _person_length(tokens[i:])]
                found["".join(x.text for x in run)] = None
            elif t.kind == "unknown" and re.search(re.escape(t.text) + AT_PLACE, text):
                places.add(t.text)
            elif t.kind == "unknown" and i + 1 < len(tokens) and tokens[i + 1].text in TITLES:
                titled.add(t.text)
    parts: dict[str, set[str]] = {}
    for name in found:
        for part in _called(name):
            parts.setdefault(part, set()).add(name)
    for short, name in itertools.permutations(found, 2):
        if name.startswith(short):
            parts.setdefault(short, set()).add(name)
    full = {part: next(iter(names)) for part, names in parts.items() if len(names) == 1}
    is_foreign = any("・" in name for name in found)
    return Names(full, frozenset(found) | frozenset(full) | titled, is_foreign, frozenset(places - set(full)))


def _called(name: str) -> list[str]:
    """What a person with this name is called for short."""
    if re.search("[・＝=]", name):
        return [p for p in re.split("[・＝=]", name)[1:] if len(p) > 1]
    first = tokenize(name)[0].text
    return [first] if 1 < len(first) < len(name) else []


@lru_cache(maxsize=4096)
def _dotted_kind(text: str) -> str:
    """Whether a katakana run with dots is a person, a place or another name."""
    if text.endswith(PLACE_END):
        return "place"
    if text.endswith(ORG_END):
        return "organisation"
    whole = _analyse(text)
    if len(whole) == 1 and whole[0][2] == "地名":
        return "country" if whole[0][3] == "国" else "place"
    words = [tokenize(part) for part in re.split("[・＝=]", text)]
    last = words[-1][-1]
    if words[0][0].pos[2] == "地名" and last.pos[2] != "人名" and last.kind != "unknown" and len(last.text) > 2:
        return "place"
    is_known = all(len(w) == 1 and w[0].kind == "" and w[0].pos[1] == "普通名詞" for w in words)
    return "name" if is_known else "person"


def _analyse(text: str) -> list[tuple[str, ...]]:
    """The classes of the dictionary's words in a text that is not cut at fixed spans first."""
    return [tuple(m.part_of_speech()) for m in analyser().tokenize(text)]


def _person_length(tokens: list[Token]) -> int:
    """How many words at the start are one person's name."""
    n = 0
    while n < len(tokens) and tokens[n].pos[2] == "人名" and not tokens[n].kind:
        n += 1
    if n == 1 and tokens[0].pos[3] == "姓":
        # A given name that the dictionary lacks is cut into single characters: 上田 | 綺 | 世
        while (
            n < min(len(tokens), 4) and re.fullmatch("[一-龥々]", tokens[n].text) and tokens[n].text not in NOT_NAME_END
        ):
            n += 1
    if (
        n
        and n < len(tokens)
        and ((n + 1 == len(tokens) and tokens[n].text in "一二三") or re.fullmatch(r"\d+世", tokens[n].text))
    ):
        n += 1  # 復一, ヘンリー8世
    return n


def entities(phrase: Phrase, names: Names) -> list[Entity]:
    """What can be asked for in the noun phrase, from left to right."""
    out: list[Entity] = []
    words, i, start = phrase.words, 0, 0
    while i < len(words):
        length, kind, answer = _entity_at(words, i, names)
        end = start + sum(len(t.text) for t in words[i : i + length])
        if kind:
            out.append(Entity(start, end, kind, answer))
        i, start = i + length, end
    if (
        len(out) > 1
        and all(e.kind in ("place", "country") for e in out)
        and sum(e.end - e.start for e in out) == len(phrase.content)
    ):
        out.append(Entity(0, len(phrase.content), "place", phrase.content))
    if phrase.particle not in ("が", "は", "の", "に", "を", "と", "も", "から", "には"):
        sure = names.persons | names.full.keys()
        guesses = [e for e in out if e.kind == "person" and e.answer not in sure and _is_guess(e, words)]
        out = [replace(e, kind="unknown") if e in guesses else e for e in out]
    is_part = (
        len(out) == 1
        and out[0].kind in ("place", "country", "name", "unknown")
        and out[0].end - out[0].start < len(phrase.content)
    )
    if (not out or is_part) and phrase.is_noun and _is_askable(phrase) and all(_joins(t) for t in words):
        out.append(Entity(0, len(phrase.content), "other", phrase.content))
    return out


def _is_guess(entity: Entity, words: list[Token]) -> bool:
    """Whether the person is a single katakana word that no dictionary has (スコアレス)."""
    return any(t.kind == "unknown" and t.text == entity.answer for t in words)


def _is_askable(phrase: Phrase) -> bool:
    """Whether a common noun is special enough to be asked for."""
    is_plain = phrase.words[0].pos[0] in ("代名詞", "連体詞", "副詞") or phrase.words[-1].pos[1] in ("数詞",)
    formal = phrase.words[-1].pos[2] in ("副詞可能", "形状詞可能", "助動詞語幹") or phrase.words[-1].pos[0] == "形状詞"
    return (
        not is_plain and not formal and (len(phrase.words) > 1 or len(phrase.content) > 2) and len(phrase.content) > 2
    )


# Endings that make a place or an organisation also of common nouns (市立中央図書館, but not 消費電力)
PLAIN_END = words(
    "図書館 美術館 博物館 会館 ホール 公園 競技場 スタジアム 球場 会議室 "
    "会場 病院 広場 跡地 本部 空港 委員会 協会 連盟 組合 機構 研究所 議会 "
    "事務局 財団 裁判所 大学 高校 中学校 小学校"
)
HALVES = frozenset(words("前半 後半 延長 延長前半 延長後半 アディショナル アディショナルタイム ロスタイム 追加 タイム"))


def _entity_at(words: list[Token], i: int, names: Names) -> tuple[int, str, str]:
    """(number of words, kind or "", answer) of what starts at word `i`."""
    t = words[i]
    n = next((k for k in range(i, len(words)) if words[k].text not in HALVES), i)
    if n > i and words[n].kind == "number" and words[n].text.endswith("分"):
        return n - i + 1, "number", "".join(x.text for x in words[i : n + 1])  # 後半8分 is not 8分
    if t.kind == "number" and t.text.endswith("つ") and i:
        return 1, "", ""
    if t.kind in ("date", "time", "number"):
        return 1, _number_kind(t.text) if t.kind == "number" else t.kind, t.text
    if t.kind == "score":
        return 1, "score", re.sub("[―–—−]|対", "-", t.text)
    if t.kind == "quote":
        return 1, "title" if len(t.text) <= 20 else "", t.text[1:-1]
    if t.kind == "bare" and i + 1 < len(words):
        return 2, "number", t.text + words[i + 1].text
    run = _person_length(words[i:])
    is_address = i > 0 and words[i - 1].text.endswith(PLACE_END) and words[i - 1].pos[0] != "接頭辞"
    if is_address and (run == 1 or t.kind in ("unknown", "katakana")):
        return max(run, 1), "place", t.text
    if (
        run == 1
        and re.fullmatch("[ァ-ヴー]+", t.text)
        and t.text not in names.full
        and _analyse(t.text)[0][2] == "地名"
    ):
        return 1, "place", t.text
    if t.text in names.places:
        return 1, "place", t.text
    if run:
        name = "".join(x.text for x in words[i : i + run])
        return run, "person", names.full.get(name, name)
    end = i
    while end < len(words) and _joins(words[end]):
        end += 1
    text = "".join(x.text for x in words[i:end])
    is_named = any(x.kind in ("katakana", "latin", "unknown") or x.pos[1] == "固有名詞" for x in words[i:end])
    ends = (*PLACE_END, *ORG_END) if is_named else PLAIN_END
    if end > i + 1 and text.endswith(ends) and not _is_person(t, names):
        return end - i, "place" if text.endswith(PLACE_END) else "organisation", text
    if t.text in names.full and t.kind == "unknown":
        return 1, "person", names.full[t.text]
    kind = _proper_kind(t, names)
    if kind == "place":
        n = 1
        while (
            i + n < len(words)
            and (words[i + n].pos[2] == "地名" or words[i + n].text in PLACE_END)
            and not words[i + n].kind
        ):
            n += 1
        return n, "place", "".join(x.text for x in words[i : i + n])
    return 1, kind, t.text


def _number_kind(text: str) -> str:
    return "date" if re.fullmatch(r"(約)?\d{1,2}日|\d{3,4}年(ごろ|頃)?", text) else "number"


def _joins(t: Token) -> bool:
    return (
        t.kind in ("", "katakana", "latin", "unknown")
        and t.pos[0] in ("名詞", "接尾辞", "接頭辞", "記号")
        and t.text not in TITLES
    )


def _is_person(t: Token, names: Names) -> bool:
    return t.text in names.persons or (t.kind == "katakana" and _dotted_kind(t.text) == "person")


def _proper_kind(t: Token, names: Names) -> str:
    if t.kind == "katakana":
        return _dotted_kind(t.text)
    if t.kind == "unknown":
        return "person" if names.is_foreign or t.text in names.persons else "unknown"
    if t.kind == "latin":
        return "name" if len(t.text) > 1 else ""
    if t.pos[1] != "固有名詞":
        return ""
    if t.pos[2] == "地名":
        return "country" if t.pos[3] == "国" else "place"
    if t.text.endswith(ORG_END):
        return "organisation"
    return "place" if t.text.endswith(PLACE_END) else "name"


def head_entity(phrase: Phrase, names: Names) -> Entity | None:
    """The entity that the phrase is about: its last one, if only a title or a suffix such as さん follows."""
    found = entities(phrase, names)
    if not found:
        return None
    if found[-1].start == 0 and found[-1].end == len(phrase.content):
        return found[-1]
    rest = phrase.content[found[-1].end :]
    is_role = found[-1].kind == "person" and len(rest) <= 10
    return found[-1] if not rest or is_role else None


def entity_of_text(text: str, names: Names) -> Entity | None:
    """The head entity of a noun phrase given as text."""
    phrases = chunk(tokenize(text))
    return head_entity(phrases[-1], names) if phrases else None


def asks_for(entity: Entity, *, text: str, agent: bool = False, alone: bool = True) -> str:
    """The question word that stands for the entity: 誰, どこ, 何分, 何対何, いつ, 何 …"""
    if entity.kind == "score":
        return "何対何"
    if entity.kind == "date" and alone:
        return "いつ"
    if re.fullmatch("[一二三四五六七八九]つ", text):
        return "いくつ"
    if entity.kind == "number" and text.endswith("分"):
        return "何分"
    if entity.kind in ("date", "time", "number"):
        return re.sub(r"^(約|およそ|計)", "", re.sub("(?<![A-Za-z0-9.])" + NUMERAL, "何", text).replace("何半", "何"))
    if entity.kind == "title":
        return "何"
    return QUESTION_WORDS.get(entity.kind, "どこ" if agent and entity.kind == "name" else "何")
