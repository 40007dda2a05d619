"""English questions from the part of a sentence around an answer: (sentence, Span) → [Wording].

Bradley Barcola doubled the lead in the 66th minute.
  in_place  Bradley Barcola doubled the lead in which minute?             → 66th minute
  turned    in which minute did Bradley Barcola double the lead?          → 66th minute
  subject   who doubled the lead in the 66th minute?                      → Bradley Barcola

There is no parser: the verb is turned round only where a name stands at the start with its verb directly behind it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import lemminflect

from ishibumi.knowledge.english import POINTING, Span, is_common
from ishibumi.knowledge.story import Wording
from ishibumi.knowledge.words import words

WORDS = {
    "person": "who", "name": "what", "side": "who", "organisation": "which organisation", "place": "what place",
    "facility": "what place", "date": "what date", "time": "what time", "score": "what score", "minute": "which minute",
    "money": "how much money", "percent": "what percentage", "count": "how many",
}  # fmt: skip
ACTORS = ("person", "name", "side", "organisation", "place")
AUXILIARIES = frozenset(words("is are was were has have had will would can could may might must did does do"))
UNCHANGED = frozenset(words("beat put cut set hit let cost shut spread split hurt burst"))
PAST_FIRST = frozenset(words("left saw found felt rose drew shot led met thought fell broke spoke"))  # seldom nouns
LONG, SHORT = 220, 25
BORDER = re.compile(r"; |: |—| – |, (?=(?:and|but|while|yet|so) )")
PREPOSITION = re.compile(r"(?:^|\s)(on|in|at|by|near|outside|after|since|from|to|with|against|over) (?:the |a |an )?$")


@dataclass(frozen=True)
class Part:
    """A part of a sentence, from `start`; with the name that leads it and its verb where they are sure."""

    start: int
    text: str
    lead: Span | None = None
    verb: str = ""

    @property
    def rest(self) -> str:
        """What stands behind the verb."""
        return self.text.partition(f" {self.verb} ")[2]


def parts_of(sentence: str, spans: Sequence[Span]) -> list[Part]:
    """The parts between colons, semicolons and «, and»; the whole sentence where one has no verb."""
    text = sentence.rstrip(".!? ")
    cuts = [0, *(m.end() for m in BORDER.finditer(text)), len(text)]
    found = [_part(sentence, a, text[a:b], spans) for a, b in zip(cuts, cuts[1:], strict=False)]
    has_verbs = all(len(p.text) > SHORT and any(map(_is_finite, p.text.split())) for p in found)
    return found if has_verbs else [_part(sentence, 0, text, spans)]


def _part(sentence: str, start: int, text: str, spans: Sequence[Span]) -> Part:
    link = re.match("(?:and|but|while|yet|so) ", text)
    start, text = start + (link.end() if link else 0), text[link.end() if link else 0 :].rstrip(",;:—– ")
    article = 4 if text.startswith(("The ", "the ")) else 0
    lead = next((s for s in spans if s.start == start + article and s.kind in ACTORS), None)
    verb = re.match(r" ([a-z]+) \S", sentence[lead.end :]) if lead else None
    return Part(start, text, lead, verb[1]) if verb and _is_finite(verb[1]) else Part(start, text)


def _is_finite(word: str) -> bool:
    return word in AUXILIARIES or (word.islower() and bool(past_verb(word)))


@lru_cache(maxsize=20_000)
def past_verb(word: str) -> str:
    """The dictionary form if the word can be a verb in the past, else ""."""
    if word in AUXILIARIES or word in UNCHANGED:
        return word if word in UNCHANGED else ""
    lemmas = lemminflect.getAllLemmas(word)
    found = [v for v in lemmas.get("VERB", ()) if v != word]
    is_noun = "NOUN" in lemmas and not word.endswith("ed") and word not in PAST_FIRST
    return "" if not found or is_noun or re.search("ing$|[^s]s$", word) else found[0]


def word_for(span: Span) -> str:
    """The question word that stands for the span."""
    if span.kind == "date" and re.fullmatch(r"\d{4}s?", span.text):
        return "what year"
    return f"how many {span.text.split()[-1]}" if span.kind == "count" and " " in span.text else WORDS[span.kind]


def wordings_of(part: Part, span: Span, answer: str) -> Iterator[Wording]:
    """All the ways to ask for the span."""
    before, after = part.text[: span.start - part.start], part.text[span.end - part.start :]
    is_in_compound = span.kind == "score" and re.match(r"[ -](?!(?:in|at|on|to|for|by|after|with)\b)[a-z]", after)
    is_bare = span.kind == "count" and " " not in span.text
    if is_in_compound or is_bare or len(part.text) > LONG or part.text.split()[0].lower().strip(",") in POINTING:
        return
    if span == part.lead:
        is_thing = part.verb in ("is", "was", "are", "were") and span.kind != "person"
        verb = {"were": "was", "are": "is", "have": "has"}.get(part.verb, part.verb)
        told = f"It was {answer} that {part.verb} {part.rest}."
        yield Wording("subject", f"{'what' if is_thing else 'who'} {verb} {part.rest}?", told)
        return
    yield _in_place(span, before, after)
    if part.lead and span.start > part.lead.end:
        yield from _turned(part, span)


def _in_place(span: Span, before: str, after: str) -> Wording:
    word = "whom" if span.kind == "side" and before and not before.endswith(", ") else word_for(span)
    if span.kind in ACTORS and after.startswith(("'s", "’s")):
        word, after = "whose", after[2:]
    if span.kind not in ("date", "time"):
        before = re.sub(r"\b(?:[Tt]he|an?) $", "", before)
    text = before + word + after
    return Wording("in_place", (text[0].lower() + text[1:] if is_common(text.split()[0].lower()) else text) + "?")


def _turned(part: Part, span: Span) -> Iterator[Wording]:
    """«in which minute did Barcola double the lead?»: the question word, the verb's helper, and what is left."""
    before, _, after = part.rest.partition(span.text)
    found = PREPOSITION.search(before)
    lead, prep = (before[: found.start()], found[1]) if found else (before, "")
    if re.match(r"\w|['’]s|-| (?:of|and|or|after|before|later|from|old)\b| [a-z]+ing\b", after):
        return
    is_at = prep in ("in", "at", "near", "outside")
    asking = {
        "date": "when" * (prep in ("on", "in")),
        "place": "where" * is_at,
        "facility": "where" * is_at,
        "minute": "in which minute" * is_at,
        "score": "by what score" * (not prep),
    }.get(span.kind, "")
    rest = f"{lead}{after}".strip()
    if not asking and span.kind in ACTORS and not lead.strip() and not (prep and after) and past_verb(part.verb):
        asking, rest = word_for(span), f"{rest} {prep}"
    if asking:
        yield Wording("turned", re.sub(" +", " ", f"{asking} {_inverted(part)} {rest}").strip() + "?")


def _inverted(part: Part) -> str:
    """«did Canada win», «was the game»."""
    subject = re.sub("^The ", "the ", part.text[: part.text.index(f" {part.verb} ")])
    owns = part.verb in ("had", "has", "have") and not re.match(r"(?:been |just |never )?\w+(?:ed|n|t|ne)\b", part.rest)
    if part.verb in AUXILIARIES and not owns:
        return f"{part.verb} {subject}"
    return f"{ {'has': 'does', 'have': 'do'}.get(part.verb, 'did') } {subject} {past_verb(part.verb) or 'have'}"
