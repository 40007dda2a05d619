"""Questions in keywords: a few words of a sentence and its document, and a question word. Story → [(question, answer)].

«韓国 追いつく チェコ W杯A組初戦 誰？» is how people search, and what is left of any wording when its grammar is taken
away: a model that finds the sentence by such words finds it by wordings that no rule foresees. Half of the questions
keep the sentence's order and particles and leave phrases out: «韓国は67分に誰が追いつく？».

Only words that belong to the answer are taken: in «58分にジコ、67分にサラーと続く» 67分 is Salah's.
"""

import random
import re
from collections.abc import Iterator

from ishibumi.knowledge.contexts_ja import POINTING, Story, date_forms
from ishibumi.knowledge.facts import Entity, asks_for, entities, head_entity
from ishibumi.knowledge.phrases import Phrase, Sentence

ASKING = {
    "誰": ("誰？", "誰ですか？", "名前は？", "誰か教えてください。"),
    "どこ": ("どこ？", "どこですか？", "どこか教えてください。"),
    "いつ": ("いつ？", "いつですか？", "何月何日？"),
    "何対何": ("何対何？", "スコアは？", "結果は何対何ですか？"),
}
JOINTS = (" ", "、", "の", " ")
BEFORE_ASKING = (" ", "、", "は", "で")
NUMBERS = ("number", "time")
NAMES = ("person", "country", "organisation", "place", "name", "title")
KINDS = (*NAMES, *NUMBERS, "date", "score")
COMMA = 3  # a comma parts words as much as so many phrases
NEAREST = 5
MEANINGLESS = re.compile(f"{POINTING.pattern}|[ぁ-ん]{{1,2}}$")
IN_ORDER_SHARE = 0.5
KEPT = 0.75  # of the phrases that a question in the sentence's order may keep


def keyword_questions(story: Story, sentence: Sentence, rng: random.Random, count: int) -> Iterator[tuple[str, str]]:
    """Up to `count` questions about every name and figure of the sentence."""
    found = [
        (i, e)
        for i, phrase in enumerate(sentence.phrases)
        if phrase.is_noun
        for e in entities(phrase, story.names)
        if e.kind in KINDS and len(e.answer) > 1 and not re.fullmatch("[A-Z]{1,3}", e.answer)
    ]
    seen: set[str] = set()
    for i, entity in found:
        if entity.answer in seen:
            continue
        seen.add(entity.answer)
        rivals = [k for k, e in found if k != i and _alike(e, entity)]
        near = [j for j in _nearest(sentence, i) if _is_own(sentence, j, i, rivals)]
        near.sort(key=lambda j: _is_shared(sentence.phrases[j]))  # first what only this answer has
        sides = [w for w in _sides(story) if _apart(w, entity.answer)]
        around = [w for w in (*story.events[:2], *date_forms(story.date)[:1]) if _apart(w, entity.answer)]
        if not near or not sides:
            continue
        for _ in range(count):
            context = rng.sample(sides, min(len(sides), rng.choice((1, 2))))
            context += rng.sample(around, min(len(around), rng.choice((0, 0, 1))))
            ask = _in_order if rng.random() < IN_ORDER_SHARE else _bag
            if text := ask(story, sentence, i, entity, near, context, rng):
                yield text, entity.answer


def _bag(
    story: Story, sentence: Sentence, i: int, entity: Entity, near: list[int], context: list[str], rng: random.Random
) -> str:
    """Words in any order: the nearest one, some others, one or two names that tell the document."""
    phrase = sentence.phrases[i]
    beside = [w for w in (phrase.content[: entity.start], phrase.content[entity.end :]) if len(w) > 1]
    own = [w for j in near if (w := _keyword(sentence.phrases[j], story)) and _apart(w, entity.answer)]
    own = [*own[:1], *beside, *own[1:]][:NEAREST]
    if not own:
        return ""
    words = [own[0], *rng.sample(own[1:], min(len(own) - 1, rng.choice((0, 1, 1, 2))))]
    words = list(dict.fromkeys([*words, *context]))
    rng.shuffle(words)
    word = asks_for(entity, text=entity.answer)
    asking = rng.choice(ASKING.get(word, (word + "？", word + "ですか？")))
    return rng.choice(JOINTS).join(words) + rng.choice(BEFORE_ASKING) + asking


def _in_order(
    story: Story, sentence: Sentence, i: int, entity: Entity, near: list[int], context: list[str], rng: random.Random
) -> str:
    """The sentence with the question word in the answer's place, and some phrases left out."""
    kept = {j for j in near if rng.random() < KEPT} | {near[0], i}
    out = ""
    for j, phrase in enumerate(sentence.phrases):
        if j in kept:
            content = phrase.content
            if j == i:
                word = asks_for(entity, text=entity.answer)
                content = content[: entity.start] + word + content[entity.end :]
            elif not _apart(content, entity.answer):
                continue
            out += content + phrase.particle
    missing = [name for name in context if name not in out]
    return f"{rng.choice(('、', 'と', ' ')).join(missing)}{'で、' if missing else ''}{out}{rng.choice(('？', 'か？'))}"


def _alike(a: Entity, b: Entity) -> bool:
    """Whether a question for the one could be meant for the other."""
    return a.kind == b.kind or (a.kind in NAMES and b.kind in NAMES) or (a.kind in NUMBERS and b.kind in NUMBERS)


def _nearest(sentence: Sentence, i: int) -> list[int]:
    """The other phrases that mean something, the nearest first."""
    others = [
        j
        for j, phrase in enumerate(sentence.phrases)
        if j != i and phrase.words[0].pos[0] != "接続詞" and not MEANINGLESS.match(phrase.content)
    ]
    return sorted(others, key=lambda j: _distance(sentence, j, i))


def _is_own(sentence: Sentence, j: int, i: int, rivals: list[int]) -> bool:
    """Whether phrase j stands nearer to phrase i than to any rival, or is a predicate or topic that all share."""
    if _is_shared(sentence.phrases[j]):
        return True
    return j not in rivals and all(_distance(sentence, j, i) < _distance(sentence, j, k) for k in rivals)


def _is_shared(phrase: Phrase) -> bool:
    return phrase.is_verb or phrase.particle in ("は", "も")


def _distance(sentence: Sentence, j: int, i: int) -> float:
    """Phrases between two phrases; a comma counts more, and what stands before is nearer than what follows."""
    first, last = min(i, j), max(i, j)
    commas = sum(p.comma for p in sentence.phrases[first:last])
    return last - first + COMMA * commas - (0.5 if j < i else 0)


def _sides(story: Story) -> list[str]:
    """The names that tell the document from others: the two sides of a contest, else its main names."""
    return list(story.pair or story.main[:3])


def _apart(word: str, answer: str) -> bool:
    return answer not in word and word not in answer


def _keyword(phrase: Phrase, story: Story) -> str:
    """The phrase as a word to search by: the verb's plain form, a person's whole name."""
    if phrase.is_verb:
        return phrase.words[-1].lemma if len(phrase.words) == 1 else phrase.content
    head = head_entity(phrase, story.names)
    return head.answer if head and head.kind == "person" else phrase.content
