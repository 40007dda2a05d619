"""What can be asked for in a Japanese phrase: names, figures, dates and places, with their question words."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from ishibumi.knowledge.japanese import NUMERAL, Token, analyser, tokenize
from ishibumi.knowledge.words import words

FACILITY = words(
    "スタジアム フィールド 競技場 球場 会館 ホール アリーナ ドーム センター 体育館 会議室 公園 図書館 美術館 博物館 "
    "病院 空港 大橋"
)
PLACE = words("県 市 町 村 区 都 府 州 島 駅 港 寺 神社 城 半島 地方 海岸 湾 会場 本部 近郊 郊外 広場 川 山")
ORGANISATION = words(
    "党 省 庁 社 大学 高校 中学校 小学校 委員会 銀行 協会 連盟 組合 機構 研究所 チーム 代表 電機 電力 製作所 "
    "ホールディングス グループ 球団 新聞 裁判所 議会 政府 事務局 財団 連合 軍 クラブ"
)
ENDS = {"facility": FACILITY, "place": PLACE, "organisation": ORGANISATION}
BODY = re.compile(r"^(?:株式会社|(?:[A-Z]{0,2}FC|SC)(?![A-Za-z]))|(?:株式会社|FC|SC|Inc\.?|Ltd\.?|Corp\.?)$")
TITLES = words(
    "氏 さん 選手 監督 首相 大統領 社長 会長 市長 知事 教授 議員 大臣 委員 委員長 主将 投手 捕手 相 総裁 幹事長 長官 "
    "博士 町長 村長 理事長 部長 課長 弁護士 記者 さま 様 君 ら 夫妻 王 女王 皇帝 天皇 名人 棋士"
)
PERIODS = words("前半 後半 延長 延長前半 延長後半 上期 下期 アディショナル アディショナルタイム ロスタイム タイム")
QUESTION_WORDS = {"person": "誰", "place": "どこ", "facility": "どこ", "country": "どこ", "organisation": "どこ"}
NOT_IN_NAMES = "氏様君派家邸案妻兄弟親子ら側戦軍流型系弾砲発組役卿公王帝相職賞杯"
JOINING, NOUNS = ("", "katakana", "latin", "unknown"), ("名詞", "接尾辞", "接頭辞", "記号")
# What stands behind an unknown word that is a place: で, 市, のルーメン・スタジアム
AT_PLACE = re.compile(f"で(?!す)|市|州|県|近郊|郊外|の[^、。はがをに]{{0,14}}(?:{'|'.join(FACILITY)})")


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
    for text in texts:
        tokens = tokenize(text)
        for i, t in enumerate(tokens):
            after = "".join(x.text for x in tokens[i + 1 : i + 9])
            if t.kind == "katakana" and dotted_kind(t.text) == "person":
                found[t.text] = None
            elif (t.kind == "unknown" or t.pos[2] == "人名") and AT_PLACE.match(after):
                places.add(t.text)
            elif t.pos[2] == "人名" and not t.kind and (i == 0 or tokens[i - 1].pos[2] != "人名"):
                found["".join(x.text for x in tokens[i : i + _person_length(tokens[i:])])] = None
            elif t.kind == "unknown" and after.startswith(TITLES):
                titled.add(t.text)
    called = [(p, name) for name in found for p in re.split("[・＝=]", name)[1:] or [tokenize(name)[0].text]]
    num_called = Counter(short for short, _ in called)
    full = {short: name for short, name in called if num_called[short] == 1 < len(short) < len(name)}
    is_foreign = any("・" in name for name in found)
    return Names(full, frozenset({*found, *full, *titled}), frozenset(places - set(full)), is_foreign)


@lru_cache(maxsize=4096)
def dotted_kind(text: str) -> str:
    """Whether a katakana run with dots is a person, a place or another name."""
    whole = [m.part_of_speech() for m in analyser().tokenize(text)]
    if len(whole) == 1 and whole[0][2] == "地名":
        return "country" if whole[0][3] == "国" else "place"
    parts = [tokenize(part) for part in re.split("[・＝=]", text)]
    is_common = all(len(p) == 1 and p[0].kind == "" and p[0].pos[1] == "普通名詞" for p in parts)
    return _by_end(text) or ("name" if is_common else "person")


def _by_end(text: str) -> str:
    return next((kind for kind, ends in ENDS.items() if text.endswith(ends)), "")


def _person_length(tokens: Sequence[Token]) -> int:
    """How many words at the start are one person's name."""
    n = next((i for i, t in enumerate(tokens) if t.pos[2] != "人名" or t.kind), len(tokens))
    if n == 1 and tokens[0].pos[3] == "姓":
        # A given name that the dictionary lacks is cut into single characters: 上田 | 綺 | 世
        given = f"(?![{NOT_IN_NAMES}])[一-龥々]"
        n = next((i for i, t in enumerate(tokens[1:4], 1) if not re.fullmatch(given, t.text)), len(tokens[:4]))
    return n


def entities(words: Sequence[Token], names: Names, topic: str = "") -> list[Entity]:
    """What can be asked for in the words of a phrase, from left to right; `topic` is the phrase before it."""
    out: list[Entity] = []
    i = start = 0
    while i < len(words):
        if words[i].kind == "bare" and (words[i - 1].text if i else topic).endswith("番号"):  # 背番号10
            out.append(Entity(start, start + len(words[i].text), "number", words[i].text, "何番"))
        length, kind, answer = _entity_at(words[i:], names)
        text = "".join(t.text for t in words[i : i + length])
        end = start + len(text)
        answer = answer or text
        if kind and len(answer) > 1 and not re.fullmatch(r"[A-Z]{1,3}|\d+[.-]", answer):
            out.append(Entity(start, end, kind, answer, _word_for(kind, text)))
        i, start = i + length, end
    return out


def _entity_at(words: Sequence[Token], names: Names) -> tuple[int, str, str]:
    """(number of words, kind or "", answer if it is not those words) of what stands first."""
    t = words[0]
    n = next((k for k, x in enumerate(words) if x.text not in PERIODS), 0)
    if words[n].kind == "number":  # 後半8分 is not 8分
        return n + 1, "date" if re.fullmatch(r"(約)?\d{1,2}日|\d{3,4}年(ごろ|頃)?", t.text) else "number", ""
    if t.kind in ("date", "time"):
        return 1, t.kind, ""
    if t.kind == "score":
        return 1, "score", re.sub("[―–—−]|対", "-", t.text)
    if t.kind == "quote":
        return 1, "title" if len(t.text) <= 22 else "", t.text[1:-1]
    if t.kind == "bare" and len(words) > 1:
        return 2, "number", ""
    return _name_at(words, names)


def _name_at(words: Sequence[Token], names: Names) -> tuple[int, str, str]:
    t, run = words[0], _person_length(words)
    readings = (
        [m.part_of_speech()[2] for m in analyser().tokenize(t.text)] if re.fullmatch("[ァ-ヴー]+", t.text) else []
    )
    if t.text in names.places or (run == 1 and t.text not in names.full and readings[:1] == ["地名"]):
        return 1, "place", ""
    if run:
        return run, "person", names.full.get("".join(x.text for x in words[:run]), "")
    ends = (x.kind not in JOINING or x.pos[0] not in NOUNS or x.text in TITLES for x in words)
    n = next((k for k, is_end in enumerate(ends) if is_end), len(words))
    text, is_named = "".join(x.text for x in words[:n]), any(x.kind or x.pos[1] == "固有名詞" for x in words[:n])
    kind = _by_end(text) if n > 1 and t.text not in names.persons else ""
    kind = kind or ("organisation" if BODY.search(text) else "")
    if kind and (is_named or (kind == "facility" and len(text) > 4)):
        return n, kind, ""
    if t.kind == "unknown":
        return 1, "person" if names.is_foreign or t.text in names.persons else "name", names.full.get(t.text, "")
    if t.kind == "katakana":
        return 1, dotted_kind(t.text), ""
    if t.pos[2] == "地名":
        n = next((k for k, x in enumerate(words) if x.pos[2] != "地名" and x.text not in PLACE), len(words))
        return n, "country" if n == 1 and t.pos[3] == "国" else "place", ""
    return 1, "name" if t.kind == "latin" or t.pos[1] == "固有名詞" else "", ""


def _word_for(kind: str, text: str) -> str:
    """The question word: 誰, どこ, 何分, 何対何, いつ, 何 …"""
    if kind in ("score", "date"):
        return "何対何" if kind == "score" else "いつ"
    if kind == "number" and text.endswith(("分", "つ")):
        return "何分" if text.endswith("分") else "いくつ"
    if kind in ("time", "number"):
        asked = re.sub("(?<![A-Za-z0-9.])" + NUMERAL, "何", text).replace("何半", "何")
        return re.sub("^(約|およそ|計)", "", asked)
    return QUESTION_WORDS.get(kind, "何")
