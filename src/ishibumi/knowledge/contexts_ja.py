"""What a Japanese question needs so that it stands alone: Document → Story (clauses, names, and phrases of context).

«36分に先制した» could be any match of a tournament; «7月2日のスペイン対オーストリア戦で、» in front of it says which.
The phrases are made of the document's date, title, main names and events only.
"""

import datetime as dt
import itertools
import re
from collections import Counter
from dataclasses import dataclass

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.clauses import Clause, clauses_of, relative_clauses, shared_verbs, told_clauses
from ishibumi.knowledge.facts import Names, entities, entity_of_text, head_entity, names_of
from ishibumi.knowledge.japanese import drop_brackets, normalise, normalise_width, split_sentences
from ishibumi.knowledge.phrases import Sentence, parse
from ishibumi.knowledge.words import words

EVENT_END = words(
    "戦 決勝 大会 杯 カップ 選挙 総裁選 会議 委員会 総会 会談 地震 事故 展 "
    "式 祭 決算 裁判 シリーズ トーナメント 試合 議会 サミット 条約 事件 "
    "戦争"
)
RIVALRY = frozenset(
    words(
        "破る 下す 降す 敗れる 勝つ 勝利 快勝 対戦 引き分ける 引き分け 競り勝つ "
        "退ける 負ける 敗戦 逆転 屈する 一蹴 激突 撃破 振り切る"
    )
)
# «同点» and «両親» point nowhere; «同国», «同社» and «両チーム» do.
POINTING = re.compile(
    "^(この|その|これ|それ|あの|彼|彼女|当該|本項|上記|前者|後者|自身|こう|そう|ここ|そこ|どちら|互い|当時"
    "|同(?=国|社|氏|日|年|月|市|県|町|村|区|州|校|大|党|省|庁|署|紙|誌|店|駅|館|院|園|島|法|所|会|団|局|部|派|地|種|型|機|選手|監督|チーム|代表|じ)"
    "|両(?=国|社|氏|者|軍|校|チーム|選手|代表|党|市|県))"
)


@dataclass(frozen=True)
class Context:
    """A phrase to put before a question: `text` ends in の (`joins` «noun») or in で、について、… («clause»)."""

    text: str
    joins: str
    uses: tuple[str, ...]


@dataclass(frozen=True)
class Story:
    """What the rules know of one document."""

    title: str
    date: dt.date | None
    sentences: tuple[Sentence, ...]
    clauses: tuple[Clause, ...]
    names: Names
    main: tuple[str, ...]
    pair: tuple[str, str] | None
    events: tuple[str, ...]
    contexts: tuple[Context, ...]
    source: str


def read_story(document: Document) -> Story:
    """The document's clauses, names and contexts."""
    title = normalise_width(document.title or "").strip("。 ")
    text = with_full_dates(normalise(document.text), document.date)
    text = re.sub(r"この(?:日|試合)(?=\d)|現地(?:時間)?(?=\d{1,2}[月日]|午[前後])", "", text)
    sentences = tuple(parse(s) for s in split_sentences(text) if 4 < len(s) < 400)
    names = names_of([title, *(s.text for s in sentences)])
    clauses: list[Clause] = []
    carried = ""
    for sentence in sentences:
        found = clauses_of(sentence, carried=carried, today=document.date)
        clauses += [*found, *relative_clauses(sentence), *told_clauses(sentence)]
        clauses += [c for clause in found for c in shared_verbs(clause)]
        carried = _topic_of(found, carried, names)
    main = _main_names(title, sentences, names)
    pair = _pair(title, clauses, main, names, text)
    events = _events(title, sentences)
    dates = tuple(date_forms(document.date))
    is_topic = _is_topic(title)
    contexts = tuple(_contexts(title, dates, main, pair, events, is_topic=is_topic, source=text))
    source = "\n".join([title, text, drop_brackets(text), *dates])
    return Story(title, document.date, sentences, tuple(clauses), names, main, pair, events, contexts, source)


def _is_topic(title: str) -> bool:
    """Whether the title is a name (明石海峡大橋) and not a sentence (石破氏が新総裁に)."""
    phrases = (
        parse(re.sub(r"\s", "", title)).phrases
        if title and len(title) <= 30 and not re.search("[、。!！?？:]", title)
        else ()
    )
    return (
        bool(phrases) and all(p.is_noun and p.particle in ("の", "と") for p in phrases[:-1]) and not phrases[-1].tail
    )


def date_forms(date: dt.date | None) -> list[str]:
    """The ways to write the document's date in a context."""
    return [f"{date.month}月{date.day}日", f"{date.year}年{date.month}月{date.day}日"] if date else []


def with_full_dates(text: str, date: dt.date | None) -> str:
    """The text with «2日» made «7月2日» where the document's date leaves no doubt."""
    if date is None:
        return text

    def full(match: re.Match[str]) -> str:
        for back in range(7):
            day = date - dt.timedelta(days=back)
            if day.day == int(match[1]):
                return f"{day.month}月{day.day}日"
        later = int(match[1]) - date.day
        return f"{date.month}月{match[0]}" if 0 < later <= 10 else match[0]

    return re.sub(r"(?<![\d月.,])(\d{1,2})日(?![間目後前以連ぶ])", full, text)


def _topic_of(clauses: list[Clause], carried: str, names: Names) -> str:
    """The topic that the next sentence may lean on: the one named with は, if it is a name or the same as before."""
    for clause in clauses:
        for i in clause.parts:
            if clause.particle(i) == "は" and clause.phrases[i].is_noun:
                text = clause.part_text(i)
                head = head_entity(clause.phrases[i], names)
                return text if head and head.kind not in ("other", "date", "number", "time") and len(text) < 30 else ""
    return carried if clauses and not any(c.has("が", "も") for c in clauses) else ""


def _main_names(title: str, sentences: tuple[Sentence, ...], names: Names) -> tuple[str, ...]:
    """The names that the document is about, most important first."""
    counts: Counter[str] = Counter()
    kinds = ("country", "organisation", "person", "name", "place")
    told = [parse(title), *sentences] if title else [*sentences]
    for n, sentence in enumerate(told):
        for phrase in sentence.phrases:
            for e in entities(phrase, names):
                if e.kind in kinds and len(e.answer) > 1:
                    weight = 6 if n == 0 else 4 if n == 1 else 2  # title, lead, rest
                    counts[e.answer] += weight - (e.kind == "place")
    return tuple(name for name, n in counts.most_common(4) if n >= 4)


def _pair(
    title: str, clauses: list[Clause], main: tuple[str, ...], names: Names, source: str
) -> tuple[str, str] | None:
    """The two sides of a contest, the one that the score is given for first; None for other documents."""
    best: tuple[int, tuple[str, str] | None] = (0, None)
    headline = clauses_of(parse(title)) if title else []
    for text in dict.fromkeys(c.sentence.text for c in clauses):
        versus = re.search(r"([ァ-ヴー・一-龥]{2,}?)対([ァ-ヴー・一-龥]{2,}?)(?=[はがのをでに、戦]|$)", text)
        kinds = {e.kind for n in (1, 2) if (e := entity_of_text(versus[n], names))} if versus else {""}
        if versus and kinds <= {"country", "organisation"} and kinds:
            return versus[1], versus[2]
    for clause in (*clauses, *headline):
        sides, last = _sides(clause, names), clause.last
        is_contest = any(t.lemma in RIVALRY or t.text in RIVALRY for t in (*last.words, *last.tail))
        has_score = any(t.kind == "score" for i in clause.parts for t in clause.phrases[i].words)
        # What lies ahead («6日にポルトガルと対戦する») is not the match of this report.
        weight = (2 * is_contest + 2 * has_score + 1) * (clause.ending.past or clause in headline)
        if sides and weight > best[0]:
            best = (weight, sides)
    has_score = re.search(r"(?<![\d.])\d{1,2}[―–—-]\d{1,2}(?!\d)|\d対\d", source)
    if best[0] >= 2 or not has_score:
        return best[1] if best[0] >= 2 else None
    named = _sides_in(title, source, names)
    if len(named) > 1:
        return named[0], named[1]
    often = [
        m
        for m in main
        if source.count(m) > 1 and (e := entity_of_text(m, names)) and e.kind in ("country", "organisation")
    ]
    second = [m for m in often if m not in named]
    return best[1] or ((named[0], second[0]) if named and second else None)


def _sides_in(title: str, source: str, names: Names) -> list[str]:
    """The countries and organisations that a headline names, in order, with the name that the text gives in full."""
    out: list[str] = []
    for phrase in parse(title).phrases if title else ():
        for e in entities(phrase, names):
            longer = re.search(f"{re.escape(e.answer)}(?:・[ァ-ヴー]+)+", source) if e.kind == "place" else None
            if e.kind in ("country", "organisation") or longer:
                out.append(longer[0] if longer else e.answer)
    return list(dict.fromkeys(out))


def _sides(clause: Clause, names: Names) -> tuple[str, str] | None:
    """Two names of one kind that the clause sets against each other."""
    found = {clause.particle(i): head_entity(clause.phrases[i], names) for i in clause.parts}
    first = found.get("が") or found.get("は") or (entity_of_text(clause.subject, names) if clause.subject else None)
    for particle in ("に", "を", "と", "から"):
        second = found.get(particle)
        if not first or not second or first.answer == second.answer:
            continue
        if {first.kind, second.kind} <= {"country", "organisation"} or first.kind == second.kind == "name":
            return first.answer, second.answer
    return None


def _events(title: str, sentences: tuple[Sentence, ...]) -> tuple[str, ...]:
    """Names of events, the longest first: W杯決勝トーナメント1回戦."""
    found: dict[str, None] = {}
    for sentence in sentences:
        for i, phrase in enumerate(sentence.phrases):
            text = phrase.content
            if (
                text.endswith(EVENT_END)
                and not re.fullmatch(r"(全|計|約)?[\d一-九]+試合", text)
                and len(text) > 3
                and text not in ("シリーズ", "トーナメント")
                and not POINTING.match(text)
                and phrase.is_noun
            ):
                before = sentence.phrases[i - 1] if i else None
                if (
                    before
                    and before.particle == "の"
                    and before.words[-1].kind not in ("date",)
                    and not POINTING.match(before.content)
                    and not re.search(r"まま|\d[―–—-]\d", before.text)
                ):
                    found[before.text + text] = None
                found[text] = None
    return tuple(sorted(found, key=len, reverse=True)[:3])


def _contexts(
    title: str,
    dates: tuple[str, ...],
    main: tuple[str, ...],
    pair: tuple[str, str] | None,
    events: tuple[str, ...],
    *,
    is_topic: bool,
    source: str,
) -> list[Context]:
    out: list[Context] = []

    def add(text: str, joins: str, *uses: str) -> None:
        out.append(Context(text, joins, uses))

    whens = [f"{d}の" for d in dates]
    if pair:
        a, b = pair
        kind = "試合" if re.search(r"試合|\d[―–—-]\d|対", source) else "対決"
        for sides in (f"{a}対{b}", f"{a}と{b}の{kind}", f"{a}対{b}の{kind}", f"{b}対{a}", f"{a}―{b}戦", f"{a}対{b}戦"):
            for when in ("", "", *whens):
                order = "swapped" if sides.startswith(f"{b}対") else "pair"
                add(f"{when}{sides}で、", "clause", "pair", order, when)
                add(f"{when}{sides}の", "noun", "pair", order, when)
        for event, when in itertools.product(events, ("", *whens)):
            add(f"{when}{event}、{a}対{b}で、", "clause", "pair", "event", when)
            add(f"{when}{event}の{a}対{b}で、", "clause", "pair", "event", when)
        for when, side in itertools.product(whens, (a, b)):
            add(f"{when}{side}戦で、", "clause", side, when)
            add(f"{when}{side}戦の", "noun", side, when)
            for event in events:
                add(f"{when}{event}、{side}戦で、", "clause", side, "event", when)
    elif is_topic:
        for text in (
            f"{title}について、",
            f"「{title}」に関して、",
            f"{title}の説明によると、",
            f"{title}に関する質問です。",
            f"『{title}』について、",
        ):
            add(text, "clause", "title")
        if title in source:
            add(f"{title}の", "noun", "title")
    if title and not is_topic:
        for text in (
            f"「{title}」という記事で、",
            f"「{title}」の記事によると、",
            f"『{title}』と報じられたニュースで、",
        ):
            add(text, "clause", "title")
    names = [m for m in main if not pair or m not in pair][:2] if not pair else []
    for when, name in itertools.product(whens, names):
        add(f"{when}{name}に関する記事によると、", "clause", name, when)
        add(f"{name}についての{when}ニュースで、", "clause", name, when)
        add(f"{when}{name}のニュースで、", "clause", name, when)
    if not pair:
        for event, when in itertools.product(events[:2], whens):
            add(f"{when}{event}で、", "clause", "event", when)
            add(f"{when}{event}の", "noun", "event", when)
        if not dates and not is_topic:
            for a, b in itertools.combinations(main[:3], 2):
                add(f"{a}と{b}に関する文章で、", "clause", a, b)
        for when in whens:  # two sides tell a contest from all others; a date alone does not
            add(f"{when[:-1]}、", "clause", when, "light")
            add(f"{when}記事によると、", "clause", when, "light")
    return [c for c in out if not any(p in c.text for p in ("戦戦", "戦で戦"))]
