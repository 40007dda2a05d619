"""English views: other texts with the same facts. Story → [(rule, text)]."""

import random
import re
from collections.abc import Callable

from ishibumi.knowledge.contexts_en import Story
from ishibumi.knowledge.english import MONTH, POINTING
from ishibumi.knowledge.rules_en import answer_of, ask, fits, wordings_of


def headline(story: Story, rng: random.Random) -> str:
    """A line that says what a view is about."""
    dates = [c for c in story.source.split("\n")[-3:] if re.search(MONTH, c) and len(c) < 25]
    forms = [f"{story.title}.", f"“{story.title}”"] + [f"News of {d}: {story.title}." for d in dates[:2]]
    return rng.choice(forms) + " " if story.title else ""


def _blocks(story: Story) -> list[str]:
    """Sentences, each with those behind it that lean on it."""
    out: list[str] = []
    for sentence in story.sentences:
        leans = sentence.split()[0].lower().strip(",") in POINTING
        if leans and out:
            out[-1] += " " + sentence
        else:
            out.append(sentence)
    return out


def _context(story: Story, sentence: str, rng: random.Random) -> str:
    fitting = [c for c in story.contexts if not any(n in c and n in sentence for n in story.main)] or [*story.contexts]
    return rng.choice(fitting) if fitting else ""


def reordered(story: Story, rng: random.Random) -> str:
    """All sentences in another order, some with their context said again."""
    blocks = _blocks(story)
    rng.shuffle(blocks)
    told = [f"({_context(story, b, rng).rstrip(', ')}) {b}" if rng.random() < 0.4 else b for b in blocks]
    return headline(story, rng) + " ".join(told)


def about_entity(story: Story, rng: random.Random) -> str:
    """What the document says of one of its names."""
    names = [n for n, k in story.kinds.items() if k in ("person", "organisation", "place", "name") and len(n) > 3]
    rng.shuffle(names)
    for name in names:
        own = [b for b in _blocks(story) if name in b]
        if own:
            head = rng.choice((f"{name}: ", f"What is known about {name}: ", f"About {name}. "))
            return head + " ".join(_context(story, b, rng) + b for b in own)
    return ""


def answer_first(story: Story, rng: random.Random) -> str:
    """Facts from the answer's side: «Bradley Barcola: who doubled the lead …»."""
    lines: list[str] = []
    for wordings in wordings_of(story).values():
        turned = [w for w in wordings if w.rule == "subject"]
        other = [w for w in wordings if w.rule not in ("subject", "cloze", "in_place")]
        if turned:
            body = re.sub("^(?:who|what) ", "", turned[0].text.rstrip("?"))
            contexts = [c for c in story.contexts if fits(c, turned[0])]
            lines.append((rng.choice(contexts) if contexts else "") + f"it was {turned[0].answer} that {body}.")
        if other:
            w = rng.choice(other)
            lines.append(f"{w.answer}: {w.text}")
    rng.shuffle(lines)
    return " ".join(line[0].upper() + line[1:] for line in lines[:14])


def notes(story: Story, rng: random.Random) -> str:
    """The document's clauses and figures, one a line."""
    lines = [f"- {c.text}" for row in story.clauses for c in row]
    lines += [
        f"- {s.kind}: {answer_of(story, s)}"
        for row in story.spans
        for s in row
        if s.kind in ("date", "score", "place", "person")
    ]
    lines = list(dict.fromkeys(lines))
    rng.shuffle(lines)
    return headline(story, rng) + "\n" + "\n".join(lines[:16]) if lines else ""


def dialogue(story: Story, rng: random.Random) -> str:
    """Questions with their answers, as a talk."""
    pairs = [(w, text) for w, text, _ in ask(story, wordings_per_fact=1, rng=rng) if w.rule != "cloze"]
    rng.shuffle(pairs)
    return "\n".join(f"Q: {text}\nA: {w.answer}" for w, text in pairs[:10])


def text_from_title(story: Story, rng: random.Random) -> str:
    """The title, then the text."""
    lead = rng.choice(("What the report “{t}” says: ", "Title: {t}\nText: ", "Summary of “{t}”. "))
    return lead.format(t=story.title) + " ".join(story.sentences) if story.title else ""


def title_from_text(story: Story, rng: random.Random) -> str:
    """The text, then its title."""
    return " ".join(story.sentences) + f"\nA title for this text: {story.title}" if story.title else ""


VIEWS: tuple[Callable[[Story, random.Random], str], ...] = (
    reordered,
    about_entity,
    answer_first,
    notes,
    text_from_title,
    dialogue,
    about_entity,
    title_from_text,
    reordered,
    about_entity,
)


def views_of(story: Story, *, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Up to `count` different texts, as many kinds as there are first."""
    out: dict[str, str] = {}
    for n in range(count * 3):
        if len(out) >= count:
            break
        make = VIEWS[n % len(VIEWS)]
        text = make(story, rng).strip()
        if len(text) > 30:
            out.setdefault(text, make.__name__)
    return [(rule, text) for text, rule in out.items()]
