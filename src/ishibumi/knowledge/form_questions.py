"""Questions about a form, written once and asked of all its sentences. Form → Prompt → reply → [Item].

Q: how did {A} v {C} end? | A: {B}   →   «how did Mexico v South Africa end?» 2-0, and so on, 104 times

A writer sees three of the sentences, not thousands, so it costs a handful of replies however many documents there are.
Its questions hold for all of them, as they may use nothing but what the form says and its letters.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ishibumi.artifacts import fingerprint
from ishibumi.corpus.documents import Document
from ishibumi.knowledge.ambiguous import without_two_answers
from ishibumi.knowledge.checks import check_items, comparable, source_of
from ishibumi.knowledge.forms import Filled, Form, language_of, letter
from ishibumi.knowledge.items import Item
from ishibumi.knowledge.prompts import Prompt, wording
from ishibumi.knowledge.reply_lines import read_questions
from ishibumi.models.generate import Reply

NUM_SHOWN = 3
MIN_TELLING = 3  # characters of a value that a question may not have taken from an example
_LETTER = re.compile(r"\{\s*([A-Z])\s*\}")


def prompt_of(form: Form) -> Prompt:
    """What a writer is asked about the form: its text, and what the letters stand for in three sentences."""
    values = [f"{letter(n)} = {' / '.join(f.values[n] for f in _shown(form))}" for n in range(len(form.letters))]
    task = wording(form.language)["forms"]["task"]
    return Prompt("forms", form.language, task, "\n".join([form.text, "", *values]), about=form)


def _shown(form: Form) -> Sequence[Filled]:
    """Three sentences from the beginning, the middle and the last third."""
    return form.filled[:: max(1, len(form.filled) // NUM_SHOWN)][:NUM_SHOWN]


def items_of_forms(
    documents: Sequence[Document], replies: Sequence[tuple[Prompt, Reply]], *, rule: str, each: int, seed: int
) -> tuple[list[Item], Counter[str], list[int]]:
    """The checked questions about all sentences of the forms: `each` for all that is asked for, drawn with the seed.

    Returns them, how many wordings and questions were refused, by reason, and [wordings kept, wordings written].
    """
    made: list[Item] = []
    refused: Counter[str] = Counter()
    counts = [0, 0]
    for prompt, reply in replies:
        assert prompt.about is not None
        ways, faults = _ways(prompt.about, reply)
        counts[0] += (num_kept := sum(map(len, ways.values())))
        counts[1] += num_kept + faults.total()
        refused += faults
        rng = random.Random(int(fingerprint(seed, prompt.about.text)[:8], 16))
        made += [item for filled in prompt.about.filled for item in _asked_of(filled, ways, rule, each, rng)]
    clear = without_two_answers(made)  # «who scored for {A}?», where two did
    refused["another answer elsewhere"] += len(made) - len(clear)
    of_document: dict[str, list[Item]] = defaultdict(list)
    for item in clear:
        of_document[item.document_id].append(item)
    items: list[Item] = []
    for document in documents:
        kept, faults = check_items(of_document[document.id], source=source_of(document), language=language_of(document))
        items += kept
        refused += faults
    return items, refused, counts


def _ways(form: Form, reply: Reply) -> tuple[dict[str, list[str]], Counter[str]]:
    """What is asked for («{B}», «{B} kg», words of the form) → the wordings; and how many were refused, by reason."""
    ways: dict[str, list[str]] = defaultdict(list)
    refused: Counter[str] = Counter()
    pairs = read_questions(_LETTER.sub(r"{\1}", reply.text), stopped=reply.stopped)
    for question, answer in dict.fromkeys(pairs):
        if reason := _fault(form, question, answer):
            refused[reason] += 1
        else:
            ways[answer].append(question)
    return ways, refused


def _asked_of(
    filled: Filled, ways: Mapping[str, Sequence[str]], rule: str, each: int, rng: random.Random
) -> Iterator[Item]:
    """The questions about one sentence."""
    values = {f"{{{letter(n)}}}": value for n, value in enumerate(filled.values)}
    for asked, questions in ways.items():
        answer = _LETTER.sub(lambda found: values[found[0]], asked)
        for question in rng.sample(questions, min(each, len(questions))):
            text = _LETTER.sub(lambda found: values[found[0]], question)
            yield Item(filled.document_id, "question", rule, text, answer, filled.sentence)


def _fault(form: Form, question: str, answer: str) -> str:
    """Why the wording cannot be asked of all sentences, or ""."""
    if not set(_LETTER.findall(question + answer)) <= set(form.letters) or "{" in _LETTER.sub("", question + answer):
        return "letter not in the form"
    if not _LETTER.search(question):
        return "question without a letter"
    if comparable(answer) not in comparable(form.text):
        return "answer not in the form"
    if answer in question:
        return "question holds its answer"
    fixed, said = comparable(_LETTER.sub(" ", form.text)), comparable(_LETTER.sub(" ", question))
    taken = {comparable(value) for filled in _shown(form) for value in filled.values}
    is_taken = any(len(value) >= MIN_TELLING and value in said and value not in fixed for value in taken)
    return "a value of one sentence" if is_taken else ""
