"""A Japanese document as facts and wordings: Document → Story.

スペインは36分にオヤルサバルのゴールで先制した。
  in_place  スペインは何分にオヤルサバルのゴールで先制しましたか？                → 36分
  cleft     36分にオヤルサバルのゴールで先制したのはどこですか？                  → スペイン
  short     オヤルサバルのゴールで先制したのはどこですか？                        → スペイン
"""

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import figures
from ishibumi.knowledge.clauses_ja import Clause, Phrase, can_act, clauses_of, modifies_noun
from ishibumi.knowledge.facts_ja import TITLES, Entity, Names, entities, names_of
from ishibumi.knowledge.japanese import drop_brackets, normalise, normalise_width, split_sentences
from ishibumi.knowledge.story import Fact, Story, Wording, alike, make_story, own_words

# «同点» and «両親» point nowhere; «同国», «同社» and «両チーム» do.
POINTING = re.compile(
    "^(この|その|これ|それ|あの|彼|彼女|当該|本項|上記|前者|後者|自身|こう|そう|ここ|そこ|どちら|互い|当時"
    "|同(?=国|社|氏|日|年|月|市|県|町|村|区|州|校|大|党|省|庁|署|紙|誌|店|駅|館|院|園|島|法|所|会|団|局|部|派|地|機|選手|監督|チーム|代表|じ)"
    "|両(?=国|社|氏|者|軍|校|チーム|選手|代表|党|市|県))"
)
MEANINGLESS = re.compile(f"{POINTING.pattern}|[ぁ-ん]{{1,2}}$")
LONG_CLAUSE, LONG_HOLE = 110, 120
COMMA = 3  # a comma parts words as much as so many phrases
MOMENTS = ("分", "秒", "世紀")
PLAIN_PARTICLES = {"には": "に", "では": "で", "にも": "に", "でも": "で", "とは": "と"}
# «…したのは誰ですか» as «…した人は誰ですか»
ASKED_NOUNS = {"誰": "人", "いつ": "日", "何分": "時間", "どこ": "ところ"}
ROLES = re.compile("[一-龥々]{2,8}")


def read_story(document: Document) -> Story:
    """The document's facts, with all the ways to ask for each."""
    title = normalise_width(document.title or "").strip("。 ")
    text = with_full_dates(normalise(document.text), document.date)
    sentences = [drop_brackets(s) for s in split_sentences(text) if 4 < len(s) < 400]
    names = names_of([title, *sentences])
    told = [(s, clauses_of(s)) for s in sentences]
    verbs = Counter(c.phrases[-1].content for _, clauses in told for c in clauses)
    facts = [f for s, clauses in told for f in _facts(s, clauses, names, verbs)]
    statements = [line for s, clauses in told for line in _statements(s, clauses, names)]
    return make_story("ja", title, document.date, statements, facts, f"{text}\n{drop_brackets(text)}")


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


def _statements(sentence: str, clauses: Sequence[Clause], names: Names) -> list[str]:
    """The clauses as sentences that name their subject; the sentence itself where they would lose a figure or name."""
    told = [(f"{c.subject}は" if c.subject else "") + c.render() + "。" for c in clauses if c.ending]
    lost = figures(sentence) - figures("".join(told)) or any(
        n in sentence and n not in "".join(told) for n in names.persons
    )
    lines = [sentence.rstrip("。") + "。"] if lost or min(map(len, told), default=0) < 9 else told
    return [_with_full_name(line, names) for line in lines]


def _with_full_name(text: str, names: Names) -> str:
    for short, full in names.full.items():
        if short in text and full not in text and not re.search(f"[ァ-ヴー・]{short}|{short}[ァ-ヴー]", text):
            return text.replace(short, full, 1)
    return text


def _facts(sentence: str, clauses: Sequence[Clause], names: Names, verbs: Counter[str]) -> Iterator[Fact]:
    phrases = [p for c in clauses for p in c.phrases]
    found = [(n, e) for n, p in enumerate(phrases) for e in entities(p.words, names)]
    seen: dict[str, Fact] = {}
    start = 0
    for clause in clauses:
        end = start + len(clause.phrases)
        own = [(n, e) for n, e in found if start <= n < end]
        is_only_verb = verbs[clause.phrases[-1].content] == 1
        # «15分に山田、67分に鈴木が決めた»: one verb for two facts
        is_tangled = sum(_is_moment(e) and e.kind != "date" for _, e in own) > 1
        for n, e in own:
            wordings = tuple(_wordings(clause, n - start, e, is_only_verb=is_only_verb, is_tangled=is_tangled))
            if e.answer in seen:
                seen[e.answer] = replace(seen[e.answer], wordings=(*seen[e.answer].wordings, *wordings))
            else:
                hole, near = _hole(sentence, clause, n - start, e), _near(phrases, n, e, found)
                seen[e.answer] = Fact(sentence, e.answer, e.kind, e.word, hole, near, wordings)
        for answer, wording in _about_subject(clause, names):
            if answer in seen:
                seen[answer] = replace(seen[answer], wordings=(*seen[answer].wordings, wording))
        start = end
    yield from seen.values()


def _hole(sentence: str, clause: Clause, i: int, e: Entity) -> str:
    phrase = clause.phrases[i]
    cut = phrase.content[: e.start] + "〔　〕" + phrase.content[e.end :] + phrase.text.removeprefix(phrase.content)
    whole = sentence.replace(phrase.text, cut, 1)
    if len(whole) > LONG_HOLE or whole == sentence:
        whole = "".join(cut if n == i else p.text for n, p in enumerate(clause.phrases))
        whole = (f"{clause.subject}は" if clause.subject else "") + whole
    return whole.rstrip("。、")


def _near(phrases: Sequence[Phrase], at: int, e: Entity, found: Sequence[tuple[int, Entity]]) -> tuple[str, ...]:
    places = [n + COMMA * sum(p.comma for p in phrases[:n]) for n in range(len(phrases))]
    rivals = [n for n, other in found if n != at and alike(other.kind, e.kind)]
    words = [
        (p.words[-1].lemma if p.is_verb and len(p.words) == 1 else p.content, places[n])
        for n, p in enumerate(phrases)
        if n != at and n not in rivals and p.words[0].pos[0] != "接続詞" and not MEANINGLESS.match(p.content)
    ]
    beside = [w for w in (phrases[at].content[: e.start], phrases[at].content[e.end :]) if len(w) > 1]
    return own_words([*words, *((w, places[at]) for w in beside)], places[at], [places[n] for n in rivals])


def _wordings(clause: Clause, i: int, e: Entity, *, is_only_verb: bool, is_tangled: bool) -> Iterator[Wording]:
    phrase, last = clause.phrases[i], clause.phrases[-1]
    yield from _roles(clause, i, e)
    leans = any(POINTING.match(p.content) for p in clause.phrases if p.particle in ("が", "は", "を", "も", "の", "と"))
    text = phrase.content[e.start : e.end]
    is_part = text != phrase.content and e.kind not in ("person", "number", "time", "score", "title")
    is_long = len(clause.render()) > LONG_CLAUSE
    if clause.ending is None or leans or is_part or is_tangled or is_long or e.word in text:
        return
    if phrase is last:
        topics = [p for p in clause.phrases if p.particle == "は"]
        if clause.ending.noun and e.end == len(phrase.content) and (topics or clause.subject):
            close = phrase.content[: e.start] + e.word + ("でした" if clause.ending.past else "です")
            yield Wording("attribute", _with_subject(clause, "は") + clause.render(close=close) + "か？")
        return
    yield from _in_place(clause, i, e)
    if not clause.ending.noun:
        yield from _clefts(clause, i, e, is_only_verb=is_only_verb)


def _with_subject(clause: Clause, particle: str) -> str:
    return clause.subject + particle if clause.subject else ""


def _is_moment(e: Entity) -> bool:
    return e.kind in ("date", "time") or (e.kind == "number" and e.answer.endswith(MOMENTS))


def _in_place(clause: Clause, i: int, e: Entity) -> Iterator[Wording]:
    """The clause with the question word where the answer stood."""
    phrase = clause.phrases[i]
    particle = PLAIN_PARTICLES.get(phrase.particle, phrase.particle)
    if (particle == "" and not _is_moment(e) and e.kind != "number") or clause.ending is None:
        return
    if particle in ("は", "も"):
        if any(p.particle in ("が", "は", "も") for p in clause.phrases[:-1] if p is not phrase):
            return
        particle = "が"
    if e.word == "いつ" and particle == "に":
        particle = ""
    elif particle == "" and _is_moment(e) and e.word != "いつ":
        particle = "に"
    is_titled = e.kind == "person" and e.start <= 4
    content = e.word if is_titled else phrase.content[: e.start] + e.word + phrase.content[e.end :]
    body = _with_subject(clause, "は") + clause.render({i: content + particle}, close=clause.ending.polite)
    yield Wording("in_place", body + "か？")
    yield Wording("in_place", body + "か。")


def _clefts(clause: Clause, i: int, e: Entity, *, is_only_verb: bool) -> Iterator[Wording]:
    """The clause without the answer, closed by のは + question word; in short, what stands next to the verb only."""
    phrases, phrase = clause.phrases, clause.phrases[i]
    particle = PLAIN_PARTICLES.get(phrase.particle, phrase.particle)
    fits = particle in ("が", "は", "を", "も") or (particle in ("", "に") and _is_moment(e))
    fits = fits or (particle in ("で", "に") and e.kind in ("place", "facility"))
    tail_of_title = phrase.content[e.end :]
    inside = particle != "は" and any(
        p.is_verb and modifies_noun(list(phrases), i + 1 + n) for n, p in enumerate(phrases[i + 1 : -1])
    )
    if not fits or inside or (tail_of_title and e.kind != "person"):
        return
    gone = {i}
    while min(gone) and modifies_noun(list(phrases), min(gone) - 1):
        gone.add(min(gone) - 1)
    if any(phrases[k].is_verb for k in gone):
        return
    kept = [k for k in range(len(phrases) - 1) if k not in gone]
    if kept or clause.subject:
        yield from _closed("cleft", clause, frozenset(gone), e)
    if len(kept) > 1 and is_only_verb and not phrases[kept[-2]].text.endswith("の"):
        yield from _closed("short", clause, frozenset({*gone, *kept[:-1]}), e)


def _closed(rule: str, clause: Clause, gone: frozenset[int], e: Entity) -> Iterator[Wording]:
    assert clause.ending is not None
    kept = [k for k in range(len(clause.phrases) - 1) if k not in gone]
    topics = [k for k in kept if clause.phrases[k].particle in ("は", "も")]
    has_agent = any(clause.phrases[k].particle == "が" for k in kept)
    if has_agent or len(topics) > 1:
        gone = gone | frozenset(topics)
    plain = {k: clause.phrases[k].content + "が" for k in topics}
    subject = _with_subject(clause, "が") if rule == "cleft" and not has_agent and not topics else ""
    stem = subject + clause.render(plain, without=gone)
    past = clause.ending.past
    told = f"{stem}のは{e.answer}{'だった' if past else 'だ'}。"
    yield Wording(rule, f"{stem}のは{e.word}ですか？", told)
    yield Wording(rule, f"{stem}{ASKED_NOUNS.get(e.word, 'の')}は{e.word}{'でした' if past else 'です'}か？", told)


def _about_subject(clause: Clause, names: Names) -> Iterator[tuple[str, Wording]]:
    """Who or what did it, where an earlier clause named it."""
    if not clause.subject or clause.ending is None or clause.ending.noun or len(clause.render()) > LONG_CLAUSE:
        return
    for subject in clauses_of(clause.subject)[:1]:
        for e in entities(subject.phrases[-1].words, names)[-1:] if can_act(subject.phrases[-1].words) else []:
            yield e.answer, Wording("in_place", f"{e.word}が{clause.render(close=clause.ending.polite)}か？")
            yield (
                e.answer,
                Wording("cleft", f"{clause.render()}のは{e.word}ですか？", f"{clause.render()}のは{e.answer}。"),
            )


def _roles(clause: Clause, i: int, e: Entity) -> Iterator[Wording]:
    """«中村健一市長» and «建築家の高田さん»: who is the mayor, who is the architect?"""
    if e.kind != "person":
        return
    phrase, before = clause.phrases[i], clause.phrases[i - 1] if i else None
    rest = phrase.content[e.end :]
    role = rest if rest in TITLES and ROLES.fullmatch(rest) else ""
    if before and before.particle == "の" and before.content.endswith(("家", "者", "員", "長", "士", "師", "手")):
        role = before.content
    if role:
        yield Wording("role", f"{role}は誰ですか？", f"{role}は{e.answer}だ。")
