"""Views: other texts with the same facts. Story → [(rule, text)]. Nothing is added but what the document is about."""

import random
from collections.abc import Callable

from ishibumi.knowledge.asking import ask
from ishibumi.knowledge.story import Story

MAX_LINES = 10
SHORTEST = 15
ABOUT = {
    "ja": ("{n}について分かっていること。", "「{n}」とは。", "{n}: "),
    "en": ("What is known about {n}: ", "About {n}. ", "{n}: "),
}
TITLES = {
    "ja": ("{b}\nこの文章の題名は「{t}」", "{b}\n見出し: {t}", "「{t}」の内容は次の通り。{b}"),
    "en": ("{b}\nA title for this text: {t}", "{b}\nHeadline: {t}", "What “{t}” tells: {b}"),
}
SUBJECTS = {"ja": "{n}についての話。", "en": "About {n}. "}
SPACE = {"ja": "", "en": " "}


def reordered(story: Story, rng: random.Random) -> str:
    """All statements in another order; some say again what they are about."""
    lines = list(story.statements)
    rng.shuffle(lines)
    return SPACE[story.language].join(_reminder(story, rng) * (rng.random() < 0.4) + line for line in lines)


def about_entity(story: Story, rng: random.Random) -> str:
    """What the document says of one of its names."""
    names = [*story.main, *(f.answer for f in story.facts if f.kind in ("person", "place", "organisation"))]
    rng.shuffle(names)
    for name in names:
        own = [line for line in story.statements if name in line]
        if own:
            head = rng.choice(ABOUT[story.language]).format(n=name)
            return head + SPACE[story.language].join(_reminder(story, rng) * (rng.random() < 0.5) + x for x in own)
    return ""


def answer_first(story: Story, rng: random.Random) -> str:
    """The facts from the answer's side: «36分に先制したのは…だ。», «Ann Lee: who led the council in 1999?»."""
    lines: dict[str, str] = {}
    asked = ask(story, wordings_per_fact=2, rng=rng)
    for a in sorted(asked, key=lambda _: rng.random()):
        if a.told:
            lines[a.fact.answer] = rng.choice((_reminder(story, rng), "")) + a.told
        elif a.rule not in ("cloze", "keywords"):
            lines.setdefault(a.fact.answer, f"{a.fact.answer}: {a.text}")
    chosen = rng.sample(list(lines.values()), min(len(lines), MAX_LINES))
    return ("" if story.language == "ja" else " ").join(chosen)


def titled(story: Story, rng: random.Random) -> str:
    """The text with its title before or behind it."""
    body = SPACE[story.language].join(story.statements)
    return rng.choice(TITLES[story.language]).format(b=body, t=story.title) if story.title and body else ""


VIEWS: tuple[Callable[[Story, random.Random], str], ...] = (reordered, about_entity, answer_first, titled)


def _reminder(story: Story, rng: random.Random) -> str:
    return SUBJECTS[story.language].format(n=rng.choice(story.subjects)) if story.subjects else ""


def views_of(story: Story, *, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Up to `count` different texts, one of each kind before any kind again."""
    out: dict[str, str] = {}
    for n in range(count * 3):
        if len(out) >= count:
            break
        make = VIEWS[n % len(VIEWS)]
        text = make(story, rng).strip()
        if len(text) > SHORTEST:
            out.setdefault(text, make.__name__)
    return [(rule, text) for text, rule in out.items()]
