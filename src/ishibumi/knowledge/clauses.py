"""Clauses that stand alone: Sentence → [Clause]. A clause is a predicate with the phrases that depend on it.

It can be written again without one of its parts, with a part replaced by a question word, and in four endings; so
«先制し、» becomes 先制した / 先制しました as the sentence's tense demands.
"""

import datetime as dt
import itertools
import re
from dataclasses import dataclass, replace

from ishibumi.knowledge.endings import Ending, ending_of, is_past
from ishibumi.knowledge.japanese import Token
from ishibumi.knowledge.phrases import Phrase, Sentence, is_predicate, modifies_noun, subtree
from ishibumi.knowledge.words import words

POSTPOSITIONS = frozenset(words("続く 加える 伴う よる 基づく 対する 関する 通じる 応じる 向ける 経る はじめ 入る"))
CHAINS = ("", "て", "で", "が", "ので", "から", "し", "けれど", "けれども")


@dataclass(frozen=True)
class Clause:
    """`parts`: indices of the phrases that hang on the predicates; `predicates`: their indices, the last closes.

    `subject` is what the clause leaves out and an earlier one named, there with は, with が or
    (の) by a relative clause.
    """

    sentence: Sentence
    parts: tuple[int, ...]
    predicates: tuple[int, ...]
    ending: Ending
    subject: str = ""
    subject_role: str = ""

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """All phrases of the sentence."""
        return self.sentence.phrases

    @property
    def last(self) -> Phrase:
        """The closing predicate."""
        return self.phrases[self.predicates[-1]]

    def particle(self, i: int) -> str:
        """The particle behind part `i`."""
        return self.phrases[i].particle

    def has(self, *particles: str) -> bool:
        """Whether some part has one of these particles."""
        return any(self.particle(i) in particles for i in self.parts)

    @property
    def is_passive(self) -> bool:
        """Whether the closing predicate is in the passive voice."""
        return any(t.lemma in ("れる", "られる") for t in (*self.last.words, *self.last.tail))

    def part_text(self, i: int, swap: dict[int, str] | None = None) -> str:
        """Part `i` with its modifiers and no particle; `swap` gives other contents for some phrases."""
        swap = swap or {}
        indices = subtree(self.phrases, i)
        out = ""
        for j in indices:
            phrase = self.phrases[j]
            out += swap.get(j, phrase.content) + ("" if j == i else phrase.particle + ("、" if phrase.comma else ""))
        return out

    def render(
        self,
        *,
        without: frozenset[int] = frozenset(),
        swap: dict[int, str] | None = None,
        particles: dict[int, str] | None = None,
        close: str | None = None,
    ) -> str:
        """The clause up to and with its predicate: `close` replaces the predicate (default: plain)."""
        particles = particles or {}
        out = ""
        for i in sorted((*self.parts, *self.predicates)):
            phrase = self.phrases[i]
            if i == self.predicates[-1]:
                indices = [j for j in subtree(self.phrases, i) if j != i and self.is_modifier(j) and j not in without]
                modifiers = "".join(
                    (swap or {}).get(j, self.phrases[j].content) + self.phrases[j].particle for j in indices
                )
                out += modifiers + (self.ending.plain if close is None else close)
            elif i in self.predicates:
                out += phrase.text
            elif i not in without:
                particle = particles.get(i, phrase.particle)
                out += self.part_text(i, swap) + particle + ("、" if phrase.comma else "")
        return out

    def is_modifier(self, j: int) -> bool:
        """Whether phrase `j` is part of the closing noun («初の優勝» in «…は初の優勝だった»)."""
        if not self.ending.noun:
            return False
        i = self.predicates[-1]
        while j != i and j not in self.parts and j not in self.predicates:
            j = self.phrases[j].head
        return j == i


def relative_clauses(sentence: Sentence) -> list[Clause]:
    """Clauses made of what stands before a noun that acts: «4本塁打を放った山田» → 山田が4本塁打を放った."""
    phrases = sentence.phrases
    out: list[Clause] = []
    for i, p in enumerate(phrases[:-1]):
        if not (p.is_verb and modifies_noun(list(phrases), i)):
            continue
        closes = i + 2 == len(phrases) and not phrases[-1].tail and phrases[-1].words[-1].kind != "unknown"
        if not closes and (not is_agent(phrases[i + 1].words) or phrases[i + 1].particle == "の"):
            continue  # «…で行われたW杯の準決勝»: it was the semi-final
        parts = tuple(j for j in range(i) if phrases[j].head == i)
        past = is_past(p) or (is_past(phrases[-1]) and not closes)
        ending = ending_of(p, past=past, closes_sentence=not past)
        if closes and ending and len(parts) > 1:  # «…に挑んだ1回戦。» tells what happened
            out.append(Clause(sentence, parts, (i,), ending))
        elif ending and parts and not any(phrases[j].particle in ("が", "は", "の", "も") for j in parts):
            out.append(Clause(sentence, parts, (i,), ending, subject=phrases[i + 1].content, subject_role="の"))
    return out


def told_clauses(sentence: Sentence) -> list[Clause]:
    """Clauses of a past sentence that hang on another («60分に山田が加点すると、…»), and each part of a list that
    shares one verb («15分に山田、67分に鈴木が決めた» → 15分に山田が決めた / 67分に鈴木が決めた).
    """
    phrases = sentence.phrases
    out: list[Clause] = []
    for i, p in enumerate(phrases[:-1]):
        tail = p.tail[-1] if p.tail else None
        hangs = (
            p.is_verb and tail and ((tail.text == "と" and tail.pos[1] == "接続助詞") or tail.text in ("ば", "ものの"))
        )
        parts = tuple(j for j in range(i) if phrases[j].head == i)
        if hangs and len(parts) > 1 and is_past(phrases[-1]) and any(phrases[j].particle == "が" for j in parts):
            bare = Phrase(p.words, [t for t in p.tail if t.pos[0] == "助動詞"])
            ending = ending_of(bare, past=True, closes_sentence=False)
            out += [Clause(sentence, parts, (i,), ending)] if ending else []
    return out


def shared_verbs(clause: Clause) -> list[Clause]:
    """The clause cut into one for each pair of a moment and a name, if its verb serves several; else nothing."""
    phrases, first = clause.phrases, clause.predicates[0]
    direct = [i for i in clause.parts if phrases[i].head == first]
    pairs = [
        (i, j) for i, j in itertools.pairwise(direct) if _is_moment(phrases[i]) and phrases[j].particle in ("", "が")
    ]
    pairs = [(i, j) for i, j in pairs if is_agent(phrases[j].words) and phrases[i].particle == "に"]
    if len(pairs) < 2 or phrases[pairs[-1][1]].particle != "が":
        return []
    ending = ending_of(phrases[first], past=True, closes_sentence=False)
    shared = tuple(i for i in direct if phrases[i].particle == "を" and i > pairs[-1][1])
    out: list[Clause] = []
    for pair in pairs if ending else []:
        copies = list(phrases)
        copies[pair[1]] = replace(phrases[pair[1]], tail=phrases[pairs[-1][1]].tail, comma=False)
        assert ending is not None
        out.append(Clause(Sentence(clause.sentence.text, tuple(copies)), (*pair, *shared), (first,), ending))
    return out


def _is_moment(phrase: Phrase) -> bool:
    return phrase.words[-1].kind == "number" and phrase.content.endswith("分")


def clauses_of(sentence: Sentence, *, carried: str = "", today: dt.date | None = None) -> list[Clause]:
    """The clauses of a sentence; `carried` is the topic of the sentence before, for a first clause that names none.

    `today` is the document's date: what happened on it or before is past, also where it is told in the present.
    """
    phrases = sentence.phrases
    if not phrases:
        return []
    levels = _levels(phrases)
    past = is_past(phrases[-1])
    groups: list[list[int]] = []
    for i in levels:
        before = phrases[groups[-1][-1]] if groups else None
        joins = (
            before is not None
            and not before.is_noun
            and before.particle.endswith(("て", "で", "ても", "ず"))
            and not _has_subject(phrases, i)
        )
        if joins:
            groups[-1].append(i)
        else:
            groups.append([i])
    out: list[Clause] = []
    for group in groups:
        noun = phrases[group[-1]].is_noun and phrases[group[-1]].words[-1].pos[0] != "動詞"
        parts = tuple(
            j
            for j in range(group[-1])
            if phrases[j].head in group
            and not (noun and phrases[j].head == group[-1] and modifies_noun(list(phrases), j))
        )
        is_end = group[-1] == levels[-1]
        told = _is_told(phrases, parts, today, is_end=is_end)
        ending = ending_of(phrases[group[-1]], past=past or told, closes_sentence=is_end and not told)
        if ending:
            out.append(Clause(sentence, parts, tuple(group), ending))
    return _with_subjects(out, carried)


def _is_told(phrases: tuple[Phrase, ...], parts: tuple[int, ...], today: dt.date | None, *, is_end: bool) -> bool:
    """Whether the clause is past whatever its form: «65分に追加点を挙げる», «7月1日、2-1で切り抜け、»."""
    words = [(phrases[j], phrases[j].words[-1]) for j in parts]
    if any(w.kind == "number" and w.text.endswith("分") and p.particle in ("", "に", "には", "にも") for p, w in words):
        return True
    for _, w in words:
        date = re.fullmatch(r"(?:(\d{4})年)?(\d{1,2})月(\d{1,2})日", w.text) if today else None
        if today and date:
            then = (int(date[1] or today.year), int(date[2]), int(date[3]))
            now = (today.year, today.month, today.day)
            return then < now or (then == now and not is_end)
    last = phrases[-1]
    is_action = is_end and not last.tail and last.words[-1].pos[2] == "サ変可能"
    return is_action or (not is_end and any(w.kind == "score" for _, w in words))


def _levels(phrases: tuple[Phrase, ...]) -> list[int]:
    """The predicates of the main chain, in order."""
    last = len(phrases) - 1
    found = {last}
    for i in range(last - 1, -1, -1):
        p = phrases[i]
        closes = not p.tail or p.tail[-1].pos[1] not in ("係助詞", "準体助詞", "副助詞")
        closes = closes and p.words[-1].lemma not in POSTPOSITIONS
        closes = closes and not (i and p.content + p.particle == "して" and phrases[i - 1].particle == "と")
        ok = closes and is_predicate(p, is_last=False) and p.head in found and not modifies_noun(list(phrases), i)
        tail = "".join(t.text for t in p.tail if t.pos[1] == "接続助詞" or t.pos[1] == "格助詞")
        if ok and (tail in CHAINS or p.closes) and (p.comma or tail or p.is_verb):
            found.add(i)
    for i in found:
        phrases[i].head = -1  # so that no clause reaches into the one before it
    return sorted(found)


def _has_subject(phrases: tuple[Phrase, ...], i: int) -> bool:
    return any(q.head == i and q.particle in ("が", "は", "も") and q.is_noun for q in phrases[:i])


def _with_subjects(clauses: list[Clause], carried: str) -> list[Clause]:
    """The clauses with the subject that they leave out, where that is clear: a wrong one is worse than none."""
    out: list[Clause] = []
    known, role = carried, "は"
    for clause in clauses:
        nouns = [i for i in clause.parts if clause.phrases[i].is_noun]
        topic = next(
            (
                i
                for i in clause.parts
                if (clause.particle(i) == "は" and i in nouns) or clause.particle(i).endswith("のは")
            ),
            None,
        )
        agent = next((i for i in nouns if clause.particle(i) == "が"), None)
        if topic is None and agent is None and not clause.has("も"):
            clause = replace(clause, subject=known, subject_role=role)
        if topic is not None:
            if clause.particle(topic).endswith("のは") and clause.ending.noun and is_agent(clause.last.words):
                known, role = clause.last.content, "のは"  # «…打ったのは山田で、…を奪った»
                out.append(clause)
                continue
            is_thing = clause.ending.noun and not is_agent(clause.phrases[topic].words)
            # «山田の得点は7に伸び、9日に戦う»: a thing with an owner gives way to the owner.
            is_owned = not is_agent(clause.phrases[topic].words) and len(subtree(clause.phrases, topic)) > 1
            known, role = "" if is_thing or is_owned else clause.part_text(topic), "は"
        elif agent is not None:
            # «決勝が行われ、4-1で勝った»: what was held is not who won.
            role = "が"
            known = clause.part_text(agent) if is_agent(clause.phrases[agent].words) and not clause.is_passive else ""
        out.append(clause)
    return out


def is_agent(words: list[Token]) -> bool:
    """Whether the words name a person, a country or an organisation, which can act."""
    return any(
        t.kind in ("katakana", "unknown")
        or t.pos[2] == "人名"
        or t.pos[3] == "国"
        or (t.pos[1] == "固有名詞" and t.pos[2] == "一般")
        for t in words
    )
