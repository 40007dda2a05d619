"""Tokens/s of replies on a GPU, with growing and with recorded rows, and how many greedy replies are the same.

    PYTHONPATH=src python benchmarks/replies.py MODEL questions.jsonl --rows 1 32 256
"""

import argparse
import json
import time
from pathlib import Path

import torch

from ishibumi.models import generate
from ishibumi.models.load import LoadedModel, load_model
from ishibumi.settings import ModelSettings

NEW_TOKENS = 128


def main() -> None:
    """A line of JSON for each number of rows and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="directory of a model")
    parser.add_argument("questions", type=Path, help="JSON lines with a question each")
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 32, 256])
    arguments = parser.parse_args()
    model = load_model(ModelSettings(base=arguments.model), Path())
    texts = [json.loads(line)["question"] for line in arguments.questions.read_text(encoding="utf-8").splitlines()]
    prompts = [model.tokenizer(text)["input_ids"] for text in texts]
    can_record = generate.can_record
    for num_rows in arguments.rows:
        asked = [prompts[i % len(prompts)] for i in range(num_rows)]
        said = {}
        for way in ("growing", "recorded"):
            generate.can_record = can_record if way == "recorded" else lambda _: False
            replies_in(model, asked[:8], 4)
            said[way], seconds = replies_in(model, asked, NEW_TOKENS)
            num_tokens = sum(reply.num_tokens for reply in said[way])
            told = {"rows": num_rows, "way": way, "tokens": num_tokens, "seconds": round(seconds, 3)}
            print(json.dumps(told | {"tokens_per_second": round(num_tokens / seconds, 1)}), flush=True)
        same = sum(a.text == b.text for a, b in zip(*said.values(), strict=True))
        print(json.dumps({"rows": num_rows, "same_replies": same}), flush=True)


def replies_in(model: LoadedModel, asked: list[list[int]], num_new: int) -> tuple[list[generate.Reply], float]:
    """The replies, and the seconds that they took with recording."""
    torch.cuda.synchronize()
    begun = time.perf_counter()
    replies = generate.generate_replies(model, asked, max_new_tokens=num_new, batch_size=len(asked))
    torch.cuda.synchronize()
    return replies, time.perf_counter() - begun


if __name__ == "__main__":
    main()
