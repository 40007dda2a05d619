"""Japanese questions from a clause: (Clause, phrase, Entity) → [Wording].

スペインは36分にオヤルサバルのゴールで先制した。
  in_place  スペインは何分にオヤルサバルのゴールで先制しましたか？                → 36分
  cleft     36分にオヤルサバルのゴールで先制したのはどこですか？                  → スペイン
  short     オヤルサバルのゴールで先制したのはどこですか？                        → スペイン
"""

import re
from collections.abc import Iterator

from ishibumi.knowledge.clauses_ja import Clause, modifies_noun
from ishibumi.knowledge.facts_ja import TITLES, Entity
from ishibumi.knowledge.predicates_ja import Ending
from ishibumi.knowledge.story import BY_NAME, Wording

# «同点» and «両親» point nowhere; «同国», «同社» and «両チーム» do.
POINTING = re.compile(
    "^(この|その|これ|それ|あの|彼|彼女|当該|上記|前者|後者|自身|こう|そう|ここ|そこ|どちら|互い|当時"
    "|同(?=国|社|氏|日|年|月|市|県|町|村|区|州|校|大|党|省|庁|署|紙|誌|店|駅|館|院|園|島|法|所|会|団|局|部|派|地|機|選手|監督|じ)"
    "|両(?=国|社|氏|者|軍|校|チーム|選手|代表|党|市|県))"
)
LONG_CLAUSE = 110
MOMENTS = ("分", "秒", "世紀")
PLAIN_PARTICLES = {"には": "に", "では": "で", "にも": "に", "でも": "で", "とは": "と"}
IN_PARTS = ("person", "number", "time", "score", "title")  # asked for also where they are part of a longer word
# «…したのは誰ですか» as «…した人は誰ですか»
ASKED_NOUNS = {"誰": "人", "いつ": "日", "何分": "時間"}


def wordings_of(clause: Clause, i: int, e: Entity) -> Iterator[Wording]:
    """All the ways to ask for what stands in phrase `i`; none where the clause leans on another sentence."""
    phrase, ending = clause.phrases[i], clause.ending
    role = phrase.content[e.end :]
    if e.kind == "person" and role in TITLES and re.fullmatch("[一-龥]{2,}", role):  # 中村健一市長
        yield Wording("role", f"{role}は誰ですか？", f"{role}は{e.answer}だ。")
    leans = any(POINTING.match(p.content) for p in clause.phrases if p.particle in ("が", "は", "を", "も", "の", "と"))
    is_part = e.end - e.start < len(phrase.content) and e.kind not in IN_PARTS
    if ending is None or leans or is_part or e.word in e.answer or len(clause.render()) > LONG_CLAUSE:
        return
    if i + 1 < len(clause.phrases):
        yield from _in_place(clause, ending, i, e)
        yield from _clefts(clause, ending, i, e) if not ending.noun else ()
    elif ending.noun and not role and any(p.particle == "は" for p in clause.phrases):
        close = phrase.content[: e.start] + e.word + ("でした" if ending.past else "です")
        yield Wording("attribute", clause.render(close=close) + "か？")


def attributes_of(clause: Clause, i: int, e: Entity, subject: str) -> Iterator[Wording]:
    """Ways to ask from the side of what the figure or the organisation belongs to: モデルA500の価格は300円だ, 背番号10.

    That is the owner of what the clause is about, or else `subject`, the sentence's one person.
    """
    phrase, lead = clause.phrases[i], clause.phrases[i - 1] if i else None
    label = re.search("[一-龥ァ-ヴー]*番号$", phrase.content[: e.start])
    is_told = lead is not None and lead.particle == "は" and lead.is_noun and i + 1 == len(clause.phrases)
    owner = clause.phrases[i - 2] if i > 1 else None
    if label:
        noun = label[0]
    elif is_told and lead and e.kind == "number" and not any(t.pos[1] == "固有名詞" for t in lead.words):
        noun = lead.content
        subject = owner.content if owner and owner.particle == "の" else subject
    elif e.kind == "organisation" and i + 1 < len(clause.phrases):
        noun = "所属" if clause.phrases[i + 1].content.startswith(("所属", "在籍", "勤務")) else ""
    else:
        noun = ""
    is_own = len(subject) > 1 and any(subject in p.content for p in clause.phrases)  # of this clause
    if noun and is_own and subject not in (noun, e.answer) and not POINTING.match(subject):
        for form in ("{s}の{a}は？", "{s}の{a}は{w}ですか？", "{s} {a}", "{s}、{a}は？"):
            text = form.format(s=subject, a=noun, w=e.word)
            yield Wording(BY_NAME, text, f"{subject}の{noun}は{e.answer}だ。")


def is_moment(e: Entity) -> bool:
    """Whether it says when."""
    return e.kind in ("date", "time") or (e.kind == "number" and e.answer.endswith(MOMENTS))


def _in_place(clause: Clause, ending: Ending, i: int, e: Entity) -> Iterator[Wording]:
    """The clause with the question word where the answer stood."""
    phrase = clause.phrases[i]
    particle = PLAIN_PARTICLES.get(phrase.particle, phrase.particle)
    is_led = any(p.particle in ("が", "は", "も") for p in clause.phrases[:-1] if p is not phrase)
    if (particle == "" and not is_moment(e) and e.kind != "number") or (particle in ("は", "も") and is_led):
        return
    if particle in ("は", "も"):
        particle = "が"
    elif is_moment(e) and particle in ("", "に"):
        particle = "" if e.word == "いつ" else "に"
    is_titled = e.kind == "person" and e.start <= 4
    content = e.word if is_titled else phrase.content[: e.start] + e.word + phrase.content[e.end :]
    body = clause.render({i: content + particle}, close=ending.polite)
    yield Wording("in_place", body + "か？")
    yield Wording("in_place", body + "か。")


def _clefts(clause: Clause, ending: Ending, i: int, e: Entity) -> Iterator[Wording]:
    """The clause without the answer, closed by のは + question word; in short, what stands next to the verb only."""
    phrases = clause.phrases
    particle = PLAIN_PARTICLES.get(phrases[i].particle, phrases[i].particle)
    fits = particle in ("が", "は", "を", "も") or (particle in ("", "に") and is_moment(e))
    fits = fits or (particle in ("で", "に") and e.kind in ("place", "facility"))
    behind = range(i + 1, len(phrases) - 1)
    inside = particle != "は" and any(phrases[k].is_verb and modifies_noun(phrases, k) for k in behind)
    if not fits or inside or (phrases[i].content[e.end :] and e.kind != "person"):
        return
    gone = {i}
    while min(gone) and modifies_noun(phrases, min(gone) - 1):
        gone.add(min(gone) - 1)
    kept = [k for k in range(len(phrases) - 1) if k not in gone]
    if not kept or any(phrases[k].is_verb for k in gone):
        return
    yield from _closed("cleft", clause, ending, kept, e)
    if len(kept) > 1 and not modifies_noun(phrases, kept[-2]):
        yield from _closed("short", clause, ending, kept[-1:], e)


def _closed(rule: str, clause: Clause, ending: Ending, kept: list[int], e: Entity) -> Iterator[Wording]:
    topics = [k for k in kept if clause.phrases[k].particle in ("は", "も")]
    if len(topics) > 1 or any(clause.phrases[k].particle == "が" for k in kept):
        kept = [k for k in kept if k not in topics]
    gone = frozenset(range(len(clause.phrases) - 1)) - frozenset(kept)
    plain = {k: PLAIN_PARTICLES.get(clause.phrases[k].particle) for k in kept} | dict.fromkeys(topics, "が")
    texts = {k: clause.phrases[k].content + particle for k, particle in plain.items() if particle}
    stem = clause.render(texts, without=gone)
    told = f"{stem}のは{e.answer}{'だった' if ending.past else 'だ'}。"
    yield Wording(rule, f"{stem}のは{e.word}ですか？", told)
    noun, copula = ASKED_NOUNS.get(e.word, "の"), "でした" if ending.past else "です"
    yield Wording(rule, f"{stem}{noun}は{e.word}{copula}か？", told)
