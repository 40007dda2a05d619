"""A Japanese document as facts, each with ways to ask for it: Document → Story."""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.checks import figures
from ishibumi.knowledge.clauses_ja import Clause, Phrase, clauses_of
from ishibumi.knowledge.facts_ja import Entity, Names, entities, names_of
from ishibumi.knowledge.japanese import drop_brackets, normalise, normalise_width, split_sentences
from ishibumi.knowledge.questions_ja import POINTING, attributes_of, is_moment, wordings_of
from ishibumi.knowledge.story import Fact, Story, alike, make_story, own_words

LONG_HOLE = 120
COMMA = 3  # a comma parts words as much as so many phrases
MEANINGLESS = re.compile(f"{POINTING.pattern}|[ぁ-ん]{{1,2}}$")


def read_story(document: Document) -> Story:
    """The document's facts, with all the ways to ask for each."""
    title = normalise_width(document.title or "").strip("。 ")
    text = with_full_dates(normalise(document.text), document.date)
    text = re.sub(r"現地(?:時間)?(?=\d|午[前後])", "", text)
    sentences = [drop_brackets(s) for s in split_sentences(text) if 4 < len(s) < 400]
    names = names_of([title, *sentences])
    told = [(s, clauses_of(s)) for s in sentences]
    facts = [f for s, clauses in told for f in _facts(s, clauses, names)]
    statements = [line for s, clauses in told for line in _statements(s, clauses, names)]
    return make_story("ja", title, document.date, statements, facts, "\n".join([document.text, text, *sentences]))


def with_full_dates(text: str, date: dt.date | None) -> str:
    """The text with «2日» made «7月2日» where the document's date leaves no doubt."""
    if date is None:
        return text
    days = {day.day: day for back in range(-10, 7) if (day := date - dt.timedelta(days=back))}
    days = {n: day for n, day in days.items() if day <= date or day.month == date.month}

    def full(match: re.Match[str]) -> str:
        day = days.get(int(match[1]))
        return f"{day.month}月{day.day}日" if day else match[0]

    return re.sub(r"(?<![\d月.,])(\d{1,2})日(?![間目後前以連ぶ])", full, text)


def _statements(sentence: str, clauses: Sequence[Clause], names: Names) -> list[str]:
    """The clauses as sentences that name their subject; the sentence itself where they would lose a figure or name."""
    told = [c.render() + "。" for c in clauses if c.ending]
    joined = "".join(told)
    is_lost = len(told) < len(clauses) or any(n in sentence and n not in joined for n in names.persons)
    if is_lost or figures(sentence) - figures(joined) or min(map(len, told), default=0) < 9:
        told = [sentence.rstrip("。") + "。"]
    return told


def _facts(sentence: str, clauses: Sequence[Clause], names: Names) -> Iterator[Fact]:
    phrases = [p for c in clauses for p in c.phrases]
    topics = ["", *(p.content for p in phrases)]
    found = [(n, e) for n, p in enumerate(phrases) for e in entities(p.words, names, topics[n])]
    persons = {e.answer for _, e in found if e.kind == "person"}
    subject = persons.pop() if len(persons) == 1 else ""
    facts: dict[str, Fact] = {}
    start = 0
    for clause in clauses:
        own = [(n, e) for n, e in found if start <= n < start + len(clause.phrases)]
        # «15分に山田、67分に鈴木が決めた»: one verb for two facts
        is_tangled = sum(is_moment(e) and e.kind != "date" for _, e in own) > 1
        for n, e in own:
            if e.answer not in facts:
                hole, near = _hole(sentence, clause, n - start, e), _near(phrases, n, e, found)
                facts[e.answer] = Fact(sentence, e.answer, e.kind, e.word, hole, near)
            more = (
                ()
                if is_tangled
                else (*wordings_of(clause, n - start, e), *attributes_of(clause, n - start, e, subject))
            )
            facts[e.answer] = replace(facts[e.answer], wordings=(*facts[e.answer].wordings, *more))
        start += len(clause.phrases)
    yield from (fact for fact in facts.values() if fact.hole != "〔　〕")  # a line that is all answer tells nothing


def _hole(sentence: str, clause: Clause, i: int, e: Entity) -> str:
    """The sentence, or its clause where it is long, with a hole in the answer's place."""
    phrase = clause.phrases[i]
    cut = phrase.content[: e.start] + "〔　〕" + phrase.content[e.end :] + phrase.text.removeprefix(phrase.content)
    whole = sentence.replace(phrase.text, cut, 1)
    if len(whole) > LONG_HOLE or whole == sentence:
        whole = "".join(cut if n == i else p.text for n, p in enumerate(clause.phrases))
    return whole.rstrip("。、")


def _near(phrases: Sequence[Phrase], at: int, e: Entity, found: Sequence[tuple[int, Entity]]) -> tuple[str, ...]:
    places = [n + COMMA * sum(p.comma for p in phrases[:n]) for n in range(len(phrases))]
    rivals = {n for n, other in found if n != at and alike(other.kind, e.kind)}
    beside = (phrases[at].content[: e.start], phrases[at].content[e.end :])
    words = [(w, places[at]) for w in beside if len(w) > 1 and not MEANINGLESS.match(w)]
    for n, p in enumerate(phrases):
        if n != at and n not in rivals and not MEANINGLESS.match(p.content):
            is_plain = p.is_verb and len(p.words) == 1
            words.append((p.words[-1].lemma if is_plain else p.content, places[n]))
    return own_words(words, places[at], [places[n] for n in rivals])
