"""The stop-token gate: no training on replies that the model could not learn to begin or to end.

Some base models have a chat template whose tokens no text of their pretraining held. Their embeddings still are what
they were initialised to (about zero, about the mean of all), or point the same way. Those of a
Qwen2.5 instruct model do so too, as tuning hardly moved them, and yet end each reply: what a model does counts more.
"""

from collections.abc import Sequence

import torch

from ishibumi.errors import ModelError
from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import is_named
from ishibumi.training.waiting import fetched

SAMPLE_ROWS = 4096  # of the vocabulary, to know how long embeddings usually are
SAME_WAY = 0.9  # the cosine of two tokens
SMALL = 0.1  # a share of the usual length; trained embeddings of a vocabulary differ by less than that
_PROBE = ({"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "2 + 2 = 4."})


def require_trained_template(model: LoadedModel, targets: Sequence[str]) -> None:
    """Raise ModelError where the model's own chat template uses tokens that it never trained, and `targets` neither.

    A shape without weights, as the further of several processes have it, is not looked at.
    """
    if not model.format.is_own or model.device.type == "meta" or _trains_embeddings(model.network, targets):
        return
    ids = set(model.format.conversation_ids(_PROBE)[0])
    special = {index for index, token in model.tokenizer.added_tokens_decoder.items() if token.special}
    untrained = untrained_tokens(model.network, sorted(ids & special))
    if untrained and not _ends_a_reply(model):
        names = ", ".join(model.tokenizer.convert_ids_to_tokens(untrained))
        raise ModelError(
            f"The chat template of {model.name} uses tokens that this base model never trained: {names}. "
            "Replies in it would not stop.",
            hint='Set model.template = "en" or "ja", which need no new token, use the instruct model as base, or train '
            "embed_tokens and lm_head too (cpt.targets, sft.targets).",
            hint_ja='model.template = "ja" か "en" にする（新しいトークンは不要）、指示調整済みのモデルを使う、または '
            "cpt.targets・sft.targets に embed_tokens と lm_head を加えてください。",
        )


@torch.no_grad()
def _ends_a_reply(model: LoadedModel) -> bool:
    """Whether the token that ends a reply is the likeliest there."""
    ids, learned = model.format.conversation_ids(_PROBE)
    end = max(place for place, is_learned in enumerate(learned) if is_learned)
    with fetched(model.network):
        logits = model.network(input_ids=torch.tensor([ids[:end]], device=model.device)).logits
    return int(logits[0, -1].argmax()) == ids[end]


def _trains_embeddings(network: torch.nn.Module, targets: Sequence[str]) -> bool:
    """Whether one of `targets` means the embeddings, by their name or that of a head tied to them."""
    weight = network.get_input_embeddings().weight  # type: ignore[operator]
    parameters = network.named_parameters(remove_duplicate=False)
    modules = [name.rpartition(".")[0] for name, parameter in parameters if parameter is weight]
    return any(is_named(module, target) for module in modules for target in targets)


@torch.no_grad()
def untrained_tokens(network: torch.nn.Module, ids: Sequence[int]) -> list[int]:
    """Those of `ids` whose embedding is about zero, about the mean of all, or points where another of `ids` does.

    Tokens that no text holds are all pushed the same way: in Gemma 3 270M the two of its chat template have a cosine
    of 0.95 or more, trained words of 0.6 at most to them.
    """
    weight: torch.Tensor = network.get_input_embeddings().weight  # type: ignore[operator]
    sample = weight[:: max(1, len(weight) // SAMPLE_ROWS)].float()
    mean, length = sample.mean(dim=0), sample.norm(dim=1).median()
    from_mean = (sample - mean).norm(dim=1).median()
    rows = weight[list(ids)].float()
    directions = torch.nn.functional.normalize(rows, dim=1)
    alike = (directions @ directions.T).fill_diagonal_(0).amax(dim=1) if len(ids) > 1 else torch.zeros(len(ids))
    small = (rows.norm(dim=1) < SMALL * length) | ((rows - mean).norm(dim=1) < SMALL * from_mean)
    return [token for token, a, s in zip(ids, alike.tolist(), small.tolist(), strict=True) if s or a > SAME_WAY]


def require_ends(ids: Sequence[int], learned: Sequence[bool], end_id: int, name: str) -> None:
    """Raise ModelError unless each learned run of tokens, a reply, ends with the token that stops generation."""
    ends = [i for i, is_learned in enumerate(learned) if is_learned and not (i + 1 < len(ids) and learned[i + 1])]
    if not ends or any(ids[i] != end_id for i in ends):
        raise ModelError(
            f"{name}: a reply does not end with the learned token {end_id}, so the model would not learn to stop.",
            hint='Set model.template = "en" or "ja" to use the plain format.',
            hint_ja='model.template = "ja" か "en" にすると、平文の書式を使えます。',
        )
