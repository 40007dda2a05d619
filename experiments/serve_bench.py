"""What the server does under load: python experiments/serve_bench.py SETTINGS.toml [--run-dir DIR]

Starts `ishibumi serve` and prints, as JSON lines: the first token after loading, tokens a second of one client after
another and of 32 at once, how many greedy replies differ between the two, the page's bytes and time, and memory.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

QUESTIONS = ["決勝で勝ったのはどこですか？", "得点者は誰ですか？", "試合はいつ行われましたか？", "会場はどこでしたか？"]


def ask(port: int, n: int, max_tokens: int) -> tuple[str, int, float]:
    """Text, tokens and seconds to the first piece of one streamed reply."""
    body = {"model": "base", "prompt": f"{n}番: {QUESTIONS[n % len(QUESTIONS)]}", "max_tokens": max_tokens,
            "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    started = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body).encode(), {"content-type": "application/json"})
    reply = connection.getresponse()
    first, text, tokens = 0.0, "", 0
    for line in reply:
        if not line.startswith(b"data: {"):
            continue
        first = first or time.perf_counter() - started
        part: Any = json.loads(line[6:])
        text += "".join(choice["text"] for choice in part["choices"])
        tokens = part["usage"]["completion_tokens"] if "usage" in part else tokens
    connection.close()
    return text, tokens, first


@contextlib.contextmanager
def started_server(settings: str, run_dir: str | None) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """`ishibumi serve` in a process of its own, and its port."""
    command = [sys.executable, "-m", "ishibumi", "serve", settings, "--port", "0"]
    command += ["--run-dir", run_dir] if run_dir else []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        try:
            told = (re.findall(r"127\.0\.0\.1:(\d+)/", line) for line in server.stderr)
            yield server, int(next(filter(None, told))[0])
        finally:
            server.terminate()


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def tell(**values: Any) -> None:
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in values.items()}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings")
    parser.add_argument("--run-dir")
    parser.add_argument("--alone", type=int, default=4, help="replies made one after another")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    chosen = parser.parse_args()
    began = time.perf_counter()
    with started_server(chosen.settings, chosen.run_dir) as (server, port):
        tell(load=Path("/proc/loadavg").read_text().split()[0], seconds_to_load=time.perf_counter() - began)
        tell(memory_after_load_mb=resident_mb(server.pid), seconds_to_first_token=ask(port, 0, 1)[2])
        rates: dict[str, float] = {}
        texts: dict[str, list[str]] = {}
        for name, workers, count in (("alone", 1, chosen.alone), ("together", chosen.clients, chosen.clients)):
            began = time.perf_counter()
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                found = list(pool.map(lambda n: ask(port, n, chosen.tokens), range(count)))
            seconds, tokens = time.perf_counter() - began, sum(tokens for _, tokens, _ in found)
            rates[name], texts[name] = tokens / seconds, [text for text, _, _ in found]
            tell(clients=workers, replies=count, tokens=tokens, seconds=seconds, tokens_per_second=tokens / seconds)
        differ = sum(a != b for a, b in zip(texts["alone"], texts["together"], strict=False))
        tell(times_faster=rates["together"] / rates["alone"], compared=chosen.alone, replies_that_differ=differ)
        tell(memory_mb=resident_mb(server.pid), load=Path("/proc/loadavg").read_text().split()[0])


if __name__ == "__main__":
    main()
