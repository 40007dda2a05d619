"""English questions about one of several alike, by its name: rosters, price lists, data sheets. Sentence → [Wording].

Model A500 has a weight of 2 kg.        what is the weight of Model A500?         → 2 kg
Ann Lee of Acme Ltd is an engineer.     which organisation is Ann Lee with?       → Acme Ltd
                                        what is Ann Lee's role?                   → engineer
"""

import re
from collections.abc import Iterator, Sequence

import lemminflect

from ishibumi.knowledge.english import Span
from ishibumi.knowledge.questions_en import ACTORS
from ishibumi.knowledge.story import BY_NAME, Wording

FIGURES = ("label", "count", "money", "percent")
OF_AN_EVENT = re.compile(r"\b(?:in|at|on|by|from|to|until|after|before|since|of)(?: the)? $")
NOUN = re.compile(r"(?:\ban? ([a-z]{3,}) of|\b([a-z]{3,})( is| was|:)?) (?:(?:about|around|over|nearly|only) )?$")
MEASURED = ("cost", "price", "age", "measure", "weight")  # nouns also where no «of» or «is» shows it
WITH = re.compile(
    r" of |,? who [a-z]+ (?:for|at|with) (?:the )?|(?:,| is| was) an? [a-z -]+ (?:of|at|for|with) (?:the )?"
)
ROLE_BEHIND = r"(?: of [^,]+?)?(?:,| is| was) an? ([a-z][a-z -]+?)(?= (?:and|of|at|for|with|who|in)\b|[,.;]|$)"
ROLE_BEFORE = r"\bthe ([a-z-]+(?: [a-z-]+)?) "


def attributes_of(sentence: str, span: Span, spans: Sequence[Span], answer: str) -> Iterator[Wording]:
    """Ways to ask for the figure or the organisation from the side of the sentence's one subject."""
    subject = subject_of(spans)
    if subject is None or subject == span:
        return
    if span.kind in FIGURES and (noun := _attribute(sentence, span)):
        told = f"The {noun} of {subject.text} is {answer}."
        asked = ("what is the {a} of {s}?", "which {a} does {s} have?", "what is {s}'s {a}?", "{s}: {a}?", "{s} {a}")
        yield from (Wording(BY_NAME, form.format(a=noun, s=subject.text), told) for form in asked)
    elif is_member(sentence, subject, spans) and span.kind == "organisation":
        told = f"{subject.text} is with {answer}."
        asked = ("which organisation is {s} with?", "where does {s} belong?", "{s}: organisation?", "{s} organisation")
        yield from (Wording(BY_NAME, form.format(s=subject.text), told) for form in asked)


def role_of(sentence: str, spans: Sequence[Span]) -> tuple[str, Span, tuple[Wording, ...]] | None:
    """(role, whose, ways to ask for it) of the sentence's one person who is with an organisation, or None."""
    subject = subject_of(spans)
    if subject is None or not is_member(sentence, subject, spans):
        return None
    name = re.escape(subject.text)
    found = re.search(name + ROLE_BEHIND, sentence) or re.search(ROLE_BEFORE + name, sentence)
    asked = ("what is {s}'s role?", "what is the role of {s}?", "what is {s}?", "{s}: role?")
    wordings = tuple(Wording(BY_NAME, form.format(s=subject.text)) for form in asked)
    return (found[1], subject, wordings) if found else None


def subject_of(spans: Sequence[Span]) -> Span | None:
    """The one person of a sentence, or its one name."""
    names = [s for s in spans if s.kind in ACTORS]
    persons = [s for s in names if s.kind == "person"]
    return next((found[0] for found in (persons, names) if len({s.text for s in found}) == 1), None)


def is_member(sentence: str, subject: Span, spans: Sequence[Span]) -> bool:
    """Whether the sentence says with which organisation, its only one, the person is."""
    bodies = [s for s in spans if s.kind == "organisation"]
    is_one = subject.kind == "person" and len(bodies) == 1 and subject.end < bodies[0].start
    return is_one and bool(WITH.fullmatch(sentence[subject.end : bodies[0].start]))


def _attribute(sentence: str, span: Span) -> str:
    """The noun that the figure is the value of: «number 7», «a weight of 2 kg», «costs $5»; else empty."""
    before = sentence[: span.start]
    if span.kind == "label":
        return "" if OF_AN_EVENT.search(before) else re.sub("^no$", "number", re.split(r"\W", span.text.lower())[0])
    found = NOUN.search(before)
    if not found:
        return ""
    noun = lemminflect.getAllLemmas(found[1] or found[2]).get("NOUN", ("",))[0]
    return noun if found[1] or found[3] or noun in MEASURED else ""
