"""Japanese phrases with heads: text → Sentence. What every Japanese rule stands on.

A phrase (bunsetsu) is content words plus the particles behind them. Each phrase depends on a later one:

    7月2日、スペインが頭で合わせて先制し、ポルトガルと対戦する。
    └──────┴────────┴───┴─合わせて─┘先制し  └─────────┴対戦する
"""

import re
from dataclasses import dataclass, field

from ishibumi.knowledge.japanese import Token, drop_brackets, tokenize

FORMAL = ("ため", "ほか", "うち", "もと", "際", "とき", "場合", "結果")
TIME_END = ("年", "月", "日", "時", "分", "秒", "回", "戦", "目", "試合", "節", "局", "大会", "次", "番")
LINKS = re.compile(
    "^(?:(?:しかし|また|さらに|そして|一方|なお|ただ|それでも|でも|だから|そこで|すると|ただし|その後|このため|だが)、|ところが、?|だが)"
)


@dataclass
class Phrase:
    """A bunsetsu: `words` + `tail` (particles, auxiliaries), `comma` behind it, `head` = index of what it depends on.

    `closes` marks a noun that is a predicate without a copula (会場はパリ、…).
    """

    words: list[Token]
    tail: list[Token] = field(default_factory=list[Token])
    comma: bool = False
    head: int = -1
    closes: bool = False

    @property
    def content(self) -> str:
        """The text without particles."""
        return "".join(t.text for t in self.words)

    @property
    def particle(self) -> str:
        """The particles behind it."""
        return "".join(t.text for t in self.tail)

    @property
    def text(self) -> str:
        """The whole phrase with its comma."""
        return self.content + self.particle + ("、" if self.comma else "")

    @property
    def is_noun(self) -> bool:
        """Whether it is a noun phrase (with or without copula)."""
        return self.words[-1].kind != "" or self.words[-1].pos[0] in ("名詞", "代名詞", "接尾辞", "形状詞", "記号")

    @property
    def is_verb(self) -> bool:
        """Whether it ends in a verb or adjective."""
        return self.words[-1].kind == "" and self.words[-1].pos[0] in ("動詞", "形容詞")

    @property
    def is_copula(self) -> bool:
        """Whether a noun is made a predicate by だ, である, です."""
        return self.closes or (
            self.is_noun
            and any(t.pos[4] in ("助動詞-ダ", "助動詞-デス") for t in self.tail)
            and self.particle not in ("な", "に", "には")
        )


@dataclass(frozen=True)
class Sentence:
    """Its text without brackets, and its phrases with heads."""

    text: str
    phrases: tuple[Phrase, ...]


def chunk(tokens: list[Token]) -> list[Phrase]:
    """The phrases of a sentence."""
    phrases: list[Phrase] = []
    for t in tokens:
        last = phrases[-1] if phrases else None
        if t.text in "、，,":
            if last:
                last.comma = True
        elif t.pos[0] in ("補助記号", "空白") and not t.kind:
            if last and t.text in "・＝-―–/" and not last.tail:
                last.words.append(t)
        elif last and not last.comma and t.is_function and not t.kind:
            last.tail.append(t)
        elif last and not last.comma and _continues(last, t):
            (last.tail if last.tail else last.words).append(t)
        else:
            phrases.append(Phrase([t]))
    return phrases


def _continues(last: Phrase, t: Token) -> bool:
    """Whether word `t` belongs to the phrase before it."""
    before = (last.tail or last.words)[-1]
    if t.pos[0] == "動詞" and not t.kind:
        if t.lemma == "ある" and before.pos[0] == "助動詞":
            return True
        if last.tail:
            return (
                t.pos[1] == "非自立可能"
                and before.text in ("て", "で", "に")
                and (before.text != "に" or t.lemma == "なる")
                and _light(t, last)
            )
        return (t.lemma in ("する", "できる") and before.pos[0] in ("名詞", "接尾辞")) or before.pos[0] in (
            "動詞",
            "接頭辞",
        )
    if last.tail:
        return (t.pos[0] == "接尾辞" and before.text != "の") or (t.text == "ない" and last.particle in ("では", "で"))
    if t.pos[0] == "形容詞":
        return before.pos[0] in ("動詞",)
    if (
        before.kind == "date"
        and before.text.endswith("年")
        and t.pos[0] == "名詞"
        and t.kind in ("", "katakana", "latin")
    ):
        return t.pos[2] != "副詞可能"
    if before.kind == "date" and t.kind == "time":
        return True
    if before.kind in ("date", "time") or t.kind in ("date", "score", "quote"):
        return t.pos[0] == "接尾辞" or t.text in ("ごろ", "頃", "以来", "以降", "現在", "付")
    if (
        (before.kind == "number" and before.text.endswith("間"))
        or before.text in FORMAL
        or (t.kind == "number" and before.kind == "unknown")
    ):
        return t.pos[0] == "接尾辞"
    if t.pos[0] in ("副詞", "連体詞", "接続詞", "感動詞", "代名詞"):
        return False
    return before.pos[0] in ("名詞", "接頭辞", "接尾辞", "形状詞", "補助記号") or before.kind != ""


def _light(t: Token, last: Phrase) -> bool:
    """Whether て + verb is one predicate (している, ておく) and not two."""
    return not last.is_noun and t.lemma in (
        "いる",
        "ある",
        "おる",
        "くる",
        "いく",
        "しまう",
        "おく",
        "もらう",
        "くれる",
        "くださる",
    )


def is_predicate(phrase: Phrase, *, is_last: bool) -> bool:
    """Whether the phrase can close a clause."""
    return phrase.is_verb or phrase.is_copula or _is_sahen(phrase) or is_last


def _is_sahen(phrase: Phrase) -> bool:
    """Whether a noun of action stands alone with a comma as a predicate (…が快勝、…)."""
    return phrase.is_noun and not phrase.tail and phrase.comma and phrase.words[-1].pos[2] == "サ変可能"


def modifies_noun(phrases: list[Phrase], i: int) -> bool:
    """Whether phrase `i` stands before the noun that it modifies."""
    p = phrases[i]
    if i + 1 >= len(phrases):
        return False
    if p.tail and p.tail[-1].text in ("の", "な") and not p.comma and p.tail[-1].pos[1] != "接続助詞":
        return True
    if p.words[-1].pos[0] == "連体詞":
        return True
    last = (p.tail or p.words)[-1]
    closes = p.is_verb and (not p.tail or last.pos[0] in ("助動詞", "動詞")) and last.pos[5][:3] in ("連体形", "終止形")
    return closes and not p.comma and phrases[i + 1].is_noun


def parse(sentence: str) -> Sentence:
    """The phrases of a sentence with heads, each as near as particles, commas and taken places allow."""
    text = LINKS.sub("", drop_brackets(sentence))
    phrases = chunk(tokenize(text.rstrip("。！？!?")))
    _mark_bare_copulas(phrases)
    taken: dict[int, set[str]] = {}
    for i in range(len(phrases) - 2, -1, -1):
        phrases[i].head = _head_of(phrases, i, taken)
        taken.setdefault(phrases[i].head, set()).add(phrases[i].particle)
    return Sentence(text, tuple(phrases))


def _mark_bare_copulas(phrases: list[Phrase]) -> None:
    """Mark nouns that end «XはY、…» or «XはYで、…» when another subject follows, or where Y is an amount."""
    topic = -1
    for i, p in enumerate(phrases):
        if p.is_verb and not modifies_noun(phrases, i):
            topic = i if p.particle.endswith("のは") else -1
        elif (
            p.is_noun
            and p.comma
            and p.particle in ("", "で")
            and topic >= 0
            and p.words[-1].kind not in ("date", "time", "score")
        ):
            rest = phrases[i + 1 :]
            verb = next((j for j, q in enumerate(rest) if q.is_verb and not modifies_noun(rest, j)), len(rest))
            is_moment = p.content.endswith(TIME_END)
            is_amount = p.words[-1].kind == "number" and p.particle == "で" and topic == i - 1 and not is_moment
            is_moment = is_moment and not p.tail
            is_cleft = topic >= 0 and phrases[topic].is_verb and p.particle == "で"
            p.closes = is_amount or is_cleft or (not is_moment and any(q.particle == "は" for q in rest[:verb]))
            topic = -1 if p.closes else topic
        elif p.is_noun and p.particle in ("は", "が"):
            topic = i


def _head_of(phrases: list[Phrase], i: int, taken: dict[int, set[str]]) -> int:
    p, last = phrases[i], len(phrases) - 1
    if modifies_noun(phrases, i):
        return next(
            (j for j in range(i + 1, last + 1) if phrases[j].is_noun or (j == i + 1 and phrases[j].is_verb)), last
        )
    is_topic = p.particle.endswith(("は", "も")) and p.is_noun
    j = i + 1
    while j < last:
        q = phrases[j]
        if is_predicate(q, is_last=False):
            quotes = bool(q.tail) and q.tail[-1].text == "と" and q.tail[-1].pos[1] == "格助詞"
            inside = modifies_noun(phrases, j) or quotes or q.particle in ("との", "よう", "こと")
            is_clause = p.is_verb or p.is_copula or is_topic or p.comma
            full = p.particle in ("が", "を") and p.particle in taken.get(j, ())
            if not (inside and is_clause) and not full:
                return j
        # Stay inside: a phrase may not jump over the head that closes an enclosing clause.
        j = q.head if is_predicate(q, is_last=False) and q.head > j else j + 1
    return last


def subtree(phrases: tuple[Phrase, ...], i: int) -> list[int]:
    """Phrase `i` with everything that depends on it, in order."""
    inside = {i}
    for j in range(i - 1, -1, -1):
        if phrases[j].head in inside:
            inside.add(j)
    return sorted(inside)
