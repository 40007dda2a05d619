"""Questions that stand alone: Story → [Asked]. A fact is asked in several wordings, each in another context.

A question word in the answer's place, the answer cut out, a hole in the sentence, or a few words of the sentence as
people search: one fact is found from all of them only if it was asked in all of them. The context that says which
document is meant stands before the question or behind it.
"""

import random
import re
from dataclasses import dataclass

from ishibumi.knowledge.checks import comparable, holds
from ishibumi.knowledge.story import BY_NAME, Fact, Story, Wording

HOLE_SHARE = 0.25  # of the facts that can be asked for otherwise too
ALONE_SHARE = 0.5  # of the questions that name their subject and need no context
LONG = {"ja": 90, "en": 200}  # characters of a question without its context that are asked gladly
CONTEXTS = {
    "ja": (
        "{n}で、{q}",
        "{n}で、{q}",
        "{n}について、{q}",
        "{q}（{n}）",
        "{q}{n}についてです。",
        "{n}についての質問です。{q}",
    ),
    "en": ("In {n}, {q}", "In {n}, {q}", "About {n}: {q}", "{q} ({n})", "A question about {n}: {q}"),
}
CLOZES = {
    "ja": ("次の文の〔　〕に入る言葉は何ですか。「{s}」", "〔　〕を埋めてください。{s}", "「{s}」の〔　〕に入るのは？"),
    "en": ("fill in the blank: “{s}”", "what belongs in the blank of “{s}”?"),
}
KEYWORDS = {"ja": ("{w}か？", "{w}ですか？", "{w}か教えてください。"), "en": ("{w}?",)}
JOINTS = {"ja": (" ", "、"), "en": (" ", ", ")}
# What a document has one of is asked for by the name of its kind.
ONLY = {
    "ja": {
        "score": ("スコアは何対何ですか？", "最終スコアは何対何でしたか？", "結果は何対何でしたか。"),
        "facility": ("会場はどこですか？", "会場となったのはどこですか。", "行われたのはどこですか？"),
    },
    "en": {
        "score": ("what was the final score?", "what was the score?", "how did it end?"),
        "facility": ("what was the venue?", "where was it held?", "where did it take place?"),
    },
}


@dataclass(frozen=True)
class Asked:
    """A question with its context, and what it was made of."""

    rule: str
    text: str
    fact: Fact
    told: str = ""


def ask(story: Story, *, wordings_per_fact: int, rng: random.Random) -> list[Asked]:
    """Up to `wordings_per_fact` questions about every fact, and as many in keywords."""
    out: list[Asked] = []
    for fact in story.facts:
        fitting = [s for s in story.subjects if not _tells(s, fact.answer)] or [""]
        rng.shuffle(fitting)
        for n, wording in enumerate(_wordings(story, fact, wordings_per_fact, rng)):
            is_named = wording.rule == BY_NAME and rng.random() < ALONE_SHARE
            text = _placed(story.language, "" if is_named else fitting[n % len(fitting)], wording, rng)
            out.append(Asked(wording.rule, text, fact, wording.told))
        telling = _telling(story, fact)
        for _ in range(wordings_per_fact):
            if text := _keywords(story, fact, telling, rng):
                out.append(Asked("keywords", text, fact))
    return out


def _wordings(story: Story, fact: Fact, count: int, rng: random.Random) -> list[Wording]:
    """Natural wordings first, again in other contexts; holes where there are none, fewer of them."""
    natural = [w for w in fact.wordings if len(w.text) <= LONG[story.language] and w.rule != BY_NAME]
    attributes = [w for w in fact.wordings if w.rule == BY_NAME]
    same_kind = {f.answer for f in story.facts if f.kind == fact.kind}
    is_where = fact.kind != "facility" or re.search("〔　〕で|[Aa]t (?:the )?____", fact.hole)
    if len(same_kind) == 1 and is_where and fact.kind in ONLY[story.language]:
        natural += [Wording("only", text) for text in ONLY[story.language][fact.kind]]
    hole = Wording("cloze", rng.choice(CLOZES[story.language]).format(s=fact.hole))
    rng.shuffle(natural)
    rng.shuffle(attributes)
    attributes = (attributes * count)[:count]
    if not natural:
        return [*[hole] * ((count + 1) // 2), *attributes]
    return [*[*[hole] * (rng.random() < HOLE_SHARE), *natural * count][:count], *attributes]


def _placed(language: str, subject: str, wording: Wording, rng: random.Random) -> str:
    placed = rng.choice(CONTEXTS[language]).format(n=subject, q=wording.text) if subject else wording.text
    return placed[0].upper() + placed[1:]


def _telling(story: Story, fact: Fact) -> list[str] | None:
    """Names and figures of the fact's sentence that no rival's sentence has; None where the fact has no rival.

    A rival is a fact of the same kind, or that the same question word asks for. One in the same sentence leaves what is
    nearer to the fact.
    """
    rivals = [f for f in story.facts if (f.word == fact.word or f.kind == fact.kind) and f.answer != fact.answer]
    if not rivals:
        return None
    others = " ".join({f.sentence for f in rivals if f.sentence != fact.sentence})
    beside = [f for f in story.facts if f.sentence == fact.sentence and f.word != fact.word and f.kind != "role"]
    if any(f.sentence == fact.sentence for f in rivals):
        beside = [f for f in beside if f.answer in fact.near]
    own = [f for f in beside if not _tells(f.answer, fact.answer) and not holds(others, f.answer)]
    named = {f.answer: f"{f.word.removeprefix('which ')} {f.answer}" for f in own if f.kind == "label"}  # «number 6»
    return [next((w for w in fact.near if holds(w, f.answer)), named.get(f.answer, f.answer)) for f in own]


def _keywords(story: Story, fact: Fact, telling: list[str] | None, rng: random.Random) -> str:
    """«韓国 チェコ 67分 追いつく 誰？»: what is left of any wording when its grammar is taken away."""
    near = [w for w in fact.near if not _tells(w, fact.answer)]
    rivals = {f.answer for f in story.facts if f.sentence == fact.sentence and f.kind == "person"}
    names = [n for n in story.main if not _tells(n, fact.answer) and (n not in rivals or fact.kind != "person")]
    if not near or not names or telling == []:
        return ""
    words = [near[0], *rng.sample(near[1:], min(len(near) - 1, rng.choice((0, 1, 1, 2))))]
    words += [rng.choice(telling)] if telling and not set(telling) & set(words) else []
    first = rng.choice([n for n in names if n in story.title] or names)
    others = [n for n in names if n != first]
    others = rng.sample(others, min(len(others), rng.choice((0, 1)) if telling else 1))
    words = list(dict.fromkeys([*words, first, *others]))
    rng.shuffle(words)
    joint = rng.choice(JOINTS[story.language])
    asking = rng.choice(KEYWORDS[story.language]).format(w=fact.word)
    return joint.join([*words, asking]).replace("、、", "、")


def _tells(text: str, answer: str) -> bool:
    """Whether the text has the answer or a part of it (the surname of a person), or is a part of it."""
    parts = [part for part in re.split("[・ ]", answer) if len(part) > 2]
    return any(holds(text, part) for part in (answer, *parts)) or comparable(text) in comparable(answer)
