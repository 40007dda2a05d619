"""How it behaves in a chat, whatever it knows: does it stop, keep to the language and to a simple format? → shares.

The prompts are about nothing in particular and are not trained on. A form is checked by rule, not by meaning.
"""

import re
from collections.abc import Callable
from typing import Literal

from ishibumi.corpus.clean import language_of
from ishibumi.knowledge.citation import split_citation
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.settings import ExamSettings

Form = Literal["free", "one_word", "three"]
MAX_NEW_TOKENS = 64  # a sentence is much shorter; 24 replies of 64 take a 270M model 31 s on one core
PROMPTS: tuple[tuple[Form, str], ...] = (
    ("free", "朝早く起きるこつを一文で教えてください。"),
    ("free", "虹はなぜ七色に見えるのですか？一文で答えてください。"),
    ("free", "友人への誕生日のお祝いの言葉を一文で考えてください。"),
    ("free", "本を読む習慣をつけるにはどうすればよいですか？一文で答えてください。"),
    ("one_word", "空の色は何色ですか？一語で答えてください。"),
    ("one_word", "「大きい」の反対の言葉は？一語で答えてください。"),
    ("one_word", "犬と猫では、ワンと鳴くのはどちら？一語で答えてください。"),
    ("one_word", "日曜日の次の日は何曜日？一語で答えてください。"),
    ("three", "果物を三つ、一行に一つずつ挙げてください。"),
    ("three", "朝食に合う飲み物を三つ、箇条書きで挙げてください。"),
    ("three", "動物園にいる動物を三つ、一行に一つずつ書いてください。"),
    ("three", "文房具を三つ、箇条書きで書いてください。"),
    ("free", "How can I fall asleep more easily? Answer in one sentence."),
    ("free", "Why is the sea salty? Answer in one sentence."),
    ("free", "Write a thank-you note to a neighbour in one sentence."),
    ("free", "What should I think about before I buy a bicycle? Answer in one sentence."),
    ("one_word", "What colour is grass? Answer in one word."),
    ("one_word", "What is the opposite of hot? Answer in one word."),
    ("one_word", "Which is larger, a mouse or an elephant? Answer in one word."),
    ("one_word", "Which day comes after Monday? Answer in one word."),
    ("three", "Name three vegetables, one on each line."),
    ("three", "List three things that are found in a kitchen, as bullet points."),
    ("three", "Name three musical instruments, one on each line."),
    ("three", "List three kinds of weather, as bullet points."),
)


def is_one_word(reply: str) -> bool:
    """One word of a Latin script, or Japanese of twelve characters without a clause in it."""
    text = reply.strip().rstrip("。.!！")
    if not text or "\n" in text:
        return False
    return len(text) <= 12 and not re.search("[、。]", text) if language_of(text) == "ja" else len(text.split()) == 1


def is_three(reply: str) -> bool:
    """Three lines that are not empty, or three bullet or numbered ones under a line of introduction, all different."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    marked = [line for line in lines if re.match(r"[-*・•]|\d+[.)．、]", line)]
    return len(set(marked or lines)) == 3 == len(marked or lines)


FORMS: dict[Form, Callable[[str], bool]] = {"free": bool, "one_word": is_one_word, "three": is_three}


def behave(model: LoadedModel, settings: ExamSettings) -> dict[str, dict[str, bool]]:
    """Prompt → whether the reply stops by itself, is in the prompt's language, and has the form asked for."""
    prompts = [model.format.prompt_ids([{"role": "user", "content": text}]) for _, text in PROMPTS]
    longest = min(MAX_NEW_TOKENS, settings.max_new_tokens)
    replies = generate_replies(model, prompts, max_new_tokens=longest, batch_size=settings.batch_questions)
    found: dict[str, dict[str, bool]] = {}
    for (form, text), reply in zip(PROMPTS, replies, strict=True):
        said = split_citation(reply.text.strip())[2].strip()
        is_same = bool(said) and language_of(said) == language_of(text)
        found[text] = {"stops": reply.stopped, "language": is_same, "form": FORMS[form](said)}
    return found
