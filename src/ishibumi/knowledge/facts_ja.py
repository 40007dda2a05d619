"""What can be asked for in a Japanese phrase: names, figures, dates and places, with their question words."""

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ishibumi.knowledge.japanese import NUMERAL, Token, analyser, tokenize
from ishibumi.knowledge.words import words

FACILITY_END = words(
    "スタジアム 競技場 球場 会館 ホール アリーナ ドーム センター 体育館 武道館 会議室 公園 図書館 美術館 博物館 "
    "病院 広場 空港 大橋"
)
PLACE_END = words("県 市 町 村 区 都 府 州 島 駅 港 寺 神社 城 半島 地方 海岸 湾 会場 本部 近郊 郊外 川 山")
ORG_END = words(
    "党 省 庁 社 大学 高校 中学校 小学校 委員会 銀行 協会 連盟 組合 機構 研究所 チーム 代表 電機 電力 製作所 "
    "ホールディングス グループ 球団 新聞 裁判所 議会 政府 事務局 財団 連合 軍 クラブ"
)
TITLES = frozenset(
    words(
        "氏 さん 選手 監督 首相 大統領 社長 会長 市長 知事 教授 議員 大臣 委員 委員長 主将 投手 捕手 元首相 相 総裁 "
        "幹事長 長官 博士 町長 村長 理事長 部長 課長 弁護士 記者 さま 様 君 ら 夫妻 副大統領 王 女王 皇帝 天皇 名人 棋士"
    )
)
PERIODS = frozenset(
    words("前半 後半 延長 延長前半 延長後半 上期 下期 アディショナル アディショナルタイム ロスタイム タイム")
)
QUESTION_WORDS = {"person": "誰", "place": "どこ", "facility": "どこ", "country": "どこ", "organisation": "どこ"}
NOT_IN_NAMES = frozenset("氏様君派家邸案妻兄弟親子ら側戦軍流型系弾砲発組役卿公王帝相職賞杯")
AT_PLACES = ("で", "では", "市", "州", "県", "近郊", "郊外")  # what stands behind an unknown word that is a place


@dataclass(frozen=True)
class Entity:
    """`content[start:end]` of a phrase, its kind, the answer to give and the question word."""

    start: int
    end: int
    kind: str
    answer: str
    word: str


@dataclass(frozen=True)
class Names:
    """The names of one document: `full` maps what a person is called to the whole name.

    Where `is_foreign` (some person is written like フェラン・トーレス), an unknown katakana word is one too.
    """

    full: dict[str, str] = field(default_factory=dict[str, str])
    persons: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()
    is_foreign: bool = False


def names_of(texts: Sequence[str]) -> Names:
    """The persons of a document, found over all its sentences, and the places that only their surroundings tell."""
    found: dict[str, None] = {}
    titled: set[str] = set()
    places: set[str] = set()
    for tokens in map(tokenize, texts):
        for i, t in enumerate(tokens):
            after = tokens[i + 1].text if i + 1 < len(tokens) else ""
            if t.kind == "katakana" and dotted_kind(t.text) == "person":
                found[t.text] = None
            elif t.pos[2] == "人名" and not t.kind and (i == 0 or tokens[i - 1].pos[2] != "人名"):
                found["".join(x.text for x in tokens[i : i + _person_length(tokens[i:])])] = None
            elif t.kind == "unknown":
                places |= {t.text} if after in AT_PLACES else set()
                titled |= {t.text} if after in TITLES else set()
    parts: dict[str, set[str]] = {}
    for name in found:
        pieces = re.split("[・＝=]", name)[1:] or [tokenize(name)[0].text]
        for part in (p for p in pieces if 1 < len(p) < len(name)):
            parts.setdefault(part, set()).add(name)
    full = {part: next(iter(names)) for part, names in parts.items() if len(names) == 1}
    is_foreign = any("・" in name for name in found)
    return Names(full, frozenset(found) | frozenset(full) | titled, frozenset(places - set(full)), is_foreign)


@lru_cache(maxsize=4096)
def dotted_kind(text: str) -> str:
    """Whether a katakana run with dots is a person, a place or another name."""
    for ends, kind in ((FACILITY_END, "facility"), (PLACE_END, "place"), (ORG_END, "organisation")):
        if text.endswith(ends):
            return kind
    whole = [m.part_of_speech() for m in analyser().tokenize(text)]
    if len(whole) == 1 and whole[0][2] == "地名":
        return "country" if whole[0][3] == "国" else "place"
    parts = [tokenize(part) for part in re.split("[・＝=]", text)]
    is_common = all(len(p) == 1 and p[0].kind == "" and p[0].pos[1] == "普通名詞" for p in parts)
    return "name" if is_common else "person"


def _person_length(tokens: Sequence[Token]) -> int:
    """How many words at the start are one person's name."""
    n = next((i for i, t in enumerate(tokens) if t.pos[2] != "人名" or t.kind), len(tokens))
    if n == 1 and tokens[0].pos[3] == "姓":
        # A given name that the dictionary lacks is cut into single characters: 上田 | 綺 | 世
        while (
            n < min(len(tokens), 4) and re.fullmatch("[一-龥々]", tokens[n].text) and tokens[n].text not in NOT_IN_NAMES
        ):
            n += 1
    return n


def entities(words: Sequence[Token], names: Names) -> list[Entity]:
    """What can be asked for in the words of a phrase, from left to right."""
    out: list[Entity] = []
    i = start = 0
    while i < len(words):
        length, kind, answer = _entity_at(words, i, names)
        text = "".join(t.text for t in words[i : i + length])
        end = start + len(text)
        if kind and len(answer) > 1 and not re.fullmatch("[A-Z]{1,3}", answer):
            out.append(Entity(start, end, kind, answer, _word_for(kind, text)))
        i, start = i + length, end
    return out


def _entity_at(words: Sequence[Token], i: int, names: Names) -> tuple[int, str, str]:
    """(number of words, kind or "", answer) of what starts at word `i`."""
    t = words[i]
    n = next((k for k in range(i, len(words)) if words[k].text not in PERIODS), i)
    if n > i and words[n].kind == "number":
        return n - i + 1, "number", "".join(x.text for x in words[i : n + 1])  # 後半8分 is not 8分
    if t.kind == "number":
        return 1, "date" if re.fullmatch(r"(約)?\d{1,2}日|\d{3,4}年(ごろ|頃)?", t.text) else "number", t.text
    if t.kind in ("date", "time"):
        return 1, t.kind, t.text
    if t.kind == "score":
        return 1, "score", re.sub("[―–—−]|対", "-", t.text)
    if t.kind == "quote":
        return 1, "title" if len(t.text) <= 22 else "", t.text[1:-1]
    if t.kind == "bare" and i + 1 < len(words):
        return 2, "number", t.text + words[i + 1].text
    return _name_at(words, i, names)


def _name_at(words: Sequence[Token], i: int, names: Names) -> tuple[int, str, str]:
    t = words[i]
    run = _person_length(words[i:])
    if t.text in names.places or (run == 1 and re.fullmatch("[ァ-ヴー]+", t.text) and _is_place(t.text, names)):
        return 1, "place", t.text
    if run:
        name = "".join(x.text for x in words[i : i + run])
        return run, "person", names.full.get(name, name)
    length, kind = _ending_kind(words[i:], names)
    if kind:
        return length, kind, "".join(x.text for x in words[i : i + length])
    if t.kind == "unknown":
        is_person = names.is_foreign or t.text in names.persons
        return 1, "person" if is_person else "name", names.full.get(t.text, t.text)
    if t.kind == "katakana":
        return 1, dotted_kind(t.text), t.text
    if t.kind == "latin":
        return 1, "name", t.text
    if t.pos[1] != "固有名詞":
        return 1, "", t.text
    if t.pos[2] == "地名":
        n = next((k for k, x in enumerate(words[i:]) if x.pos[2] != "地名" and x.text not in PLACE_END), len(words) - i)
        return n, "country" if n == 1 and t.pos[3] == "国" else "place", "".join(x.text for x in words[i : i + n])
    return 1, "name", t.text


def _is_place(text: str, names: Names) -> bool:
    return text not in names.full and next(iter(analyser().tokenize(text))).part_of_speech()[2] == "地名"


def _ending_kind(words: Sequence[Token], names: Names) -> tuple[int, str]:
    """(number of words, kind) of a run of nouns whose last word says that it is a place or an organisation."""
    n = 0
    while n < len(words) and _joins(words[n]):
        n += 1
    text = "".join(t.text for t in words[:n])
    is_named = any(t.kind in ("katakana", "latin", "unknown") or t.pos[1] == "固有名詞" for t in words[:n])
    if n < 2 or words[0].text in names.persons:
        return 0, ""
    for ends, kind in ((FACILITY_END, "facility"), (PLACE_END, "place"), (ORG_END, "organisation")):
        if text.endswith(ends) and (is_named or (kind == "facility" and len(text) > 4)):
            return n, kind
    return 0, ""


def _joins(t: Token) -> bool:
    is_word = t.kind in ("", "katakana", "latin", "unknown") and t.pos[0] in ("名詞", "接尾辞", "接頭辞", "記号")
    return is_word and t.text not in TITLES


def _word_for(kind: str, text: str) -> str:
    """The question word: 誰, どこ, 何分, 何対何, いつ, 何 …"""
    if kind == "score":
        return "何対何"
    if kind == "date":
        return "いつ"
    if kind == "number" and text.endswith("分"):
        return "何分"
    if kind in ("time", "number"):
        if re.fullmatch("[一二三四五六七八九]つ", text):
            return "いくつ"
        asked = re.sub("(?<![A-Za-z0-9.])" + NUMERAL, "何", text).replace("何半", "何")
        return re.sub("^(約|およそ|計)", "", asked)
    return QUESTION_WORDS.get(kind, "何")
