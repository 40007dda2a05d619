"""English clauses: sentence → [Clause], and the question with its verb turned round.

There is no parser: a clause is taken only where a subject stands directly before its finite verb; elsewhere the rules
put the question word in the answer's place or leave a hole in the sentence.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import lemminflect

from ishibumi.knowledge.english import INNER, POINTING, WEAK, is_common
from ishibumi.knowledge.words import words

AUXILIARIES = frozenset(words("is are was were has have had will would can could may might must did does do"))
NOT_BEFORE_VERBS = frozenset(words("to and or not by of in at for with"))
UNCHANGED = frozenset(words("beat put cut set hit let cost shut spread split hurt burst"))
PAST_FIRST = frozenset(words("left saw found felt rose drew shot led met thought fell broke spoke"))  # seldom nouns
PIECES = re.compile(
    r";|:|—| – |, (?=(?:and|but|while|who|which|where|when|as|with|having|yet|so|after|before)\b)"  # where one may begin
)
NAMED_SUBJECT = re.compile(
    rf"(?:^|(?<=, )|(?<=\d )|\b(?:and|but|when|as|while|after|that) )"
    rf"((?:[Tt]he )?[A-Z][\w’'.&-]*(?: (?:{INNER} )?[A-Z][\w’'&-]*)*)$"
)
COMMON_SUBJECT = re.compile(
    r"(?:^|, | and | when )((?:[Tt]he|An?|[Tt]heir|[Ii]ts) (?:(?!(?:of|in|at|on|by|for|with|from|to)\b)[\w’'-]+ ?){1,4})$"
)
# The rest goes up to the next clause; commas of dates and places stay inside.
NEXT = re.compile(
    r", (?!\d{4}\b|[A-Z][a-z]+(?:,|$| on\b| in\b))|\s\(| (?:and|but) (?=[a-z]+(?:ed|t)\b|was\b|were\b|had\b|then\b|so\b)"
)


@dataclass(frozen=True)
class Clause:
    """`before` + `subject` + `verb` + `rest`; `base` is the verb's dictionary form, empty for an auxiliary."""

    before: str
    subject: str
    verb: str
    base: str
    rest: str


def clauses_of(sentence: str, known: frozenset[str]) -> list[Clause]:
    """The clauses whose subject stands directly before a finite verb."""
    pieces = PIECES.split(sentence.rstrip(".!?"))
    return [clause for piece in pieces if (clause := _clause(piece.strip(), known))]


def _clause(piece: str, known: frozenset[str]) -> Clause | None:
    found = list(re.finditer(r"[\w’'&+.-]*\w", piece))
    at = next((i for i, m in enumerate(found) if i and _is_finite(m[0])), 0)
    if not at or found[at - 1][0].lower() in NOT_BEFORE_VERBS | AUXILIARIES:
        return None
    verb = found[at][0]
    before, rest = piece[: found[at].start()].rstrip(), piece[found[at].end() :].strip()
    start = _subject_start(before)
    if start is None or not rest:
        return None
    subject = before[start:].split()
    is_word = len(subject) == 1 and is_common(subject[0].lower()) and subject[0] not in known
    is_reduced = re.match(r"(?:by|at|in|on|from|with|to)\b", rest) and any(_is_finite(m[0]) for m in found[at + 1 :])
    is_weak = subject[0].lower() in POINTING | (WEAK - {"the", "a", "an"}) or subject[-1].lower() in POINTING | WEAK
    base = past_verb(verb)
    if is_word or is_weak or (base and is_reduced):
        return None
    cut = NEXT.search(rest)
    return Clause(before[:start].strip(), before[start:], verb, base, rest[: cut.start()] if cut else rest)


def _is_finite(word: str) -> bool:
    return word.islower() and (word in AUXILIARIES or bool(past_verb(word)))


@lru_cache(maxsize=20_000)
def past_verb(word: str) -> str:
    """The dictionary form if the word can be a verb in the past, else ""."""
    if word in AUXILIARIES or word in UNCHANGED:
        return word if word in UNCHANGED else ""
    lemmas = lemminflect.getAllLemmas(word)
    found = [v for v in lemmas.get("VERB", ()) if v != word]
    is_noun = "NOUN" in lemmas and not word.endswith("ed") and word not in PAST_FIRST
    return "" if not found or is_noun or re.search("ing$|[^s]s$", word) else found[0]


def _subject_start(before: str) -> int | None:
    """Where the noun phrase that ends `before` begins; None if that is not clear."""
    found = NAMED_SUBJECT.search(before) or COMMON_SUBJECT.search(before)
    return found.start(1) if found else None


def turned(clause: Clause, rest: str) -> str:
    """What stands behind the question word: «did Canada win the cup», «was the game played at noon»."""
    subject = re.sub("^(?:The|An?|Their|Its) ", lambda m: m[0].lower(), clause.subject)
    owns = clause.verb in ("had", "has", "have") and not re.match(r"(?:been |just |never )?\w+(?:ed|n|t|ne)\b", rest)
    if clause.verb in AUXILIARIES and not owns:
        return f"{clause.verb} {subject} {rest}".strip()
    helper = {"has": "does", "have": "do"}.get(clause.verb, "did")
    return f"{helper} {subject} {clause.base or 'have'} {rest}".strip()
