"""Hostile requests: python experiments/serve_fuzz.py SETTINGS.toml [--run-dir DIR] [--requests 10000]

Starts `ishibumi serve` and sends requests that schemathesis makes from the server's own OpenAPI, and broken ones made
here. Fails for a 5xx, a reply that takes a minute, a server that no longer answers, or memory that grows.
"""

import argparse
import collections
import http.client
import json
import random
import socket
import time
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from serve_bench import resident_mb, started_server, tell

HEAD = "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
PATHS = [
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/models",
    "/",
    "/page/app.js",
    "/api/near",
    "/metrics",
    "/nowhere",
]
TEXTS = [
    "",
    "a",
    "\x00",
    "\ud800",
    "🗿" * 3000,
    "東" * 5000,
    "{{ messages }}",
    "<s></s><bos><eos>",
    "【" * 2000,
    "a\r\nb",
]
VALUES = [None, True, -1, 0, 1, 2, 1e308, -1e308, 10**40, [], {}, "engraved", "base", [[]], [None], {"a": {}}]


def hand_made(dice: random.Random) -> bytes:
    """A request that a schema would not allow, or that breaks HTTP itself."""
    path = dice.choice(PATHS)
    kind = dice.randrange(8)
    if kind == 0:
        return dice.randbytes(dice.randrange(1, 2000))
    if kind == 1:
        return (HEAD.format(path) + "content-length: 99999999999\r\n\r\n{").encode()
    if kind == 2:
        return (HEAD.format(path) + "transfer-encoding: chunked\r\n\r\nzz\r\n").encode()
    if kind == 3:
        return f"GET {path}?{'%' * dice.randrange(50)}&question={'%ff' * 9} HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    text, model = dice.choice(TEXTS), dice.choice(["engraved", "base", "retrieval", "engraved_retrieval", "x"])
    body: dict[str, Any] = {"model": model, "max_tokens": dice.randrange(1, 4), "stream": dice.random() < 0.3}
    body |= {"prompt": text} if path == "/v1/completions" else {"messages": [{"role": "user", "content": text}]}
    if kind in (4, 5):
        body[dice.choice([*body, "n", "stop", "seed", "temperature", "top_p", "logprobs", "tools"])] = dice.choice(
            VALUES
        )
    data = json.dumps(body).encode()
    if kind == 6:
        data = data[: dice.randrange(len(data))] + dice.randbytes(dice.randrange(20))
    if kind == 7 and dice.random() < 0.3:
        data = b"[" * 100_000 if dice.random() < 0.5 else b'{"model": "' + b"a" * 300_000
    return (HEAD.format(path) + f"content-length: {len(data)}\r\n\r\n").encode() + data


def send(port: int, data: bytes, is_patient: bool) -> str:
    """The status of the reply, or how the connection ended."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        try:
            connection.sendall(data)
            if not data.startswith((b"GET", b"POST")):  # no request: the server would wait for the rest of it
                connection.shutdown(socket.SHUT_WR)
            if not is_patient:
                return "left"
            reply = http.client.HTTPResponse(connection)
            reply.begin()
            reply.read()
            return str(reply.status)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, TimeoutError):
                raise
            return "closed"


def from_schema(port: int, number: int, seen: collections.Counter[str]) -> None:
    """About so many requests from the OpenAPI, valid and not."""
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:

        @settings(
            max_examples=max(1, number // len(operations)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def one(case: Any) -> None:
            if isinstance(case.body, dict):  # replies of thousands of tokens would test patience only
                case.body = {**case.body, "max_tokens": case.body.get("max_tokens", 2) and 2}
                case.body.pop("max_completion_tokens", None)
            seen[str(case.call(timeout=60).status_code)] += 1

        one()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("settings")
    parser.add_argument("--run-dir")
    parser.add_argument("--requests", type=int, default=10_000)
    chosen = parser.parse_args()
    with started_server(chosen.settings, chosen.run_dir) as (server, port):
        seen: collections.Counter[str] = collections.Counter()
        dice, began, memory = random.Random(1), time.perf_counter(), list[float]()
        for part in range(10):
            from_schema(port, chosen.requests // 20, seen)
            for _ in range(chosen.requests // 20):
                seen[send(port, hand_made(dice), dice.random() < 0.9)] += 1
            memory.append(resident_mb(server.pid))
            tell(part=part, requests=seen.total(), seconds=time.perf_counter() - began, memory_mb=memory[-1])
        answers = send(port, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n", True)
        grown = memory[-1] - memory[2]  # the first parts warm caches up
        tell(statuses=dict(sorted(seen.items())), answers=answers, memory_grown_mb=grown)
        bad = [status for status in seen if status.startswith("5")]
        if bad or answers != "200" or grown > 30:
            raise SystemExit(f"failed: {bad}, answers {answers}, grown {grown:.0f} MB")


if __name__ == "__main__":
    main()
