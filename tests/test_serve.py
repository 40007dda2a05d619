"""The server as clients see it: over sockets, with OpenAI's own client, polite or not."""

import concurrent.futures
import contextlib
import gzip
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from test_pipeline import write_project
from test_trust import give_pools

from ishibumi import config, pipeline
from ishibumi.artifacts import MANIFEST, read_jsonl, write_jsonl
from ishibumi.config import Run
from ishibumi.corpus.read import load_documents
from ishibumi.errors import UsageError
from ishibumi.exam.share_right import Pool
from ishibumi.exam.sit import load_answers
from ishibumi.exam_stage import exam_questions
from ishibumi.knowledge.citation import split_citation
from ishibumi.use.serve import build_app, listen, serve
from ishibumi.use.serve_engine import Limits
from ishibumi.use.serve_guard import check_address
from ishibumi.use.serve_models import load_engraved, load_models, share_equal_weights
from ishibumi.use.serve_reply import Wish
from ishibumi.use.serve_rows import stream
from ishibumi.use.serve_run import training_of

QUESTION = [{"role": "user", "content": "優勝した国は？"}]
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, model_dir: Callable[[str], Path]) -> Run:
    """A finished run of a tiny model."""
    path = write_project(tmp_path_factory.mktemp("project"), model_dir("gemma3"))
    found = config.load(path)
    pipeline.run(found)
    return found


@contextlib.contextmanager
def serving(run: Run, limits: Limits | None = None, key: str | None = None) -> Iterator[int]:
    """The port of a server in this process."""
    ready = threading.Event()
    app = build_app(
        run,
        lambda documents: exam_questions(run, list(documents)),
        key=key, limits=limits or Limits(), tell=lambda _: ready.set(),
    )  # fmt: skip
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(60)
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture(scope="module")
def port(run: Run) -> Iterator[int]:
    """The port of a server that several tests share."""
    with serving(run) as found:
        yield found


@contextlib.contextmanager
def client(port: int, key: str = "none") -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0) as found:
        yield found


def request(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and parsed reply of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST" if data is not None else "GET", path, data, {**JSON, **headers} if data else headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, json.loads(text) if reply.headers.get_content_type() == "application/json" else text


def metric(port: int, name: str) -> int:
    return int(re.findall(rf"^ishibumi_{name} (\d+)$", request(port, "/metrics")[1], flags=re.M)[0])


def asked(model: str = "engraved", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": QUESTION, "max_tokens": 8, **more}


def test_openais_client_gets_what_chat_says_whole_and_streamed(run: Run, port: int) -> None:
    model = load_engraved(run)
    said = "".join(piece.text for piece in stream(model, Wish(model.format.prompt_ids(QUESTION), 8)))
    with client(port) as api:
        assert [m.id for m in api.models.list()] == ["engraved", "base", "retrieval", "engraved_retrieval"]
        assert api.models.retrieve("base").owned_by == "ishibumi"
        whole = api.chat.completions.create(**asked())
        assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (said, "length")
        assert whole.usage.completion_tokens == 8
        parts = list(api.chat.completions.create(**asked(stream=True, stream_options={"include_usage": True})))
    assert "".join(part.choices[0].delta.content for part in parts[:-1]) == said
    assert parts[-2].choices[0].finish_reason == "length"
    assert (parts[-1].choices, parts[-1].usage) == ([], whole.usage)


@pytest.mark.parametrize("arm", ["engraved", "base", "retrieval", "engraved_retrieval"])
def test_every_model_answers_as_its_arm_of_the_exam_did(run: Run, port: int, arm: str) -> None:
    answers = {a.question_id: a.reply for a in load_answers(run.run_dir / "exam") if a.arm == arm}
    documents = load_documents(run.run_dir / "corpus")
    questions = {q.id: q.question for q in exam_questions(run, documents)}
    with client(port) as api:
        for question_id, reply in answers.items():
            messages = [{"role": "user", "content": questions[question_id]}]
            found = api.chat.completions.create(model=arm, messages=messages, max_tokens=4)  # type: ignore[arg-type]
            assert split_citation((found.choices[0].message.content or "").strip())[2].strip() == reply


def test_how_far_to_trust_a_reply_is_told_whole_and_streamed(run: Run, port: int) -> None:
    def told(**more: Any) -> list[Any]:
        """The trust in each reply, or in each chunk of a stream."""
        with client(port) as api:
            found = api.chat.completions.create(**asked(**more))
            return [(part.model_extra or {}).get("ishibumi") for part in (found if more.get("stream") else [found])]

    (trust,) = told()
    assert 0 < trust["confidence"] < 1 and trust["share_right"] is None  # an exam of three questions says nothing
    give_pools(run.run_dir, [Pool(0.0, 0.61, 30)])
    try:  # the server reads a report that was made anew
        trust = {"confidence": pytest.approx(trust["confidence"]), "share_right": 0.61}
        assert told() == [trust]
        parts = told(stream=True, n=2)
        assert parts == [None] * (len(parts) - 2) + [trust, trust]
        assert told(n=3) == [trust]
    finally:
        give_pools(run.run_dir, None)
    assert told(temperature=1.0) == told(model="base") == told(model="engraved_retrieval") == [None]
    assert set(told(temperature=1.0, stream=True)) == {None}
    assert "ishibumi" not in request(port, "/v1/completions", {"model": "engraved", "prompt": "a", "logprobs": 0})[1]


def test_the_confidence_is_the_exams(run: Run, port: int) -> None:
    answers = {a.question_id: a for a in load_answers(run.run_dir / "exam") if a.arm == "engraved"}
    questions = {q.id: q.question for q in exam_questions(run, load_documents(run.run_dir / "corpus"))}
    length = run.settings.exam.max_new_tokens
    for question_id, answer in answers.items():
        messages = [{"role": "user", "content": questions[question_id]}]
        body = {"model": "engraved", "messages": messages, "max_tokens": length}
        assert answer.mean_logprob is not None
        told = request(port, "/v1/chat/completions", body)[1]["ishibumi"]["confidence"]
        assert told == pytest.approx(math.exp(answer.mean_logprob), rel=1e-3)


def test_completions_tell_log_probabilities(port: int) -> None:
    with client(port) as api:
        found = api.completions.create(model="base", prompt=["Spain", "The"], max_tokens=3, logprobs=2).choices
        streamed = list(api.completions.create(model="base", prompt="Spain", max_tokens=3, logprobs=2, stream=True))
    assert [choice.index for choice in found] == [0, 1]
    told = found[0].logprobs
    assert told and len(told.tokens or []) == 3
    assert [max(top.values()) for top in told.top_logprobs or []] == told.token_logprobs
    parts = [value for part in streamed if (kept := part.choices[0].logprobs) for value in kept.token_logprobs or []]
    assert parts == pytest.approx(told.token_logprobs)
    assert "".join(part.choices[0].text for part in streamed) == found[0].text


def test_seed_n_and_stop_do_what_they_say(port: int) -> None:
    with client(port) as api:

        def drawn(**more: Any) -> list[str]:
            found = api.chat.completions.create(**asked(temperature=1.5, **more))
            return [choice.message.content for choice in found.choices]

        three = drawn(n=3, seed=5)
        assert three == drawn(n=3, seed=5) == [drawn(seed=seed)[0] for seed in (5, 6, 7)]
        assert len(set(three)) == 3
        assert drawn() != drawn()
        free = api.completions.create(model="engraved", prompt="Who", max_tokens=20).choices[0].text
        stop = free[5:7]
        cut = api.completions.create(model="engraved", prompt="Who", max_tokens=20, stop=["no such", stop]).choices[0]
    assert (cut.text, cut.finish_reason) == (free[: free.index(stop)], "stop")


def test_many_clients_at_once_get_what_each_gets_alone(port: int) -> None:
    bodies = [
        {"model": ("engraved", "base")[n % 2], "prompt": "Spain" * (n % 5 + 1), "max_tokens": 3 + n % 20, "seed": n,
         "temperature": n % 3 / 2, "top_p": 0.9, "n": 1 + n % 2}
        for n in range(40)
    ]  # fmt: skip

    def texts(body: dict[str, Any]) -> list[str]:
        status, reply = request(port, "/v1/completions", body)
        assert status == 200, reply
        return [choice["text"] for choice in reply["choices"]]

    alone = [texts(body) for body in bodies]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        assert list(pool.map(texts, bodies)) == alone


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "words"),
    [
        ("chat/completions", asked("gpt-4"), 404, "model_not_found", "No model 'gpt-4'. Models: engraved, base,"),
        ("chat/completions", asked(tools=[]), 400, "invalid_value", "tools: Extra inputs are not permitted"),
        ("chat/completions", asked(temperature=3), 400, "invalid_value", "temperature: Input should be less than"),
        ("chat/completions", {"model": "base", "messages": [{"role": "assistant", "content": "a"}]}, 400,
         "invalid_value", "The last message must be the user's."),
        ("chat/completions", asked(max_tokens=1020), 400, "context_length_exceeded", "may have 1,024 tokens together"),
        ("completions", {"model": "base", "prompt": "a" * 5000}, 400, "context_length_exceeded", "would have 5,002"),
        ("completions", {"model": "retrieval", "prompt": "a"}, 400, "invalid_value", "ask /v1/chat/completions."),
        ("completions", b'{"model": "base", "prompt": "\\ud800"}', 400, "invalid_value", "prompt"),
        (
            "chat/completions",
            b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}',
            400,
            "invalid_value",
            "messages",
        ),
        (
            "chat/completions",
            b'{"model": "base", "messages": [{"role": "user", "content": [{"type": "text", "text": "\\ud800"}]}]}',
            400,
            "invalid_value",
            "messages",
        ),
        ("completions", b"[" * 100_000, 400, "http_error", "error parsing the body"),
        ("completions", b"{", 400, "invalid_value", "JSON decode error"),
        ("completions", b"x" * 300_000, 413, "body_too_long", "longer than 262,144 bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_served_is_refused_in_words(
    port: int, path: str, body: Any, status: int, code: str, words: str
) -> None:
    found, reply = request(port, f"/v1/{path}", body)
    assert (found, reply["error"]["code"]) == (status, code)
    assert words in reply["error"]["message"]


def test_a_full_queue_answers_429_and_the_rest_is_served(run: Run) -> None:
    body = {"model": "base", "prompt": "a", "max_tokens": 300}
    with serving(run, Limits(num_rows=1, num_waiting=2)) as port, concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(status for status, _ in pool.map(lambda _: request(port, "/v1/completions", body), range(8)))
        assert statuses.count(200) >= 3 and statuses.count(429) == 8 - statuses.count(200) > 0
        assert metric(port, "refused_total") == statuses.count(429)
        with client(port) as api, pytest.raises(openai.RateLimitError, match="Too many requests wait here"):
            api.completions.create(model="base", prompt=["a", "b", "c"])


def test_a_body_that_trickles_in_is_given_up_on(run: Run) -> None:
    with serving(run, Limits(body_seconds=0.3)) as port, socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        chunked = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port)) as long:
            long.sendall(chunked + b"50000\r\n" + b"a" * 0x50000)
            assert long.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_clients_that_vanish_or_do_not_read_hold_nobody_up(port: int) -> None:
    body = json.dumps({"model": "base", "prompt": "a", "max_tokens": 900, "n": 8, "stream": True}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{{}}content-length: {len(body)}\r\n\r\n"
    head = head.format("content-type: application/json\r\n")
    abandoned = metric(port, "abandoned_total")
    with socket.create_connection(("127.0.0.1", port)) as deaf:
        deaf.sendall(head.encode() + body)
        for is_streamed in (True, False):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                sent = body if is_streamed else body.replace(b"true", b"null")
                gone.sendall(head.encode() + sent)
                time.sleep(0.2)
        status, reply = request(port, "/v1/completions", {"model": "base", "prompt": "a", "max_tokens": 4})
        assert (status, reply["usage"]["completion_tokens"]) == (200, 4)
    deadline = time.monotonic() + 30
    while metric(port, "running") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert metric(port, "running") == metric(port, "waiting") == 0
    assert metric(port, "abandoned_total") - abandoned >= 16


def test_only_this_machines_names_are_answered_and_a_key_is_asked_for_where_there_is_one(run: Run, port: int) -> None:
    for host in ("localhost", f"127.0.0.1:{port}", "[::1]:80"):
        assert request(port, "/health", host=host) == (200, {"status": "ok"})
    status, reply = request(port, "/api/documents", host="evil.example")
    assert (status, reply["error"]["code"]) == (403, "wrong_host")
    with serving(run, key="sésame") as locked:
        for path in ("/v1/models", "/api/documents", "/metrics", "/openapi.json"):
            assert request(locked, path)[0] == request(locked, path, authorization="Bearer no")[0] == 401
        assert request(locked, "/", host="ishibumi.example")[0] == request(locked, "/page/app.js")[0] == 200
        with client(locked, "wrong") as api, pytest.raises(openai.AuthenticationError, match="needs its API key"):
            api.models.list()


def test_an_address_for_others_needs_a_key(run: Run, tmp_path: Path) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        check_address(host, None)
    check_address("0.0.0.0", "key")
    with pytest.raises(UsageError, match=r"--host 0\.0\.0\.0 can be reached from other machines") as caught:
        check_address("0.0.0.0", None)
    assert caught.value.exit_code == 2
    assert caught.value.hint.startswith("Set an API key first: export ISHIBUMI_API_KEY=")
    assert caught.value.hint_ja.startswith("先に API キーを設定してください")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(UsageError, match="Address already in use"):
        serve(run, lambda _: [], host="127.0.0.1", port=taken.getsockname()[1], key=None, tell=lambda *_: None)


def test_a_reply_is_sent_without_waiting_for_the_client_to_confirm_its_first_half() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_server_that_is_stopped_finishes_what_it_has_begun(run: Run) -> None:
    command = [sys.executable, "-m", "ishibumi", "serve", str(run.run_dir.parent / "ishibumi.toml"), "--port", "0"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        told = process.stderr.readline()
        port = int(re.findall(r"The page: http://127\.0\.0\.1:(\d+)/", told)[0])
        with client(port) as api:
            begun = api.completions.create(model="base", prompt="hi", max_tokens=900, stream=True)
            parts = iter(begun)
            next(parts)
            process.send_signal(signal.SIGTERM)
            assert [part.choices[0].finish_reason for part in parts][-1] == "length"
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)


def test_both_networks_use_the_weights_that_are_equal(run: Run) -> None:
    models = load_models(run)
    base, engraved = (dict(models.networks[name].network.named_parameters()) for name in ("base", "engraved"))
    is_shared = {name: weight.data_ptr() == base[name].data_ptr() for name, weight in engraved.items()}
    assert is_shared["model.embed_tokens.weight"] and not is_shared["model.layers.0.self_attn.q_proj.weight"]
    assert share_equal_weights(models.networks["engraved"], models.networks["base"]) == 0


def test_a_stage_that_trains_is_followed_step_by_step(tmp_path: Path) -> None:
    assert training_of(tmp_path, "cpt") is None
    partial = tmp_path / "cpt.partial"
    partial.mkdir()
    steps = [(1, 100, 4.0, 9.0, 1), (2, 200, 3.0, 2.0, 1), (2, 200, 3.5, 2.0, 1), (3, 300, 2.0, 3.0, 2)]
    rows = [
        {"step": s, "num_steps": 5, "epoch": e, "tokens": t, "loss": loss, "seconds": seconds, "gradient_norm": 1.0,
         "learning_rate": 0.1}
        for s, t, loss, seconds, e in steps
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "num'  # being written just now
    (partial / "progress.jsonl").write_text(text)
    found = training_of(tmp_path, "cpt")
    assert found and found.pop("seconds_since") < 60
    assert found == {
        "stage": "cpt", "live": True, "num_steps": 5, "step": 3, "tokens": 300, "epoch": 2, "known": None,
        "epochs": [3],
        "steps": [[1, 4.0], [2, 3.5], [3, 2.0]], "tokens_per_second": 40.0, "seconds_left": 5.0,
    }  # fmt: skip


def test_the_page_gets_documents_and_the_exam(run: Run, port: int) -> None:
    heads = request(port, "/api/documents")[1]
    assert heads[0] == {"id": "a", "title": "スペインが優勝", "date": "2026-07-19", "language": "ja"}
    assert request(port, "/api/documents/a")[1]["text"].startswith("スペインは7月19日の決勝で")
    assert request(port, "/api/documents/zz")[0] == 404
    near = request(port, "/api/near?question=Ferran+Torres")[1]
    assert (near[0]["id"], [head["read"] for head in near]) == ("c", [True, False, False])
    exam = request(port, "/api/exam")[1]
    assert [row["language"] for row in exam["forgetting"]] == ["ja", "en"]
    first = exam["documents"][0]["questions"][0]
    assert (first["question"], first["answer"], first["split"]) == ("大会の頂点に立った国は？", "スペイン", "held_out")
    assert set(first["replies"]) == {"base", "engraved", "engraved_retrieval", "gold_passage", "retrieval"}
    assert set(request(port, "/api/run")[1]["stages"].values()) == {"done"}


def test_an_exam_that_was_held_anew_is_shown_anew(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.run_dir, tmp_path / "run")
    copied = config.load(run.run_dir.parent / "ishibumi.toml", {"run_dir": str(tmp_path / "run")})
    path = copied.run_dir / "exam" / "answers_engraved.jsonl"
    with serving(copied) as port:
        assert request(port, "/api/exam") == request(port, "/api/exam")
        write_jsonl(path, [row | {"reply": "anew"} for row in read_jsonl(path)])
        os.utime(path.with_name(MANIFEST))
        questions = request(port, "/api/exam")[1]["documents"][0]["questions"]
    assert [question["replies"]["engraved"]["reply"] for question in questions] == ["anew"] * len(questions)


def test_a_run_that_is_not_finished_shows_its_page_and_refuses_questions(run: Run, tmp_path: Path) -> None:
    begun = config.load(run.run_dir.parent / "ishibumi.toml", {"run_dir": str(tmp_path / "new")})
    with serving(begun) as port:
        assert request(port, "/health")[1] == {"status": "not finished"}
        status, reply = request(port, "/v1/chat/completions", asked())
        assert (status, reply["error"]["code"]) == (409, "run_not_finished")
        assert request(port, "/api/documents") == (200, [])
        assert request(port, "/api/exam") == (200, {"documents": [], "forgetting": []})
        assert request(port, "/api/near?question=a") == (200, [])
        assert "<title>ishibumi</title>" in request(port, "/")[1]
        assert request(port, "/page/..%2fserve.py")[0] == 404


def test_the_page_is_small_and_a_browser_loads_nothing_else(port: int) -> None:
    page = request(port, "/")[1]
    names = ["app.js", "ask.js", "exam.js", "net.js", "page.css", "seal.svg", "source.js", "training.js", "words.js"]
    assert len(page.encode()) + sum(len(request(port, f"/page/{name}")[1].encode()) for name in names) < 150_000
    assert set(re.findall(r'(?:src|href)="([^"]+)"', page)) <= {f"/page/{n}" for n in names} | {
        "#main", "#ask", "#training", "#exam",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["serve.md", "serve.ja.md"])
def test_the_examples_of_the_guide_work(port: int, name: str) -> None:
    text = (Path(__file__).parents[1] / "docs" / "guides" / name).read_text(encoding="utf-8")
    url = f"http://127.0.0.1:{port}"
    shell, python = (re.findall(rf"^```{fence}\n(.*?)^```$", text, flags=re.M | re.S) for fence in ("sh", "python"))
    script = "set -e\n" + "".join(shell).replace("curl ", "curl --fail-with-body ")
    out = subprocess.run(["bash", "-c", script], env={**os.environ, "URL": url}, capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, "")
    for expected in ('"id":"engraved_retrieval"', '"role":"assistant"', "data: [DONE]", '"token_logprobs"',
                     '{"status":"ok"}', "ishibumi_replies_total "):  # fmt: skip
        assert out.stdout.count(expected) >= 1
    code = f"URL = {url!r}\n" + "".join(python)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.endswith("\n") and len(said) > 1


def test_a_long_reply_is_compressed_for_who_can_read_it(port: int) -> None:
    def sent(encoding: str) -> tuple[str | None, bytes]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request("GET", "/api/exam", headers={"accept-encoding": encoding})
            response = connection.getresponse()
            return response.getheader("content-encoding"), response.read()

    (plain_name, plain), (packed_name, packed) = sent("identity"), sent("gzip")
    assert (plain_name, packed_name) == (None, "gzip")
    assert gzip.decompress(packed) == plain and len(packed) < len(plain) / 2
