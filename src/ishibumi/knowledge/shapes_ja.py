"""The two main shapes of a Japanese question: a question word in the answer's place, and …のは誰ですか.

A part that the question can do without (an adjunct, a topic beside a subject) is left out in the short forms, unless
another clause of the document would then fit as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ishibumi.knowledge.clauses import Clause
from ishibumi.knowledge.contexts_ja import Story
from ishibumi.knowledge.facts import Entity, head_entity
from ishibumi.knowledge.phrases import subtree


@dataclass(frozen=True)
class Wording:
    """A question about a fact before its context and its ending are chosen.

    `form`: «noun» is closed by は誰ですか, «verb» by か, «cloze» and «closed» are whole sentences already.
    """

    rule: str
    stem: str
    form: str
    word: str
    answer: str
    kind: str
    past: bool = False
    alternatives: tuple[str, ...] = ()


@dataclass(frozen=True)
class View:
    """A clause as the rules see it: parts that point elsewhere (この, 同) left out."""

    clause: Clause
    parts: tuple[int, ...]
    dropped: frozenset[int]
    subject: str
    is_verbless: bool


def with_subject(view: View, text: str, particle: str) -> str:
    return f"{view.subject}{particle}{text}" if view.subject else text


def in_place(view: View, story: Story, i: int, j: int, entity: Entity, word: str) -> Iterator[Wording]:
    """The clause with the question word where the answer stood."""
    clause, phrase = view.clause, view.clause.phrases[j]
    particle = clause.particle(i)
    if particle in ("は", "も") and (
        clause.has("が") or any(k != i and clause.particle(k) in ("は", "も") for k in view.parts)
    ):
        return
    particles: dict[int, str] = {}
    if particle == "" and i == j and entity.kind not in ("number", "date", "time"):
        return
    if (entity.kind == "person" and phrase.particle in ("で", "では")) or entity.kind == "unknown":
        return
    if entity.kind in ("other", "name") and particle in ("で", "と", "から", "では", "とは"):
        return
    if particle == "" and (
        entity.kind == "title" or (entity.kind == "number" and clause.phrases[i].comma and not _is_moment(entity))
    ):
        return
    if entity.kind == "other" and len(subtree(clause.phrases, i)) > 1:
        return
    content = phrase.content[: entity.start] + word + phrase.content[entity.end :]
    if entity.kind == "person" and len(phrase.content[: entity.start]) <= 4:
        content = word  # FWフェラン・トーレス選手 → 誰
    if i == j:
        agent = entity.kind in ("person", "country", "organisation", "place", "name")
        swap = {"は": "が", "も": "が"} if agent or (particle == "は" and entity.kind in ("other", "title")) else {}
        particles[i] = {**swap, "には": "に", "では": "で", "にも": "に", "でも": "で", "とは": "と"}.get(
            particle, particle
        )
        if word == "いつ":
            particles[i] = "" if particles[i] == "に" else particles[i]
        elif particle == "" and _is_moment(entity):
            particles[i] = "に"
    for rule, dropped in (("in_place", frozenset[int]()), ("in_place_short", _adjuncts(view, story, i))):
        if rule == "in_place_short" and not dropped:
            continue
        text = clause.render(
            without=view.dropped | dropped, swap={j: content}, particles=particles, close=clause.ending.polite
        )
        if "、、" not in text:
            yield Wording(
                rule,
                with_subject(view, text.replace(word + "、", word), "は"),
                "verb",
                word,
                entity.answer,
                entity.kind,
            )


def _is_moment(entity: Entity) -> bool:
    """Whether it is a time of the clock or of a match."""
    return entity.kind == "time" or (entity.kind == "number" and entity.answer.endswith(("分", "秒", "世紀")))


def clefts(view: View, story: Story, i: int, entity: Entity, word: str) -> Iterator[Wording]:
    """The clause without the answer, closed by のは + question word."""
    clause, particle = view.clause, view.clause.particle(i)
    time_like = entity.kind == "date" or _is_moment(entity)
    ok = particle in ("が", "は", "を", "も") or (particle in ("", "に", "には", "にも") and time_like)
    ok = (
        ok
        or (particle in ("で", "では") and entity.kind == "place")
        or (particle in ("に", "には") and entity.kind == "place")
    )
    if particle == "は" and clause.has("が") and entity.kind in ("name", "other"):
        return
    if not ok or clause.ending.noun or entity.kind == "unknown":
        return
    for rule, dropped in (("cleft", frozenset[int]()), ("cleft_short", _adjuncts(view, story, i))):
        if rule == "cleft_short" and not dropped:
            continue
        stem = cleft_stem(view, frozenset({i}) | dropped)
        if stem:
            yield Wording(rule, stem, "noun", word, entity.answer, entity.kind, clause.ending.past)


def cleft_stem(view: View, gone: frozenset[int]) -> str:
    clause = view.clause
    particles: dict[int, str] = {}
    topics = [k for k in view.parts if k not in gone and clause.particle(k) in ("は", "も")]
    has_agent = any(clause.particle(k) == "が" for k in view.parts)
    for k in topics:
        if has_agent or len(topics) > 1:
            gone = gone | {k}
        else:
            particles[k] = "が"
    for k in view.parts:
        if k not in topics and clause.particle(k) in ("には", "では", "にも", "でも", "とは"):
            particles[k] = clause.particle(k)[:1]
    for n, k in enumerate(view.parts[:-1]):
        if clause.phrases[k].words[-1].pos[0] == "副詞" and view.parts[n + 1] in gone:
            gone = gone | {k}
    kept = [k for k in view.parts if k not in gone]
    text = clause.render(without=view.dropped | gone, particles=particles)
    subject = view.subject and not (has_agent or topics)
    if not kept and not subject:
        return ""
    return (f"{view.subject}が{text}" if subject else text) + "の"


def _adjuncts(view: View, story: Story, i: int) -> frozenset[int]:
    """Parts that the question can do without and still mean only this clause; empty where it cannot."""
    clause = view.clause
    if clause.last.words[-1].lemma in ("なる", "する", "ある", "いう"):
        return frozenset()
    core = ("が", "は", "を", "も", "と", "のは")
    loose = [k for k in view.parts if k != i and clause.particle(k) not in core and not _is_needed(view, story, k)]
    loose += [k for k in view.parts if k != i and clause.particle(k) == "は" and clause.has("が")]
    loose = sorted(
        {*loose, *(k for k in view.parts if k != i and clause.phrases[k].is_verb and clause.phrases[k].comma)}
    )
    kept = {clause.part_text(k) for k in view.parts if k != i and k not in loose}
    if not loose or (not kept and not view.subject):
        return frozenset()
    for other in story.clauses:
        if other is not clause and other.last.words[-1].lemma == clause.last.words[-1].lemma:
            theirs = {other.part_text(k) for k in other.parts} | {other.subject}
            if kept <= theirs:
                return frozenset()
    return frozenset(loose)


def _is_needed(view: View, story: Story, k: int) -> bool:
    """Whether the predicate makes little sense without part `k` (総裁に選ばれた, 85円とする)."""
    if view.clause.particle(k) not in ("に", "と", "へ"):
        return False
    head = head_entity(view.clause.phrases[k], story.names)
    return not head or (head.kind not in ("date", "time") and not head.answer.endswith("分"))
