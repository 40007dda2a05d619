"""An English document as facts, each with ways to ask for it: Document → Story."""

import re
from collections.abc import Iterator, Sequence

from ishibumi.corpus.documents import Document
from ishibumi.knowledge.attributes_en import attributes_of, role_of
from ishibumi.knowledge.english import POINTING, WEAK, WEEKDAY, Span, kinds_of, known_names, spans_of, split_sentences
from ishibumi.knowledge.questions_en import AUXILIARIES, parts_of, word_for, wordings_of
from ishibumi.knowledge.story import Fact, Story, alike, make_story, own_words

LONG_BEFORE, LONG_AFTER = 110, 90


def read_story(document: Document) -> Story:
    """The document's facts, with all the ways to ask for each."""
    sentences = [s for s in split_sentences(document.text) if len(s) > 5]
    known = known_names(sentences)
    kinds = kinds_of(sentences, known)
    title = (document.title or "").strip(" .")
    for sentence in [title, *sentences]:  # a place that acts is a country or a team
        for part in parts_of(sentence, spans_of(sentence, known, kinds)):
            if part.lead and part.lead.kind in ("place", "name"):
                kinds[part.lead.text] = "side"
    facts = [f for s in sentences for f in _facts(s, spans_of(s, known, kinds), kinds)]
    return make_story("en", title, document.date, _blocks(sentences), facts, "\n".join(sentences))


def _blocks(sentences: Sequence[str]) -> list[str]:
    """Sentences, each with those behind it that lean on it."""
    out: list[str] = []
    for sentence in sentences:
        if out and sentence.split()[0].lower().strip(",") in POINTING:
            out[-1] += " " + sentence
        else:
            out.append(sentence)
    return out


def _facts(sentence: str, spans: Sequence[Span], kinds: dict[str, str]) -> Iterator[Fact]:
    parts = parts_of(sentence, spans)
    seen: set[str] = set()
    for span in spans:
        answer = _answer(span, kinds)
        if answer in seen or (len(answer) < 2 and span.kind != "label"):
            continue
        seen.add(answer)
        part = next((p for p in reversed(parts) if p.start <= span.start), parts[0])
        hole, near = _around(sentence, span, answer), _near(sentence, span, spans)
        wordings = (*wordings_of(part, span, answer), *attributes_of(sentence, span, spans, answer))
        yield Fact(sentence, answer, span.kind, word_for(span), hole, near, wordings)
    if found := role_of(sentence, spans):
        role, whose, wordings = found
        hole = _around(sentence, Span(at := sentence.index(role), at + len(role), "role", role), role)
        yield Fact(sentence, role, "role", "what role", hole, (whose.text,), wordings)


def _answer(span: Span, kinds: dict[str, str]) -> str:
    """The span as a full answer: a surname becomes the full name where the document gives one."""
    if span.kind == "person" and " " not in span.text:
        full = [n for n, k in kinds.items() if k == "person" and n.endswith(" " + span.text)]
        return full[0] if len(full) == 1 else span.text
    if span.kind == "label" and span.text[-1].isdecimal():
        return span.text.split()[-1]
    if span.kind == "score":
        return re.sub("[–—]", "-", span.text)
    return re.sub(rf"^{WEEKDAY},? ", "", span.text) if span.kind == "date" else span.text


def _around(sentence: str, span: Span, answer: str) -> str:
    """The sentence with a hole for the span, cut at commas and semicolons where it is long."""
    start = span.end - len(answer) if span.kind == "label" else span.start  # «number ____»
    before, after = sentence[:start], sentence[span.end :]
    if len(before) > LONG_BEFORE:
        cut = max(before.rfind("; ", 0, -40), before.rfind(", ", 0, -60))
        before = before[cut + 2 :] if cut > 0 else before
    if len(after) > LONG_AFTER and (found := re.search(r"[,;] ", after[40:])):
        after = after[: 40 + found.start()]
    return (before + "____" + after).rstrip(".!?;, ")


def _near(sentence: str, span: Span, spans: Sequence[Span]) -> tuple[str, ...]:
    rivals = [s.start for s in spans if s != span and alike(s.kind, span.kind)]
    found = [(s.text, s.start) for s in spans if s != span and s.start not in rivals]
    for m in re.finditer(r"(?<![\w-])[a-z][a-z-]{3,}", sentence):
        if m[0] not in WEAK | POINTING | AUXILIARIES and not any(s.start <= m.start() < s.end for s in spans):
            found.append((m[0], m.start()))
    return own_words(found, span.start, rivals)
