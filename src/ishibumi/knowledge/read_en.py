"""An English document as facts and wordings: Document → Story.

Bradley Barcola doubled the lead in the 66th minute.
  in_place  Bradley Barcola doubled the lead in which minute?             → 66th minute
  turned    in which minute did Bradley Barcola double the lead?          → 66th minute
  subject   who doubled the lead in the 66th minute?                      → Bradley Barcola
"""

import re
from collections.abc import Iterator, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.clauses_en import AUXILIARIES, Clause, clauses_of, turned
from ishibumi.knowledge.english import (
    POINTING,
    TITLES,
    WEAK,
    WEEKDAY,
    Span,
    is_common,
    kinds_of,
    known_names,
    spans_of,
    split_sentences,
)
from ishibumi.knowledge.story import Fact, Story, Wording, alike, make_story, own_words

WORDS = {
    "person": "who", "name": "what", "side": "who", "organisation": "which organisation", "place": "what place",
    "facility": "what place", "date": "what date", "time": "what time", "score": "what score", "minute": "which minute",
    "money": "how much money", "percent": "what percentage", "count": "how many", "title": "what",
}  # fmt: skip
ACTORS = ("person", "name", "side", "organisation")
LONG_SENTENCE, LONG_BEFORE, LONG_AFTER = 260, 110, 90
PREPOSITION = re.compile(
    r"(?:^|\s)(on|in|at|by|for|near|outside|after|since|from|to|with|against|over|through|of) (?:the |a |an )?$"
)


def read_story(document: Document) -> Story:
    """The document's facts, with all the ways to ask for each."""
    sentences = [s for s in split_sentences(document.text) if len(s) > 5]
    known = known_names(sentences)
    clauses = [clauses_of(s, known) for s in sentences]
    acting = {re.sub("^[Tt]he ", "", c.subject) for row in clauses for c in row}
    kinds = kinds_of(sentences, known)
    kinds |= {n: "side" for n, kind in kinds.items() if kind in ("place", "name") and n in acting}
    facts: list[Fact] = []
    for sentence, row in zip(sentences, clauses, strict=True):
        spans = [s for s in spans_of(sentence, known, kinds) if not _is_people(s.text, kinds)]
        facts += _facts(sentence, spans, row, kinds)
    title = (document.title or "").strip(" .")
    return make_story("en", title, document.date, _blocks(sentences), facts, "\n".join(sentences))


def _is_people(text: str, kinds: dict[str, str]) -> bool:
    """Whether the word is what the people of another name are called (Australians beside Australia)."""
    likes = (n for n in kinds if len(n) > 4 and n != text and n[:5] == text[:5] and not re.search("(ans?|ish)$", n))
    return bool(re.search("(ans?|ish|ese|i|is)$", text)) and any(likes)


def _blocks(sentences: Sequence[str]) -> list[str]:
    """Sentences, each with those behind it that lean on it."""
    out: list[str] = []
    for sentence in sentences:
        if out and sentence.split()[0].lower().strip(",") in POINTING:
            out[-1] += " " + sentence
        else:
            out.append(sentence)
    return out


def _facts(sentence: str, spans: Sequence[Span], clauses: list[Clause], kinds: dict[str, str]) -> Iterator[Fact]:
    seen: set[str] = set()
    for span in spans:
        answer = _answer(span, kinds)
        if answer in seen or len(answer) < 2:
            continue
        seen.add(answer)
        wordings = (*_in_place(sentence, span), *(w for c in clauses for w in _turned(c, span, answer)))
        near = _near(sentence, span, spans)
        yield Fact(sentence, answer, span.kind, _word(span), _around(sentence, span, "____"), near, wordings)


def _answer(span: Span, kinds: dict[str, str]) -> str:
    """The span as a full answer: a surname becomes the full name where the document gives one."""
    if span.kind == "person" and " " not in span.text:
        full = [n for n, k in kinds.items() if k == "person" and n.endswith(" " + span.text)]
        return full[0] if len(full) == 1 else span.text
    if span.kind == "score":
        return re.sub("[–—]", "-", span.text)
    return re.sub(rf"^{WEEKDAY},? ", "", span.text) if span.kind == "date" else span.text


def _word(span: Span) -> str:
    """The question word that stands for the span."""
    if span.kind == "date" and re.fullmatch(r"\d{4}s?", span.text):
        return "what year"
    return f"how many {span.text.split()[-1]}" if span.kind == "count" and " " in span.text else WORDS[span.kind]


def _near(sentence: str, span: Span, spans: Sequence[Span]) -> tuple[str, ...]:
    rivals = [s.start for s in spans if s != span and alike(s.kind, span.kind)]
    found = [(s.text, s.start) for s in spans if s != span and s.start not in rivals and s.kind != "title"]
    for m in re.finditer(r"(?<![\w-])[a-z][a-z-]{3,}", sentence):
        if m[0] not in WEAK | POINTING | AUXILIARIES and not any(s.start <= m.start() < s.end for s in spans):
            found.append((m[0], m.start()))
    return own_words(found, span.start, rivals)


def _around(sentence: str, span: Span, word: str) -> str:
    """The sentence with `word` for the span, cut at commas and semicolons where it is long."""
    before, after = sentence[: span.start], sentence[span.end :]
    if len(before) > LONG_BEFORE:
        cut = max(before.rfind("; ", 0, -40), before.rfind(", ", 0, -60))
        before = before[cut + 2 :] if cut > 0 else before
    if len(after) > LONG_AFTER and (found := re.search(r"[,;] ", after[40:])):
        after = after[: 40 + found.start()]
    return (before + word + after).rstrip(".!?;, ")


def _in_place(sentence: str, span: Span) -> Iterator[Wording]:
    """The part between colons and semicolons with the question word in the answer's place."""
    after = sentence[span.end :]
    is_in_compound = span.kind == "score" and re.match(r"[ -](?!(?:in|at|on|to|for|by|after|with)\b)[a-z]", after)
    if len(sentence) > LONG_SENTENCE or span.kind == "title" or is_in_compound:
        return
    left = max((m.end() for m in re.finditer("[;:] ", sentence[: span.start])), default=0)
    before, after = sentence[left : span.start], re.split("[;:] ", after)[0]
    word = "whom" if span.kind == "side" and before.strip() and not before.endswith(", ") else _word(span)
    if span.kind in ACTORS and after.startswith(("'s", "’s")):
        word, after = "whose", after[2:]
    if span.kind not in ("date", "time"):
        before = re.sub(r"\b(?:[Tt]he|an?) $", "", before)
    text = _around(before + "\1" + after, Span(len(before), len(before) + 1, span.kind, ""), word)
    first = text.split()[0]
    if first.lower().strip(",") not in POINTING:
        yield Wording("in_place", (text[0].lower() + text[1:] if is_common(first.lower()) else text) + "?")


def _turned(clause: Clause, span: Span, answer: str) -> Iterator[Wording]:
    """Questions with the verb turned round, where the clause holds the answer."""
    if re.sub(rf"^[Tt]he |^(?:{TITLES})\.? ", "", clause.subject) == span.text:
        is_thing = clause.verb in ("is", "was", "are", "were") and span.kind != "person"
        verb = {"were": "was", "are": "is", "have": "has"}.get(clause.verb, clause.verb)
        told = f"It was {answer} that {clause.verb} {clause.rest}."
        yield Wording("subject", f"{'what' if is_thing else 'who'} {verb} {clause.rest}?", told)
    elif f"{clause.rest} ".count(span.text) == 1:
        yield from _from_rest(clause, span)
    elif span.text in clause.before and span.kind in ("date", "place", "facility"):
        yield Wording("turned", f"{'when' if span.kind == 'date' else 'where'} {turned(clause, clause.rest)}?")


def _from_rest(clause: Clause, span: Span) -> Iterator[Wording]:
    before, _, after = clause.rest.partition(span.text)
    found = PREPOSITION.search(before)
    lead, prep = (before[: found.start()], found[1]) if found else (before, "")
    if re.match(r"\w|['’]s|-| (?:of|and|or|after|before|later|from|old)\b| [a-z]+ing\b", after):
        return
    asking = {
        "date": "when" * (prep in ("on", "in")),
        "place": "where" * (prep in ("in", "at", "near", "outside")),
        "facility": "where" * (prep in ("in", "at", "near", "outside")),
        "minute": "in which minute" * (prep in ("in", "at")),
        "score": "by what score" * (not prep),
        "count": f"{prep} {_word(span)}".strip() * (" " in span.text and bool(prep or not before.strip())),
    }.get(span.kind, "")
    rest = f"{lead}{after}".strip()
    if asking:
        yield Wording("turned", f"{asking} {turned(clause, rest)}?")
    elif span.kind in ACTORS and not lead.strip() and not (prep and after.strip()) and clause.base:
        yield Wording("turned", f"{_word(span)} {turned(clause, rest)} {prep}".strip() + "?")
