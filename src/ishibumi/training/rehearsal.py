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
BATCH = (32, 1024)  # texts at once on a CPU, at most on a GPU: a stop waits for a batch
BEGINNING = (3, 4, 5, 6)  # tokens that a text begins with: enough for its language, too few for its subject


def rehearsal_texts(
    model: LoadedModel,
    beginnings: Sequence[str],
    directory: Path,
    *,
    count: int,
    seed: int,
    on_text: Callable[[int, int], None],
    batch_size: int = BATCH[0],
) -> list[str]:
    """`count` texts, each begun with the first tokens of one of `beginnings` and drawn at temperature 1 from there.

    `batch_size` are written at once, and each such batch is kept in `directory`, so that a run that goes on learns the
    same ones; `on_text(done, count)` is called after each and may raise. `model` must be the untouched base.
    """
    path = directory / NAME
    texts = [str(row["text"]) for row in read_jsonl(path)] if path.exists() else []
    bos = [] if model.tokenizer.bos_token_id is None else [model.tokenizer.bos_token_id]
    heads = [list(model.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in beginnings] or [[]]
    while len(texts) < count:
        numbers = range(len(texts), min(count, len(texts) + batch_size))
        begun = [heads[i % len(heads)][: BEGINNING[i // len(heads) % len(BEGINNING)]] for i in numbers]
        replies = generate_replies(
            model,
            [bos + head for head in begun],
            max_new_tokens=TOKENS,
            batch_size=batch_size,
            sampling=Sampling(1.0, [seed * 1_000_003 + i for i in numbers]),
        )
        decoded = [model.tokenizer.decode(head, skip_special_tokens=True) for head in begun]
        texts += [head + reply.text for head, reply in zip(decoded, replies, strict=True)]
        write_jsonl(path, ({"text": text} for text in texts))
        on_text(len(texts), count)
    return texts
