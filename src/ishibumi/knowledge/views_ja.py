"""Japanese views: other texts with the same facts. Story → [(rule, text)].

Every view is put together from the document's own clauses, each made to stand alone; nothing is added but context.
"""

import random
import re
from collections.abc import Callable

from ishibumi.knowledge.asking_ja import ask, fits
from ishibumi.knowledge.checks import figures
from ishibumi.knowledge.clauses import Clause
from ishibumi.knowledge.contexts_ja import Story, date_forms
from ishibumi.knowledge.phrases import subtree
from ishibumi.knowledge.rules_ja import view_of, wordings_of
from ishibumi.knowledge.shapes_ja import Wording

SCORE = re.compile(r"(?<!\d)(\d{1,3})(?:[―–—−-]|対)(\d{1,3})(?!\d)")


def statements(story: Story, *, polite: bool) -> list[str]:
    """The document's clauses as sentences that name their subject, in order, in the polite or the plain style.

    A sentence whose clauses do not hold all of its figures and names is kept as it is: no view forgets a fact.
    """
    out: dict[str, None] = {}
    for sentence in story.sentences:
        own = [c for c in story.clauses if c.sentence.text == sentence.text]
        told = [text for c in own if (text := _statement(story, c, polite=polite))]
        missing = figures(sentence.text) - figures("".join(told))
        missing |= {name for name in story.names.persons if name in sentence.text and name not in "".join(told)}
        for text in [sentence.text.rstrip("。") + "。", *told] if missing or not told else told:
            out[_full_names(story, text)] = None
    return list(out)


def _statement(story: Story, clause: Clause, *, polite: bool) -> str:
    """One clause as a sentence; empty where it says too little alone."""
    view = view_of(clause, story)
    if view is None:
        return ""
    close = clause.last.content if view.is_verbless else clause.ending.polite if polite else clause.ending.plain
    text = clause.render(without=view.dropped, close=close)
    is_bare = view.is_verbless and len(subtree(clause.phrases, clause.predicates[-1])) < 2
    if is_bare or len(view.parts) + bool(view.subject) < 1 or len(text) + len(view.subject) < 9:
        return ""
    return (f"{view.subject}は" if view.subject else "") + text + "。"


def _full_names(story: Story, text: str) -> str:
    """The sentence with the first short name made full."""
    for short, full in story.names.full.items():
        if short in text and full not in text and not re.search(f"[ァ-ヴー・]{short}|{short}[ァ-ヴー]", text):
            return text.replace(short, full, 1)
    return text


def _headline(story: Story, rng: random.Random) -> str:
    """A line that says what the text is about, with or without the date."""
    dates = date_forms(story.date)
    forms = [f"{story.title}。", f"【{story.title}】", f"「{story.title}」"] if story.title else []
    if dates:
        forms += [f"{rng.choice(dates)}のニュース:{story.title}。", f"{rng.choice(dates)}、{story.title}。"]
    if story.pair and dates:
        forms.append(f"{dates[0]}の{story.pair[0]}対{story.pair[1]}。")
    return rng.choice(forms) if forms else ""


def _context(story: Story, rng: random.Random) -> str:
    strong = [c.text for c in story.contexts if c.joins == "clause" and "light" not in c.uses and "質問" not in c.text]
    return rng.choice(strong) if strong else ""


def reordered(story: Story, rng: random.Random) -> str:
    """All statements in another order; every second one says again what it is about."""
    lines = statements(story, polite=rng.random() < 0.5)
    rng.shuffle(lines)
    return _headline(story, rng) + "".join(
        (_context(story, rng) if rng.random() < 0.5 else "") + line for line in lines
    )


def restyled(story: Story, rng: random.Random) -> str:
    """All statements in order, in the other style."""
    lines = statements(story, polite=rng.random() < 0.7)
    return _headline(story, rng) + "".join(lines)


def about_entity(story: Story, rng: random.Random) -> str:
    """What the document says of one of its names."""
    lines = statements(story, polite=rng.random() < 0.5)
    names = [*story.main, *story.names.full.values()]
    rng.shuffle(names)
    for name in names:
        short = [s for s, full in story.names.full.items() if full == name]
        own = [line for line in lines if name in line or any(s in line for s in short)]
        if own:
            head = rng.choice((f"{name}:", f"{name}について分かっていること。", f"「{name}」とは。"))
            return head + "".join(_context(story, rng) * (rng.random() < 0.7) + line for line in own)
    return ""


def answer_first(story: Story, rng: random.Random) -> str:
    """The same facts from the answer's side and from the other: «36分に先制したのは…だ» and «…は36分に…»."""
    lines: list[str] = []
    for wordings in wordings_of(story).values():
        clefts = [w for w in wordings if w.form == "noun" and w.kind != "other" and w.rule != "which"]
        if not clefts:
            continue
        w = rng.choice(clefts)
        contexts = [c.text for c in story.contexts if fits(c, w, story) and "質問" not in c.text]
        lines.append(_inverted(w, rng.choice(contexts) if contexts else "", rng))
    rng.shuffle(lines)
    return "".join(lines[:16])


def _inverted(w: Wording, context: str, rng: random.Random) -> str:
    tail = ("だった", "でした") if w.past else ("だ", "です")
    if rng.random() < 0.5 or not w.stem.endswith("の") or w.rule == "reverse" or w.rule.startswith("event_"):
        return f"{context}{w.stem}は{w.answer}{rng.choice(tail)}。"
    return f"{w.answer}:{context}{w.stem[:-1]}。"


def notes(story: Story, rng: random.Random) -> str:
    """Keys and values, one a line."""
    lines: dict[str, None] = {}
    for wordings in wordings_of(story).values():
        named = [
            w for w in wordings if (w.form == "noun" and w.rule in ("attribute", "role")) or w.rule.startswith("event_")
        ]
        if named:
            w = rng.choice(named)
            key = re.sub("の$", "", w.stem) if w.rule.startswith("event_") else w.stem
            lines[f"・{key}: {w.answer}"] = None
    lines |= dict.fromkeys(f"・{s.rstrip('。')}" for s in statements(story, polite=False))
    chosen = list(lines)
    rng.shuffle(chosen)
    return "\n".join([_headline(story, rng), *chosen[:14]])


def title_from_text(story: Story, rng: random.Random) -> str:
    """The text, then its title."""
    if not story.title:
        return ""
    body = "".join(statements(story, polite=False))
    ask_title = rng.choice(("この記事の見出し:", "この文章の題名は", "見出しをつけると:"))
    return f"{body}\n{ask_title}「{story.title}」"


def text_from_title(story: Story, rng: random.Random) -> str:
    """The title, then the text."""
    if not story.title:
        return ""
    lead = rng.choice(("「{t}」という記事の内容は次の通り。", "「{t}」の要点。", "題: {t}\n本文: "))
    return lead.format(t=story.title) + "".join(statements(story, polite=rng.random() < 0.5))


def dialogue(story: Story, rng: random.Random) -> str:
    """Questions with their answers, as a talk."""
    pairs = ask(story, wordings_per_fact=1, rng=rng)
    rng.shuffle(pairs)
    q, a = rng.choice((("問: ", "答: "), ("Q: ", "A: "), ("質問: ", "回答: ")))
    return "\n".join(f"{q}{text}\n{a}{w.answer}" for w, text, _ in pairs[:10] if w.form != "cloze")


VIEWS: tuple[Callable[[Story, random.Random], str], ...] = (
    reordered,
    about_entity,
    answer_first,
    restyled,
    notes,
    text_from_title,
    about_entity,
    dialogue,
    title_from_text,
    answer_first,
)


def respelled(text: str, rng: random.Random) -> str:
    """The text with all scores in one of the spellings that readers meet: 3-0, 3―0, 3対0."""
    sign = rng.choice(("-", "―", "対", "対"))
    return SCORE.sub(lambda m: f"{m[1]}{sign}{m[2]}", text)


def views_of(story: Story, *, count: int, rng: random.Random) -> list[tuple[str, str]]:
    """Up to `count` different texts, as many kinds as there are first."""
    out: dict[str, str] = {}
    for n in range(count * 3):
        if len(out) >= count:
            break
        make = VIEWS[n % len(VIEWS)]
        text = respelled(make(story, rng), rng).strip()
        if len(text) > 15:
            out.setdefault(text, make.__name__)
    return [(rule, text) for text, rule in out.items()]
