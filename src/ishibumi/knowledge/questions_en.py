"""English questions from the part of a sentence around an answer: (sentence, Span) → [Wording].

Bradley Barcola doubled the lead in the 66th minute.
  in_place  Bradley Barcola doubled the lead in which minute?             → 66th minute
  fronted   in which minute was it that Bradley Barcola doubled the lead? → 66th minute
  subject   who doubled the lead in the 66th minute?                      → Bradley Barcola

There is no parser: a subject is sure only where a name stands at the start with its verb directly behind it.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import lemminflect

from ishibumi.knowledge.english import BODY, POINTING, TITLES, Span, is_common
from ishibumi.knowledge.story import Wording
from ishibumi.knowledge.words import words

WORDS = {
    "person": "who", "name": "what", "side": "who", "organisation": "what", "place": "what place",
    "facility": "what place", "date": "what date", "time": "what time", "score": "what score", "minute": "which minute",
    "money": "how much money", "percent": "what percentage", "count": "what number",
}  # fmt: skip
ACTORS = ("person", "organisation", "name", "side", "place")
AUXILIARIES = frozenset(words("is are was were has have had will would can could may might must did does do"))
UNCHANGED = frozenset(words("beat put cut set hit let cost shut spread split hurt burst"))
PAST_FIRST = frozenset(words("left saw found felt rose drew shot led met thought fell broke spoke"))  # seldom nouns
LONG, SHORT = 220, 25
BORDER = re.compile(r"; |: |—| – |, (?=(?:and|but|while|yet|so) )")
PREPOSITION = re.compile(r"\b(on|in|at|near|outside|since|from) (?:the )?$")


@dataclass(frozen=True)
class Part:
    """A part of a sentence, from `start`; with the name that leads it, its verb and the rest where they are sure.

    `is_named`: a name is its first word, and keeps its capital.
    """

    start: int
    text: str
    lead: Span | None = None
    verb: str = ""
    rest: str = ""
    is_named: bool = False


def parts_of(sentence: str, spans: Sequence[Span]) -> list[Part]:
    """The parts between colons, semicolons and «, and»; the whole sentence where one has no verb."""
    text = sentence.rstrip(".!? ")
    cuts = [0, *(m.end() for m in BORDER.finditer(text)), len(text)]
    found = [_part(sentence, a, text[a:b], spans) for a, b in itertools.pairwise(cuts)]
    has_verbs = all(len(p.text) > SHORT and any(map(_is_finite, p.text.split())) for p in found)
    return found if has_verbs else [_part(sentence, 0, text, spans)]


def _part(sentence: str, start: int, text: str, spans: Sequence[Span]) -> Part:
    bare = re.sub("^(?:and|but|while|yet|so) ", "", text)
    start, text = start + len(text) - len(bare), bare.rstrip(",;:—– ")
    before = re.match(rf"(?:the|{TITLES})\.? ", text, re.IGNORECASE)
    begins = start + (before.end() if before else 0)
    lead = next((s for s in spans if s.start == begins and s.kind in ACTORS), None)
    told = re.match(r" ([a-z]+) (\S.*)", text[lead.end - start :]) if lead else None
    is_named = any(s.start == start and s.kind in ACTORS for s in spans)
    if told and _is_finite(told[1]):
        return Part(start, text, lead, told[1], told[2], is_named)
    return Part(start, text, is_named=is_named)


@lru_cache(maxsize=20_000)
def _is_finite(word: str) -> bool:
    """Whether the word is a verb in the past, or an auxiliary."""
    if word in AUXILIARIES or word in UNCHANGED or not word.islower():
        return word.islower()
    lemmas = lemminflect.getAllLemmas(word)
    found = [verb for verb in lemmas.get("VERB", ()) if verb != word]
    is_noun = "NOUN" in lemmas and not word.endswith("ed") and word not in PAST_FIRST
    return bool(found) and not is_noun and not re.search("ing$|[^s]s$", word)


def word_for(span: Span) -> str:
    """The question word that stands for the span."""
    if span.kind == "date" and re.fullmatch(r"\d{4}s?", span.text):
        return "what year"
    if span.kind == "label":
        noun = re.split(r"\W", span.text.lower())[0]
        return f"which {'number' if noun == 'no' else noun}"
    if span.kind == "organisation" and BODY.search(span.text):
        return "which organisation"
    return f"how many {span.text.split()[-1]}" if span.kind == "count" and " " in span.text else WORDS[span.kind]


def wordings_of(part: Part, span: Span, answer: str) -> Iterator[Wording]:
    """All the ways to ask for the span."""
    before, after = part.text[: span.start - part.start], part.text[span.end - part.start :]
    is_in_compound = span.kind == "score" and re.match(r"[ -](?!(?:in|at|on|to|for|by|after|with)\b)[a-z]", after)
    if is_in_compound or len(part.text) > LONG or part.text.split()[0].lower().strip(",") in POINTING:
        return
    if span == part.lead:
        verb = {"were": "was", "are": "is", "have": "has"}.get(part.verb, part.verb)
        told = f"It was {answer} that {part.verb} {part.rest}."
        yield Wording("subject", f"{word_for(span)} {verb} {part.rest}?", told)
        return
    yield _in_place(part, span, before, after)
    found = PREPOSITION.search(before)
    is_free = len(before.split()) > 2 and not re.match(r"\w|['’]s|-|,? (?:of|and|or|after|before)\b", after)
    if found and is_free and span.kind in ("date", "time", "minute", "place", "facility"):
        asking = f"{found[1]} {word_for(span)} was it that".strip()
        yield Wording("fronted", f"{asking} {_small(before[: found.start()].strip(', '), part)}{after}?")


def _in_place(part: Part, span: Span, before: str, after: str) -> Wording:
    word = "whom" if span.kind == "side" and before and not before.endswith(", ") else word_for(span)
    if span.kind in ACTORS and after.startswith(("'s", "’s")):
        word, after = "whose", after[2:]
    if span.kind not in ("date", "time"):
        before = re.sub(rf"\b(?:[Tt]he|an?|{TITLES}) $", "", before)
    return Wording("in_place", _small(before + word + after, part) + "?")


def _small(text: str, part: Part) -> str:
    """The text with a small first letter where that word is no name."""
    return text if part.is_named or not is_common(re.split(r"\W", text)[0].lower()) else text[0].lower() + text[1:]
