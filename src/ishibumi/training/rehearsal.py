"""Texts that the base writes itself, to be mixed in so that it keeps what it had. (base, beginnings) → [text].

A base's own texts are samples of what it knows, in any number, where its pretraining data is not to be had; learning
them again pulls it back to itself (self-synthesized rehearsal, Huang et al. 2024, arXiv 2403.01244).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.models.generate import Sampling, generate_replies
from ishibumi.models.load import LoadedModel

NAME = "rehearsal.jsonl"
TOKENS = 96  # of a text
BATCH = 256
BEGINNING = (3, 4, 5, 6)  # tokens that a text begins with: enough for its language, too few for its subject


def rehearsal_texts(
    model: LoadedModel,
    beginnings: Sequence[str],
    directory: Path,
    *,
    count: int,
    seed: int,
    on_text: Callable[[int, int], None],
) -> list[str]:
    """`count` texts, each begun with the first tokens of one of `beginnings` and drawn at temperature 1 from there.

    They are kept in `directory`, so that a run that goes on learns the same ones. `model` must be the untouched base.
    """
    path = directory / NAME
    if not path.exists():
        bos = [] if model.tokenizer.bos_token_id is None else [model.tokenizer.bos_token_id]
        heads = [list(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in beginnings] or [[]]
        rounds = [BEGINNING[i // len(heads) % len(BEGINNING)] for i in range(count)]
        prompts = [bos + heads[i % len(heads)][:length] for i, length in enumerate(rounds)]
        replies = generate_replies(
            model,
            prompts,
            max_new_tokens=TOKENS,
            batch_size=BATCH,
            on_batch=on_text,
            sampling=Sampling(1.0, [seed * 1_000_003 + i for i in range(count)]),
        )
        rows = [
            {"text": model.tokenizer.decode(prompt[len(bos) :], skip_special_tokens=True) + reply.text}
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
        write_jsonl(path, rows)
    return [str(row["text"]) for row in read_jsonl(path)]
