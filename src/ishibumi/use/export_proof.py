"""Whether an exported model is the finished one. finished model + files → measured differences, or an error.

Each proof reads what lies on the disk, as a stranger would, and compares it with the model that sat the exam.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ishibumi.errors import ModelError
from ishibumi.exam.forgetting import perplexity, text_ids
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import LoadedModel
from ishibumi.use.gguf_read import LlamaCpp
from ishibumi.use.gguf_write import Quantization

NUM_STRINGS, NUM_COMPARED, NUM_REPLIES, REPLY_TOKENS = 200, 32, 8, 64
LOGIT_LIMIT = 1e-3  # ‖difference‖ / ‖logits‖, in fp32
ROUNDED_LIMIT = 0.05  # the same against a model whose weights were rounded to bf16 after each stage
LOSS_LIMITS = {"f32": 0.002, "bf16": 0.002, "q8_0": 0.005, "q4_k_m": 0.25}  # of the mean loss
# What tokenizers disagree about: spaces, line ends, figures, symbols, rare characters, other scripts.
HARD: tuple[str, ...] = (
    "東京は日本の首都です。", "スペインが2―1で勝った（延長）。", "１２３４５円、㈱山田商店", "𠮷野家で𩸽を食べる",
    "髙橋さんと﨑山さん",     "ｶﾀｶﾅとカタカナ、ヴァイオリン", "「質問」と『答え』…？！", "令和6年9月1日のニュース:",
    "改行\nと\n\n空行\n\n\nと\tタブ", "　全角の空白　",
    "😀👨‍👩‍👧🇯🇵", "①②③ ℃ № ㎡ ½", "The quick brown fox jumps over the lazy dog.",
    "It's 3.14159, isn't it? They'll've gone.",
    "two  spaces   three    four", " leading and trailing ", "def f(x):\n    return x ** 2  # y\n",
    "1234567890 12 345 6,789.01",
    "https://example.com/a?b=c&d=%20", "naïve café Zürich Ångström", "Привет мир", "한국어 문장", "العربية",
    "x\r\ny", "",
)  # fmt: skip
PARAGRAPHS = (
    "春の朝、川沿いの道を歩くと、梅の花が咲いていた。古い橋のたもとに小さな茶店があり、主人は三十年前からここで団子を焼いている。"
    "「今年は花が早い」と言って、彼は熱いお茶を出してくれた。2024年の春は、例年より10日ほど早かったという。",
    "On a cold morning the ferry left the harbour at 6:45 with 120 passengers on board. The captain, who had sailed "
    "these waters for thirty years, said that the fog would lift before noon; it didn't. By evening all were at home.",
)


def sample_strings(texts: Sequence[str], count: int = NUM_STRINGS) -> list[str]:
    """`count` strings: the hard ones, then pieces of the run's own texts and of a Japanese and an English paragraph."""
    sources = [text for pair in zip(texts, PARAGRAPHS * len(texts), strict=False) for text in pair] or [*PARAGRAPHS]
    strings = list(HARD)
    for i in range(count - len(HARD)):
        text = sources[i % len(sources)]
        start = 37 * i % max(1, len(text) - 10)
        strings.append(text[start : start + 10 + 13 * i % 90])
    return strings


@torch.no_grad()
def logits_of(network: Any, model: LoadedModel, texts: Sequence[str]) -> torch.Tensor:
    """The logits of every token of the texts, one after another, (tokens, words) in fp32."""
    ids = [text_ids(model, text) for text in texts]
    rows = [network(input_ids=torch.tensor([row], device=network.device), use_cache=False).logits[0] for row in ids]
    return torch.cat([row.float().cpu() for row in rows])


def difference(those: torch.Tensor, these: torch.Tensor) -> float:
    """‖those − these‖ / ‖these‖."""
    return float((those - these).norm() / these.norm())


def must_be_within(what: str, value: float, limit: float) -> float:
    """The value, where it is within the limit. Raises ModelError else: the export is not finished."""
    if not value <= limit:
        raise ModelError(
            f"The export is not the finished model: {what} differs by {value:.3%}, more than {limit:.3%}.",
            hint="What was written is in the .partial directory. Was the run finished with these very settings?",
            hint_ja="書き出した内容は .partial ディレクトリにあります。この設定で実行を最後まで終えましたか。",
        )
    return value


def reload_plain(directory: Path, is_tied: bool) -> Any:
    """The exported model as plain transformers loads it, in fp32. Raises ModelError where tied weights came apart."""
    network: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, local_files_only=True).eval()
    same = network.get_output_embeddings().weight is network.get_input_embeddings().weight
    if same != is_tied:
        raise ModelError(f"{directory}: embed_tokens and lm_head are {'not ' if is_tied else ''}tied any more.")
    return network


def prove_gguf(
    path: Path, model: LoadedModel, quantization: Quantization, strings: Sequence[str], questions: Sequence[str]
) -> dict[str, Any]:
    """The measured differences between the GGUF in llama.cpp and the finished model.

    Raises ModelError where a text has other token ids, the mean loss is too far off, or replies no longer stop.
    """
    asked = [[{"role": "user", "content": question}] for question in questions]
    prompts = [model.format.prompt_ids(messages) for messages in asked]
    written = [model.tokenizer.apply_chat_template(m, tokenize=False, add_generation_prompt=True) for m in asked]
    window = max(len(ids) for ids in [*prompts, *(text_ids(model, s) for s in strings)]) + REPLY_TOKENS
    with LlamaCpp(path, window=max(256, window), num_threads=torch.get_num_threads()) as reader:
        wanted = [list(model.tokenizer(s, add_special_tokens=False)["input_ids"]) for s in strings]
        _must_be_same(reader, [*strings, *written], [*wanted, *prompts])
        compared = [s for s in strings if len(text_ids(model, s)) > 1][:: len(strings) // NUM_COMPARED]
        reference = perplexity(model, compared)
        loss, theirs = (
            reference.nll_sum / reference.num_tokens,
            reader.mean_loss([text_ids(model, s) for s in compared]),
        )
        must_be_within("the mean loss", abs(theirs - loss) / loss, LOSS_LIMITS[quantization])
        replies = generate_replies(model, prompts, max_new_tokens=REPLY_TOKENS, batch_size=NUM_REPLIES)
        said = [reader.reply(prompt, REPLY_TOKENS) for prompt in prompts]
        stopped, stops = sum(r.stopped for r in replies), sum(stopped for _, stopped in said)
        # A model that hardly stops may change its mind with rounding; 4 bits of one that does are told, not refused.
        stops_mostly = 2 * stopped > len(said) and quantization != "q4_k_m"
        if not reader.ends(model.format.end_id) or (stops_mostly and not stops):
            raise ModelError(f"In llama.cpp {stops} of {len(said)} replies stop by themselves, before {stopped}.")
        same = sum(
            model.tokenizer.decode(ids, skip_special_tokens=True) == r.text
            for (ids, _), r in zip(said, replies, strict=True)
        )
    return {
        "strings_with_equal_token_ids": len(strings),
        "mean_loss": loss,
        "mean_loss_in_llama_cpp": theirs,
        "replies": len(said),
        "replies_stopped": stopped,
        "replies_stopped_in_llama_cpp": stops,
        "replies_equal": same,
    }


def _must_be_same(reader: LlamaCpp, texts: Sequence[str], wanted: Sequence[list[int]]) -> None:
    for text, ids in zip(texts, wanted, strict=True):
        if (found := reader.token_ids(text)) != ids:
            raise ModelError(
                f"llama.cpp reads {text!r} as the tokens {found}, not {ids}.",
                hint="Use --format merged, and a server that reads it, such as vLLM.",
                hint_ja="--format merged で書き出し、vLLM など対応するサーバーを使ってください。",
            )
