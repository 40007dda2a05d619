"""Japanese phrases and clauses: sentence → [Clause].

A phrase (bunsetsu) is content words plus the particles behind them; a clause is the phrases up to a predicate:

    スペインが | 36分に | 先制し、  ‖  ポルトガルと | 対戦する。
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ishibumi.knowledge.japanese import Token, drop_brackets, tokenize
from ishibumi.knowledge.predicates_ja import Ending, ending_of, is_past

LINKS = ("一方", "それで", "それでも", "だが", "なお", "また", "ところが")  # beside conjunctions
BESIDE_VERBS = ("いる", "ある", "おる", "くる", "いく", "しまう", "おく", "もらう", "くれる", "くださる")
CHAINS = ("が", "ので", "から", "し", "けれど", "けれども", "ものの", "と", "ば")
LEADING = ("は", "が", "も")


@dataclass
class Phrase:
    """A bunsetsu: `words` and `tail` (particles, auxiliaries), `comma` behind it."""

    words: list[Token]
    tail: list[Token] = field(default_factory=list[Token])
    comma: bool = False

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


@dataclass(frozen=True)
class Clause:
    """Phrases of which the last is the predicate; the first may be the topic that an earlier clause named."""

    phrases: tuple[Phrase, ...]
    ending: Ending | None

    def render(
        self, texts: dict[int, str] | None = None, *, without: frozenset[int] = frozenset(), close: str = ""
    ) -> str:
        """The clause with some phrases replaced or left out, closed by `close` (by itself in the plain form)."""
        texts = texts or {}
        out = "".join(texts.get(i, p.text) for i, p in enumerate(self.phrases[:-1]) if i not in without)
        return out + (close or (self.ending.plain if self.ending else self.phrases[-1].text))


def clauses_of(sentence: str) -> list[Clause]:
    """The clauses of a sentence, in order; each takes the tense of the sentence's end."""
    phrases = phrases_of(sentence)
    past = bool(phrases) and is_past(phrases[-1].tail)
    out: list[Clause] = []
    start, topic = 0, None
    for i in range(len(phrases)):
        if _closes(phrases, i):
            part = phrases[start : i + 1]
            ending = ending_of(part[-1].words, part[-1].tail, past=past, closes_sentence=i + 1 == len(phrases))
            is_led = _leads(part[:-1])
            if ending and ending.noun and not part[-1].tail and any(p.particle == "が" for p in part):
                ending = None  # 30分に山田が追加点。
            out.append(Clause((*([topic] if topic and not is_led else []), *part), ending))
            topic = _topic(part) if is_led else topic
            start = i + 1
    return out


def _topic(part: list[Phrase]) -> Phrase | None:
    """What the next clause is told of if it names nothing: the name that this one leads with.

    A wrong one is worse than none: «佐野がゴールを奪い、追いつかれた» is about the player, then the team.
    """
    i = next(i for i, p in enumerate(part) if p.is_noun and p.particle in LEADING)
    lead, last = part[i], part[-1]
    is_passive = any(t.lemma in ("れる", "られる") for t in (*last.words, *last.tail))
    is_owned = i > 0 and part[i - 1].particle == "の"
    is_person = any(t.kind == "katakana" or t.pos[2] == "人名" for t in lead.words)
    is_name = is_person or any(t.kind == "unknown" or t.pos[1] == "固有名詞" for t in lead.words)
    if not is_name or is_owned or lead.particle == "も" or (lead.particle == "が" and (is_passive or is_person)):
        return None
    return Phrase(lead.words, [Token("は", ("助詞", "係助詞", "*", "*", "*", "*"), "は")])


def _closes(phrases: list[Phrase], i: int) -> bool:
    """Whether phrase `i` is the predicate of a clause that ends there."""
    p = phrases[i]
    if i + 1 == len(phrases):
        return True
    if not p.comma or modifies_noun(phrases, i):
        return False
    last = (p.tail or p.words)[-1]
    if p.is_noun and not p.tail:  # …が快勝、… / 会場はパリ、観客は…
        own, following = _leads(phrases[:i]), _leads(phrases[i + 1 : i + 2])
        is_bare = p.words[-1].pos[2] == "サ変可能" or phrases[i - 1].particle == "が"
        return own and (is_bare or (following and phrases[i - 1].particle == "は"))
    if p.is_noun and p.particle == "で":
        return i > 0 and phrases[i - 1].particle == "は" and p.words[-1].kind in ("number", "katakana", "unknown")
    if last.text in ("て", "で"):
        return _leads(phrases[i + 1 : i + 4])  # else it is told of the same subject, in one breath
    if last.pos[1] == "接続助詞" and last.text in CHAINS:
        return True
    return last.pos[0] in ("動詞", "助動詞", "形容詞") and last.pos[5].startswith("連用形")


def _leads(phrases: list[Phrase]) -> bool:
    return any(q.is_noun and q.particle in LEADING for q in phrases)


def modifies_noun(phrases: Sequence[Phrase], i: int) -> bool:
    """Whether phrase `i` stands before the noun that it modifies."""
    p = phrases[i]
    if i + 1 >= len(phrases) or p.comma:
        return False
    last = (p.tail or p.words)[-1]
    if (p.tail and last.text in ("の", "な") and last.pos[1] != "接続助詞") or p.words[-1].pos[0] == "連体詞":
        return True
    ends = p.is_verb and (not p.tail or last.pos[0] in ("助動詞", "動詞")) and last.pos[5][:3] in ("連体形", "終止形")
    return ends and phrases[i + 1].is_noun


def phrases_of(sentence: str) -> list[Phrase]:
    """The phrases of a sentence, without brackets and without a link to the sentence before."""
    phrases: list[Phrase] = []
    for t in tokenize(drop_brackets(sentence).rstrip("。！？!?")):
        last = phrases[-1] if phrases else None
        if t.text in "、，," and last:
            last.comma = True
        elif t.pos[0] in ("補助記号", "空白") and not t.kind:
            if last and t.text in "・＝-―–/" and not last.tail:
                last.words.append(t)
        elif last and not last.comma and t.pos[0] in ("助詞", "助動詞") and not t.kind:
            last.tail.append(t)
        elif last and not last.comma and _continues(last, t):
            (last.tail if last.tail else last.words).append(t)
        else:
            phrases.append(Phrase([t]))
    is_link = phrases and (phrases[0].words[0].pos[0] == "接続詞" or phrases[0].text.rstrip("、") in LINKS)
    return phrases[1:] if is_link else phrases


def _continues(last: Phrase, t: Token) -> bool:
    """Whether word `t` belongs to the phrase before it."""
    before = (last.tail or last.words)[-1]
    if t.pos[0] == "動詞" and not t.kind:
        if last.tail and t.lemma == "ある" and before.text == "で" and before.pos[0] == "助動詞":
            return True  # 7である
        if last.tail:
            beside = not last.is_noun and t.lemma in BESIDE_VERBS
            return beside and t.pos[1] == "非自立可能" and before.text in ("て", "で")
        is_done = t.lemma in ("する", "できる") and before.pos[0] in ("名詞", "接尾辞")
        return is_done or before.pos[0] in ("動詞", "接頭辞")
    if last.tail:
        return t.pos[0] == "接尾辞" and before.text != "の"
    if t.pos[0] == "形容詞":
        return before.pos[0] == "動詞"
    if before.kind in ("date", "time") or t.kind in ("date", "time", "score", "quote"):
        is_year = before.text.endswith("年") and t.pos[0] == "名詞" and t.pos[2] != "副詞可能" and not t.kind
        return is_year or t.pos[0] == "接尾辞" or (before.kind == "date" and t.kind == "time")
    if t.pos[0] in ("副詞", "連体詞", "接続詞", "感動詞", "代名詞"):
        return False
    return before.kind != "" or before.pos[0] in ("名詞", "接頭辞", "接尾辞", "形状詞", "補助記号")
