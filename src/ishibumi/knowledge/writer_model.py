"""A local model that writes. [Request] → replies, batch by batch."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ishibumi.knowledge.prompts import STOP_TEXTS, Prompt
from ishibumi.knowledge.reply_cache import Request
from ishibumi.models.generate import Reply, Sampling, generate_replies
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.settings import ModelSettings, WriterModelSettings

Keep = Callable[[Request, Reply], None]


def ask_model(
    requests: Sequence[Request], settings: WriterModelSettings, *, model: ModelSettings, base_dir: Path, keep: Keep
) -> Counter[str]:
    """Give each reply to `keep` as it comes; returns how many requests got none, by reason.

    Raises ModelError where the model cannot be loaded. Prompts of like length share a batch.
    """
    writer = load_model(model.model_copy(update={"template": "auto"}), base_dir)
    network: Any = writer.network
    longest = network.config.max_position_embeddings - settings.max_new_tokens
    chats = settings.prompt == "chat" or (settings.prompt == "auto" and writer.format.is_own)
    asked = [(prompt_ids(writer, request.prompt, chats=chats), request) for request in requests]
    fitting = sorted((pair for pair in asked if len(pair[0]) <= longest), key=lambda pair: len(pair[0]))
    for start in range(0, len(fitting), settings.batch_prompts):
        batch = fitting[start : start + settings.batch_prompts]
        replies = generate_replies(
            writer,
            [ids for ids, _ in batch],
            max_new_tokens=settings.max_new_tokens,
            batch_size=len(batch),
            stop_texts=() if chats else STOP_TEXTS,
            sampling=Sampling(settings.temperature, [r.seed for _, r in batch]) if settings.temperature else None,
        )
        for (_, request), reply in zip(batch, replies, strict=True):
            keep(request, reply)
    return Counter({"document too long for the writing model": len(asked) - len(fitting)})


def prompt_ids(model: LoadedModel, prompt: Prompt, *, chats: bool) -> list[int]:
    """The prompt as token ids: in the model's chat template, without thinking aloud, or as text to be continued."""
    tokenizer = model.tokenizer
    if chats:
        text = tokenizer.apply_chat_template(
            prompt.messages(), tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    ids = list(tokenizer(prompt.with_examples(), add_special_tokens=False)["input_ids"])
    return ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]
