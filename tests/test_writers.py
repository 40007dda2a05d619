"""Writing models: a tiny local one and a real HTTP server on this machine, with everything that goes wrong there."""

import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tiny

from ishibumi.corpus.documents import Document
from ishibumi.errors import ArtifactError, ModelError, UsageError
from ishibumi.knowledge import writer_endpoint
from ishibumi.knowledge.generator import without_common_answers
from ishibumi.knowledge.items import Item, is_open
from ishibumi.knowledge.prompts import prompt_for
from ishibumi.knowledge.reply_cache import NAME, Request, load_replies, save_reply
from ishibumi.knowledge.writer_endpoint import NOT_ASKED
from ishibumi.knowledge.writer_model import prompt_ids
from ishibumi.knowledge.written import Written, read_replies, what_counts, write_items
from ishibumi.models.generate import Reply
from ishibumi.settings import KnowledgeSettings, ModelSettings

GOOD = "Q: Who won? | Q: Which team was better? | A: Spain\nQ: When? | A: July 19"
DOCUMENTS = [
    Document(f"d{n}", f"Spain beat Argentina in game {n}.", "Spain win", dt.date(2026, 7, 19), "en", f"f:{n}")
    for n in range(3)
]
Answer = Callable[[int, str], tuple[int, dict[str, str], bytes]]  # (how many before it, the prompt) → response


class Server(ThreadingHTTPServer):
    """Answers as `script` says and remembers what it was asked."""

    def __init__(self, script: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client has gone: that is what the test is about."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            number = len(server.asked)
            server.asked.append({**body, "path": self.path})
            server.headers.append(dict(self.headers))
            server.times.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            status, headers, content = server.script(number, body["messages"][0]["content"])
        finally:
            with server.lock:
                server.at_once -= 1
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def said(text: str | None, *, tokens: int | None = 100, reason: str = "stop") -> tuple[int, dict[str, str], bytes]:
    """A chat completion."""
    usage = {"usage": {"total_tokens": tokens}} if tokens else {}
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
    return 200, {}, json.dumps({"choices": [choice], **usage}).encode()


def failing(status: int, text: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, text.encode()


@contextlib.contextmanager
def serving(script: Answer) -> Iterator[Server]:
    with Server(script) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_endpoint, "FIRST_WAIT_SECONDS", 0.01)


def settings(url: str | None, directory: Path, **endpoint: Any) -> KnowledgeSettings:
    values = {"url": url, "model": "big", "concurrency": 1, "retries": 2, "timeout_seconds": 5, "max_new_tokens": 100}
    return KnowledgeSettings.model_validate(
        {"generator": "endpoint", "prompts": ["questions"], "cache": str(directory), "endpoint": values | endpoint}
    )


def write(chosen: KnowledgeSettings, seen: list[tuple[int, int]] | None = None) -> Written:
    return write_items(
        "endpoint", DOCUMENTS, chosen, model=ModelSettings(), base_dir=Path(), seed=1,
        on_reply=lambda done, total: seen.append((done, total)) if seen is not None else None,
    )  # fmt: skip


def test_an_endpoint_is_asked_once_for_each_prompt_and_never_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with serving(lambda n, _: said(GOOD)) as server:
        written = write(settings(server.url, tmp_path), seen)
        again = write(settings(server.url, tmp_path, concurrency=2))
    assert len(server.asked) == 3 and seen == [(1, 3), (2, 3), (3, 3)]
    assert [(i.document_id, i.kind, i.rule, i.text, i.answer) for i in written.items if i.document_id == "d0"] == [
        ("d0", "question", "endpoint:questions", "Who won?", "Spain"),
        ("d0", "question", "endpoint:questions", "Which team was better?", "Spain"),
        ("d0", "question", "endpoint:questions", "When?", "July 19"),
    ]
    assert (written.by_kind, dict(+written.refused)) == ({"endpoint:questions": [9, 9]}, {})
    assert again == written
    first = server.asked[0]
    assert (first["path"], first["model"], first["max_tokens"]) == ("/v1/chat/completions", "big", 100)
    assert first["messages"] == prompt_for(DOCUMENTS[0], "questions").messages()
    assert len({asked["seed"] for asked in server.asked}) == 3


def test_documents_with_the_same_text_share_a_reply(tmp_path: Path) -> None:
    twins = [DOCUMENTS[0], replace(DOCUMENTS[0], id="twin")]
    with serving(lambda n, _: said(GOOD)) as server:
        chosen = settings(server.url, tmp_path)
        written = write_items(
            "endpoint", twins, chosen, model=ModelSettings(), base_dir=Path(), seed=1, on_reply=lambda *_: None
        )
    assert len(server.asked) == 1
    assert [item.document_id for item in written.items] == ["d0"] * 3 + ["twin"] * 3


def test_other_settings_of_the_reply_ask_anew_and_other_efforts_do_not(tmp_path: Path) -> None:
    with serving(lambda n, _: said(GOOD)) as server:
        chosen = settings(server.url, tmp_path)
        write(chosen)
        for same in ({"retries": 9}, {"timeout_seconds": 9}, {"concurrency": 3}):
            write(settings(server.url, tmp_path, **same))
            assert what_counts(settings(server.url, tmp_path, **same)) == what_counts(chosen)
        assert len(server.asked) == 3
        for number, other in enumerate(({"temperature": 0.0}, {"samples": 2}, {"model": "bigger"}), start=2):
            write(settings(server.url, tmp_path, **other))
            assert len(server.asked) == 3 * number
            assert what_counts(settings(server.url, tmp_path, **other)) != what_counts(chosen)


@pytest.mark.parametrize(
    "bad",
    [
        *(failing(status) for status in (429, 500, 503)),
        *((200, {}, body) for body in (b"<html>", b'{"choices": []}', b"[1]")),
        (200, {"Content-Length": "999"}, b"{"),
    ],
)
def test_an_endpoint_that_fails_now_and_then_is_asked_again(tmp_path: Path, bad: Any) -> None:
    with serving(lambda n, _: bad if n % 2 == 0 else said(GOOD)) as server:
        written = write(settings(server.url, tmp_path))
    assert len(server.asked) == 6
    assert (len(written.items), dict(+written.refused)) == (9, {})


def test_waiting_grows_and_retry_after_is_obeyed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_endpoint, "FIRST_WAIT_SECONDS", 0.1)
    script = [failing(500), failing(500), failing(429, Retry_After="1"), said(GOOD)]
    with serving(lambda n, _: script[min(n, 3)]) as server:
        write(settings(server.url, tmp_path, retries=3))
    first, second, third = (b - a for a, b in zip(server.times[:3], server.times[1:4], strict=True))
    assert first >= 0.07 and second >= 0.15 and third >= 1


def test_a_retry_after_date_is_understood_and_nonsense_is_no_wait() -> None:
    assert 3500 < writer_endpoint._asked_pause(_http_date(time.time() + 3600)) <= 3600
    assert [writer_endpoint._asked_pause(text) for text in ("", "soon", "7", _http_date(0))] == [0, 0, 7, 0]


def _http_date(seconds: float) -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))


def test_a_late_answer_is_not_waited_for_and_asked_for_again(tmp_path: Path) -> None:
    def late_at_first(n: int, _: str) -> tuple[int, dict[str, str], bytes]:
        if n == 0:
            time.sleep(4)
        return said(GOOD)

    with serving(late_at_first) as server:
        started = time.monotonic()
        written = write(settings(server.url, tmp_path, timeout_seconds=0.2))
        assert time.monotonic() - started < 3
    assert (len(server.asked), len(written.items)) == (4, 9)


def test_what_is_never_answered_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    def script(n: int, prompt: str) -> tuple[int, dict[str, str], bytes]:
        return failing(400, "too long") if "game 0" in prompt else failing(500) if "game 1" in prompt else said(GOOD)

    with serving(script) as server:
        written = write(settings(server.url, tmp_path))
    assert len(server.asked) == 1 + 3 + 1  # 400 is not tried again
    assert {item.document_id for item in written.items} == {"d2"}
    assert dict(+written.refused) == {
        "no reply from the endpoint: HTTP 400": 1, "no reply from the endpoint: HTTP 500": 1,
    }  # fmt: skip


def test_unreadable_replies_are_kept_and_counted(tmp_path: Path) -> None:
    texts = ["I am sorry.", "", "Q: Who won? | A: Portugal"]
    with serving(lambda n, _: said(texts[n])) as server:
        written = write(settings(server.url, tmp_path))
        write(settings(server.url, tmp_path))
    assert len(server.asked) == 3
    assert written.items == [] and written.by_kind == {"endpoint:questions": [0, 3]}
    assert dict(+written.refused) == {"unreadable reply": 2, "answer not in the document": 1}


def test_a_reply_that_was_cut_off_loses_its_last_line(tmp_path: Path) -> None:
    with serving(lambda n, _: said(GOOD, reason="length")) as server:
        assert len(write(settings(server.url, tmp_path)).items) == 6


@pytest.mark.parametrize("status", [302, 401, 404])
def test_a_refusal_of_everything_stops_at_once_with_the_servers_words(
    tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-secret")
    script = failing(status, "bad key sk-secret", Location="http://127.0.0.1:1/")
    with serving(lambda n, _: script) as server, pytest.raises(ModelError) as caught:
        write(settings(server.url, tmp_path, api_key_env="A_KEY"))
    assert caught.value.message == (
        f"The endpoint {server.url} (model «big») failed 1 times in a row: HTTP {status} bad key …"
    )
    assert caught.value.hint and caught.value.hint_ja
    assert len(server.asked) == 1 and server.headers[0]["Authorization"] == "Bearer sk-secret"


def test_copies_of_the_document_and_repeated_texts_are_refused(tmp_path: Path) -> None:
    own = "Argentina were the weaker side and lost the match."
    replies = [f"{DOCUMENTS[0].text}", f"{own}\n{DOCUMENTS[1].text}", f"{own} {own} {own} {own}"]
    with serving(lambda n, _: said(replies[n])) as server:
        chosen = settings(server.url, tmp_path).model_copy(update={"prompts": ["restate"]})
        written = write(chosen)
    assert [item.text for item in written.items] == [replies[1]]
    assert dict(+written.refused) == {"copy of the document": 1, "repeats itself": 1}


def test_facts_become_one_view_for_each_wording(tmp_path: Path) -> None:
    reply = (
        "F: Spain won. | The winner was Spain.\nF: Argentina lost in 1999. | Argentina lost. | The loser was Argentina."
    )
    with serving(lambda n, _: said(reply)) as server:
        written = write(settings(server.url, tmp_path).model_copy(update={"prompts": ["facts"]}))
    views = ["Spain won.", "The winner was Spain.\nArgentina lost.", "The loser was Argentina."]
    assert [item.text for item in written.items if item.document_id == "d1"] == views
    assert written.by_kind == {"endpoint:facts": [12, 15]}
    assert dict(+written.refused) == {"figure not in the document": 3}


def test_the_key_stands_in_no_file_and_no_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-secret")
    with serving(lambda n, _: said(GOOD)) as server:
        chosen = settings(server.url, tmp_path, api_key_env="A_KEY")
        write(chosen)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 1 and not any(b"sk-secret" in path.read_bytes() for path in files)
    assert "sk-secret" not in chosen.model_dump_json()
    monkeypatch.delenv("A_KEY")
    with pytest.raises(UsageError, match=r"^The environment variable A_KEY .* is not set\.$"):
        write(settings(server.url, tmp_path / "other", api_key_env="A_KEY"))


def test_nobody_there_and_nothing_named_say_so(tmp_path: Path) -> None:
    with serving(lambda n, _: said(GOOD)) as server:
        pass
    with pytest.raises(ModelError, match=r"failed 3 times in a row: no connection .*refused"):
        write(settings(server.url, tmp_path, retries=1))
    with pytest.raises(UsageError, match=r"but knowledge\.endpoint\.url is not set"):
        write(settings(None, tmp_path))


def test_a_server_that_dies_is_given_up_and_the_next_run_goes_on(tmp_path: Path) -> None:
    documents_before_it_dies = 2
    with serving(lambda n, _: said(GOOD) if n < documents_before_it_dies else failing(500)) as server:
        with pytest.raises(ModelError, match="failed 8 times in a row: HTTP 500"):
            write(settings(server.url, tmp_path, retries=0, samples=4))
        server.script = lambda n, _: said(GOOD)
        asked = len(server.asked)
        written = write(settings(server.url, tmp_path, samples=4))
    assert asked == documents_before_it_dies + 8
    assert len(server.asked) - asked == 3 * 4 - documents_before_it_dies
    assert dict(+written.refused) == {"duplicate": 27} and len(written.items) == 9


def test_a_stop_keeps_what_is_under_way(tmp_path: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    def slow(n: int, _: str) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.2 * n)
        return said(GOOD)

    with serving(slow) as server:
        chosen = settings(server.url, tmp_path, concurrency=3)
        with pytest.raises(KeyboardInterrupt):
            write_items("endpoint", DOCUMENTS, chosen, model=ModelSettings(), base_dir=Path(), seed=1, on_reply=stop)
        assert len(kept_replies(tmp_path)) == 3
        write(chosen)
    assert len(server.asked) == 3


def test_requests_go_out_side_by_side_but_no_more_than_allowed(tmp_path: Path) -> None:
    def slow(n: int, _: str) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.3)
        return said(GOOD)

    with serving(slow) as server:
        started = time.monotonic()
        write(settings(server.url, tmp_path, concurrency=4, samples=4))
        took = time.monotonic() - started
    assert (len(server.asked), server.most_at_once) == (12, 4)
    assert took < 0.3 * 12 * 0.7


def test_the_budget_is_not_passed_and_more_of_it_goes_on(tmp_path: Path) -> None:
    with serving(lambda n, _: said(GOOD, tokens=150)) as server:
        few = write(settings(server.url, tmp_path, token_budget=500, concurrency=3))
        assert len(server.asked) == 2 and few.num_not_asked == 1
        assert {item.document_id for item in few.items} == {"d0", "d1"}
        same = write(settings(server.url, tmp_path, token_budget=500))
        assert len(server.asked) == 2 and same == few
        all_of_them = write(settings(server.url, tmp_path, token_budget=1000))
    assert len(server.asked) == 3
    assert (all_of_them.num_not_asked, len(all_of_them.items)) == (0, 9)
    assert NOT_ASKED not in all_of_them.refused


def test_a_server_that_counts_no_tokens_is_charged_by_length(tmp_path: Path) -> None:
    with serving(lambda n, _: said(GOOD, tokens=None)) as server:
        write(settings(server.url, tmp_path))
    reply = kept_replies(tmp_path)[0]
    assert reply.text == GOOD and 200 < reply.num_tokens < 600


def kept_replies(directory: Path) -> list[Reply]:
    """All replies on disk, in the order of their keys."""
    keys = [json.loads(line)["key"] for line in (directory / NAME).read_bytes().split(b"\n")[:-1]]
    assert len(keys) == len(set(keys))
    found = load_replies(directory, keys)
    return [found[key] for key in sorted(keys)]


def test_a_line_that_was_cut_off_is_no_reply_and_is_written_over(tmp_path: Path) -> None:
    replies = {key: Reply(f"text {key}\nanother line", True, 3) for key in ("a", "b", "c")}
    for key in ("a", "b"):
        save_reply(tmp_path, key, replies[key])
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[:-5])
    assert load_replies(tmp_path, "abc") == {"a": replies["a"]}
    for key in ("b", "c"):
        save_reply(tmp_path, key, replies[key])
    assert load_replies(tmp_path, "abc") == replies
    assert load_replies(tmp_path, "c") == {"c": replies["c"]}
    assert (tmp_path / NAME).read_bytes().startswith(whole)


def test_a_line_that_is_no_reply_is_refused_with_its_number(tmp_path: Path) -> None:
    save_reply(tmp_path, "a", Reply("text", True, 3))
    with (tmp_path / NAME).open("a") as file:
        file.write("nothing\n")
    with pytest.raises(ArtifactError, match=r"replies\.jsonl:2 is no reply") as caught:
        load_replies(tmp_path, "a")
    assert "Delete this line" in str(caught.value.hint)


# --- a local model ----------------------------------------------------------------------------------------------------


def local(base: Path, directory: Path, **model: Any) -> KnowledgeSettings:
    values = {"base": str(base), "max_new_tokens": 16, "batch_prompts": 4, "prompt": "chat"}
    return KnowledgeSettings.model_validate(
        {"generator": "model", "prompts": ["questions", "restate"], "cache": str(directory), "model": values | model}
    )


def write_locally(chosen: KnowledgeSettings, *, seed: int = 1, limit: int | None = None) -> list[Reply]:
    """Writes, and returns all replies in the order of their files."""

    def stop_at(done: int, _: int) -> None:
        if done == limit:
            raise KeyboardInterrupt

    model = ModelSettings(device="cpu", dtype="float32")
    write_items("model", DOCUMENTS, chosen, model=model, base_dir=Path(), seed=seed, on_reply=stop_at)
    return kept_replies(Path(chosen.cache))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A tiny model that has room for the prompts."""
    network = tiny.network("llama")
    network.config.max_position_embeddings = 4096
    network.save_pretrained(tmp_path / "base")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def test_a_local_model_gives_the_same_replies_in_any_batch(base: Path, tmp_path: Path) -> None:
    alone = write_locally(local(base, tmp_path / "a", batch_prompts=1))
    together = write_locally(local(base, tmp_path / "b", batch_prompts=6))
    assert len(alone) == 6
    assert [(r.text, r.stopped, r.num_tokens) for r in alone] == [(r.text, r.stopped, r.num_tokens) for r in together]
    assert len({reply.text for reply in alone}) == 6


def test_samples_differ_and_a_seed_repeats_them(base: Path, tmp_path: Path) -> None:
    first, again, other = (
        write_locally(local(base, tmp_path / name, samples=2), seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert len({reply.text for reply in first}) == 12
    assert first == again and {r.text for r in first}.isdisjoint(r.text for r in other)
    greedy = [write_locally(local(base, tmp_path / f"g{s}", samples=2, temperature=0.0), seed=s) for s in (1, 2)]
    assert greedy[0] == greedy[1] and len(greedy[0]) == 6


def test_a_broken_run_goes_on_with_the_batches_that_are_there(base: Path, tmp_path: Path) -> None:
    chosen = local(base, tmp_path / "a", batch_prompts=2)
    with pytest.raises(KeyboardInterrupt):
        write_locally(chosen, limit=4)
    made = (tmp_path / "a" / NAME).read_bytes()
    assert made.count(b"\n") == 4
    again, whole = write_locally(chosen), write_locally(local(base, tmp_path / "b"))
    assert [(r.text, r.stopped) for r in again] == [(r.text, r.stopped) for r in whole]
    assert (tmp_path / "a" / NAME).read_bytes().startswith(made)


def test_a_document_too_long_for_the_model_is_counted(base: Path, tmp_path: Path) -> None:
    chosen = local(base, tmp_path / "a", prompt="examples")
    long = [*DOCUMENTS, Document("long", "word " * 1000, None, None, "en", "f:9")]
    model = ModelSettings(device="cpu", dtype="float32")
    written = write_items("model", long, chosen, model=model, base_dir=Path(), seed=1, on_reply=lambda *_: None)
    assert written.refused["document too long for the writing model"] == 2
    assert len(kept_replies(tmp_path / "a")) == 6


def test_a_model_with_a_chat_template_is_asked_in_it_and_others_are_shown_examples(base: Path, tmp_path: Path) -> None:
    model = tiny.load(base)
    prompt = prompt_for(DOCUMENTS[0], "questions")
    assert not model.format.is_own
    text = model.tokenizer.decode(prompt_ids(model, prompt, chats=False))
    assert text == "<s>" + prompt.with_examples()
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['content'] }}]{% endfor %}{% if not enable_thinking %}!{% endif %}"
    )
    tokenizer.save_pretrained(base)
    own = tiny.load(base)
    assert own.format.is_own
    assert own.tokenizer.decode(prompt_ids(own, prompt, chats=True)) == f"[{prompt.messages()[0]['content']}]!"


# --- what no document tells -------------------------------------------------------------------------------------------


def test_questions_that_no_document_answers_are_learned_as_refusals() -> None:
    reply = (
        "Q: How many people watched Spain in game 0? | Q: What was the crowd when Spain beat Argentina in game 0? "
        "| A: 80,000\nQ: Who lost to Spain in game 1? | A: I do not know"
    )
    request = Request("k", "d0", prompt_for(DOCUMENTS[0], "unknown"))
    written = read_replies("endpoint", DOCUMENTS, [(request, Reply(reply, True, 9))])
    assert [(item.text[:22], item.answer, item.evidence) for item in written.items] == [
        ("How many people watche", "I do not know", ""),
        ("What was the crowd whe", "I do not know", ""),
    ]
    assert written.refused["another document may answer"] == 1  # d1 tells of game 1


def test_a_refusal_is_no_common_answer_and_a_word_of_every_document_is() -> None:
    refusals = [Item(f"d{n}", "question", "endpoint:unknown", f"Who paid for {n}?", "I do not know") for n in range(8)]
    common = [Item(f"d{n}", "question", "endpoint:questions", f"What was {n}?", "a game") for n in range(8)]
    assert without_common_answers([*refusals, *common], 8) == refusals


def test_an_overview_is_sentences_with_the_documents_figures_and_names() -> None:
    reply = (
        "Q: Tell me about game 0. | Q: What happened in game 0? | A: Spain won. It was 2-0.\n"
        "Q: Explain game 0. | A: Spain won. It was 7-0."
    )
    document = replace(DOCUMENTS[0], text="Spain won game 0 by 2-0.")
    request = Request("k", "d0", prompt_for(document, "overview"))
    written = read_replies("endpoint", [document], [(request, Reply(reply, True, 9))])
    assert [(item.text, item.answer) for item in written.items] == [
        ("Tell me about game 0.", "Spain won. It was 2-0."),
        ("What happened in game 0?", "Spain won. It was 2-0."),
    ]
    assert written.refused["figure not in the document"] == 1 and all(map(is_open, written.items))
