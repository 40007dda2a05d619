"""Questions from English sentences: Story → questions about every figure and name, each with its context.

At MetLife Stadium on 30 June 2026 France beat Sweden 3-0.     (title: Barcola in the spotlight)
  subject   Who beat Sweden 3-0 on 30 June 2026?                                 → France
  object    In the report “Barcola in the spotlight”, who did France beat 3-0?    → Sweden
  in_place  In the match between France and Sweden, France beat Sweden by what score?
"""

import random
import re
from dataclasses import dataclass

from ishibumi.knowledge.contexts_en import VERSUS, Story, full_name
from ishibumi.knowledge.english import AUXILIARIES, MONTH, PLACE_END, POINTING, TITLES, Clause, Span


@dataclass(frozen=True)
class Wording:
    """A question without context: `rule`, text (small first letter where it may follow a context), answer, kind."""

    rule: str
    text: str
    answer: str
    kind: str


def wordings_of(story: Story) -> dict[tuple[int, str, str], list[Wording]]:
    """Every fact (sentence number, answer, kind) with all the ways to ask for it."""
    facts: dict[tuple[int, str, str], list[Wording]] = {}
    for n, sentence in enumerate(story.sentences):
        for span in story.spans[n]:
            made = [*_in_place(sentence, span), _hole(sentence, span)]
            made += (
                [*_turned(story, n, span), *_about(story, n, span), *_event(story, n, span)]
                if span.kind != "other"
                else []
            )
            facts.setdefault((n, answer_of(story, span), span.kind), []).extend(
                Wording(rule, text, answer_of(story, span), span.kind) for rule, text in made
            )
    return facts


def answer_of(story: Story, span: Span) -> str:
    """The span as a full answer: a surname becomes the full name where the document gives one."""
    if span.kind == "person" and " " not in span.text:
        return full_name(span, story.kinds)
    if span.kind == "score":
        return re.sub("[–—]", "-", span.text)
    return (
        re.sub(r"^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day,? ", "", span.text) if span.kind == "date" else span.text
    )


def _hole(sentence: str, span: Span) -> tuple[str, str]:
    return "cloze", f"fill in the blank: “{_around(sentence, span, '____')}”"


def _around(sentence: str, span: Span, word: str) -> str:
    """The sentence with `word` for the span, cut at commas and semicolons where it is long."""
    before, after = sentence[: span.start], sentence[span.end :]
    if len(before) > 110:
        cut = max(before.rfind("; ", 0, -40), before.rfind(", ", 0, -60))
        before = before[cut + 2 :] if cut > 0 else before
    if len(after) > 90:
        cut = re.search(r"[,;] ", after[40:])
        after = after[: 40 + cut.start()] if cut else after
    return (before + word + after).rstrip(".!?;, ")


def _in_place(sentence: str, span: Span) -> list[tuple[str, str]]:
    """The clause around the answer with the question word in its place."""
    after = sentence[span.end :]
    if (
        len(sentence) > 260
        or span.kind == "title"
        or (
            span.kind == "score"
            and re.match(r"[ -][a-z]", after)
            and not re.match(r" (?:in|at|on|to|for|by|down|up|after|with)\b", after)
        )
    ):
        return []
    # Only the part between colons and semicolons: what stands beyond is another statement.
    left = (
        max(sentence.rfind("; ", 0, span.start), sentence.rfind(": ", 0, span.start)) + 2
        if re.search("[;:] ", sentence[: span.start])
        else 0
    )
    right = re.search("[;:] ", after)
    sentence = sentence[left : span.end + right.start()] if right else sentence[left:]
    span = Span(span.start - left, span.end - left, span.kind, span.text)
    before, word = sentence[: span.start], _question_word(span, sentence[: span.start])
    if span.kind == "count" and " " in span.text and word == "how many":
        word = f"how many {span.text.split()[-1]}"
    if span.kind in ("person", "name", "organisation") and (sentence[span.end :].startswith(("'s", "’s"))):
        word = "whose"
        before = re.sub(r"\b(?:the|The) $", "", before)
        sentence = sentence[: span.end] + sentence[span.end + 2 :]
    before = (
        re.sub(r"\b(?:the|a|an) $", "", before)
        if span.kind in ("score", "place", "name", "organisation", "count", "minute")
        else before
    )
    text = _around(before + "\1" + sentence[span.end :], Span(len(before), len(before) + 1, span.kind, ""), word)
    if text.split()[0].lower().strip(",") in POINTING:
        return []
    return [("in_place", text + "?")]


def _question_word(span: Span, before: str) -> str:
    if span.kind == "date":
        return "what year" if re.fullmatch(r"\d{4}s?", span.text) else "what date"
    if span.kind == "place":
        return "what place" if before else "which place"
    if span.kind == "person":
        return "who"
    if span.kind == "count":
        return "how many"
    if span.kind == "other":
        return "what"
    if span.kind == "name":
        return (
            "what"
            if re.search(r"\b[Tt]he $", before)
            else "who"
            if not before or before.endswith((", ", "; ", ": ", "and "))
            else "whom"
        )
    words = {
        "score": "what score",
        "minute": "which minute",
        "time": "what time",
        "money": "how much money",
        "percent": "what percentage",
    }
    return words.get(span.kind, "which organisation")


def _turned(story: Story, n: int, span: Span) -> list[tuple[str, str]]:
    """Questions with the verb turned round, from the clauses of the sentence that hold the answer."""
    out: list[tuple[str, str]] = []
    for clause in story.clauses[n]:
        bare = re.sub(rf"^[Tt]he |^(?:{TITLES})\.? ", "", clause.subject)
        if bare == span.text:
            word = "who" if span.kind != "place" or clause.base in ("beat", "win", "lose", "score") else "what"
            word = (
                "what"
                if clause.verb in ("is", "was", "are", "were") and span.kind in ("name", "place", "organisation")
                else word
            )
            out.append(("subject", f"{word} {_singular(clause.verb)} {clause.rest}?"))
        elif span.text in clause.rest and f"{clause.rest} ".count(span.text) == 1:
            out += _from_rest(clause, span)
        elif span.text in clause.before and span.kind in ("date", "place"):
            word = "when" if span.kind == "date" else "where"
            out.append((word, f"{word} {_inverted(clause, clause.rest)}?"))
    return [(rule, re.sub(r"\s+([?, ])", r"\1", text)) for rule, text in out if len(text) < 200]


def _singular(verb: str) -> str:
    """The verb after «who»: were → was, have → has."""
    return {"were": "was", "are": "is", "have": "has"}.get(verb, verb)


def _inverted(clause: Clause, rest: str) -> str:
    """«did Canada win the cup», «was the game played at noon»."""
    subject = (
        clause.subject
        if clause.subject[0].isupper() and not clause.subject.startswith(("The ", "A "))
        else clause.subject[0].lower() + clause.subject[1:]
    )
    is_verb = clause.verb in ("had", "has", "have") and not re.match(
        r"(?:been |already |just |never )?\w+(?:ed|en|n|t|ne)\b", rest
    )
    if clause.verb in AUXILIARIES and not is_verb:
        return f"{clause.verb} {subject} {rest}".strip()
    base = clause.base or "have"
    helper = {"has": "does", "have": "do"}.get(clause.verb, "did")
    return f"{helper} {subject} {base} {rest}".strip()


def _from_rest(clause: Clause, span: Span) -> list[tuple[str, str]]:
    rest = clause.rest
    at = rest.index(span.text)
    before, after = rest[:at], rest[at + len(span.text) :]
    prep = re.search(
        r"(?:^|\s)(on|in|at|by|for|near|outside|after|since|from|to|with|against|over|through|of) (?:the |a |an )?$",
        before,
    )
    lead = before[: prep.start()] if prep else before
    rest_of = f"{lead}{after}".strip()
    if (
        after[:1].isalnum()
        or after.startswith(("'s", "’s", "-", " of ", " and ", " or "))
        or re.match(r" [a-z]+(?:ing)\b", after)
    ):
        return []
    if span.kind == "date" and prep and prep[1] in ("on", "in"):
        return [
            ("when", f"when {_inverted(clause, rest_of)}?"),
            (
                "when",
                f"on what date {_inverted(clause, rest_of)}?"
                if prep[1] == "on"
                else f"in what year {_inverted(clause, rest_of)}?"
                if re.fullmatch(r"\d{4}", span.text)
                else f"when {_inverted(clause, rest_of)}?",
            ),
        ]
    if span.kind == "place" and prep and prep[1] in ("in", "at", "near", "outside"):
        return [("where", f"where {_inverted(clause, rest_of)}?")]
    if span.kind == "minute" and prep and prep[1] in ("in", "at"):
        return [
            ("minute", f"in which minute {_inverted(clause, rest_of)}?"),
            ("minute", f"when {_inverted(clause, rest_of)}?"),
        ]
    if span.kind == "score" and not prep:
        return [
            ("score", f"by what score {_inverted(clause, rest_of)}?"),
            ("score", f"what was the score when {clause.subject} {clause.verb} {rest_of}?"),
        ]
    if span.kind == "count" and " " in span.text and (prep or not before.strip()):
        unit = span.text.split()[-1]
        return [("how_many", f"{(prep[1] + ' ') if prep else ''}how many {unit} {_inverted(clause, rest_of)}?")]
    if span.kind in ("person", "name", "organisation", "place") and (
        not lead.strip() or (prep and prep[1] in ("by", "with", "against", "to", "over"))
    ):
        word = (
            "who"
            if span.kind == "person" or clause.base in ("beat", "defeat", "face")
            else "which place"
            if span.kind == "place"
            else "what"
            if not prep
            else "whom"
        )
        if clause.verb in ("is", "are", "was", "were") and not prep:
            return [("what", f"what {clause.verb} {clause.subject}?")] if not after.strip() else []
        tail = f" {prep[1]}" if prep else ""
        return [("object", f"{word} {_inverted(clause, rest_of)}{tail}?")] if not (prep and after.strip()) else []
    return []


def _about(story: Story, n: int, span: Span) -> list[tuple[str, str]]:
    """Appositions: «Raúl Jiménez, the Fulham striker,» → who is the Fulham striker?"""
    sentence = story.sentences[n]
    after = re.match(r", ((?:the|an?|[A-Z][\w]+['’]s) [^,.;]{4,50})[,.;]", sentence[span.end :])
    if (
        span.kind not in ("person", "name", "organisation", "place")
        or not after
        or re.search(r"\b(?:was|were|is|had|and)\b", after[1])
    ):
        return []
    word = "who" if span.kind == "person" else "what"
    return [("apposition", f"{word} is described as {after[1]}?")]


def _event(story: Story, n: int, span: Span) -> list[tuple[str, str]]:
    """Where and when a contest was and how it ended, in the words that people use for that."""
    if not story.pair:
        return []
    sentence = story.sentences[n]
    if (
        span.kind == "place"
        and span.text.split()[-1] in PLACE_END
        and re.search(r"\bat (?:the )?$", sentence[: span.start])
    ):
        return [
            ("event", "what was the venue?"),
            ("event", "at which ground was it played?"),
            ("event", "where was the match played?"),
        ]
    clause = next((c for c in story.clauses[n] if span.text in c.rest), None)
    is_final = clause and re.fullmatch(rf"{VERSUS}|won", clause.verb) and not re.search("shoot-?out|penalt", sentence)
    if span.kind == "score" and clause and is_final and story.pair[0] in clause.subject:
        return [
            ("event", "what was the final score?"),
            ("event", "what was the result?"),
            ("event", "how did the match end?"),
        ]
    if span.kind == "date" and clause and is_final:
        return [("event", "when was the match played?"), ("event", "what was the date of the match?")]
    return []


def ask(story: Story, *, wordings_per_fact: int, rng: random.Random) -> list[tuple[Wording, str, str]]:
    """For every fact, up to `wordings_per_fact` questions that differ in shape and context, with its sentence."""
    out: list[tuple[Wording, str, str]] = []
    for (n, _, kind), wordings in wordings_of(story).items():
        turned = [w for w in wordings if w.rule not in ("cloze", "in_place")]
        in_place = [w for w in wordings if w.rule == "in_place"]
        rng.shuffle(turned)
        pool = [*turned, *in_place, *turned, *in_place] or [w for w in wordings if w.rule == "cloze"]
        wanted = (
            (wordings_per_fact + 3) // 4
            if kind == "other"
            else wordings_per_fact
            if turned or in_place
            else (wordings_per_fact + 1) // 2
        )
        if kind != "other" and wanted > 2 and rng.random() < 0.5:
            pool.insert(2, next(w for w in wordings if w.rule == "cloze"))
        used: set[str] = set()
        for wording in (pool * wordings_per_fact)[:wanted]:
            fitting = [c for c in story.contexts if c not in used and fits(c, wording)]
            if not fitting:
                continue
            context = rng.choice(fitting)
            used.add(context)
            out.append((wording, _joined(context, wording, rng), story.sentences[n]))
    return out


def fits(context: str, wording: Wording) -> bool:
    if wording.rule == "event" and not re.match(r"In (?:the match|the game|the [^ ]+–|\S+(?: \S+)? vs? )", context):
        return False
    if wording.answer.lower() in context.lower() or any(
        w in context for w in wording.answer.split() if len(w) > 3 and w[0].isupper()
    ):
        return False
    return not (re.search(rf"\d {MONTH}|{MONTH} \d", wording.text) and re.search(rf"\d {MONTH}|{MONTH} \d", context))


def _joined(context: str, wording: Wording, rng: random.Random) -> str:
    """The context in front, or behind a short question that begins with its question word."""
    body = wording.text
    match = re.match(r"In (the match|the game|[^“]*? v|[^“]*?'s match)", context)
    if wording.rule not in ("cloze", "in_place") and match and rng.random() < 0.4:
        text = body.rstrip("?") + " " + context[0].lower() + context[1:].rstrip(", ") + "?"
        return text[0].upper() + text[1:]
    if wording.rule == "in_place":
        first = body.split()[0]
        body = (
            body[0].lower() + body[1:]
            if first in ("The", "A", "An", "In", "On", "At", "After", "With", "For", "Two", "One")
            else body
        )
    return context + body
