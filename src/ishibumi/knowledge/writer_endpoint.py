"""An OpenAI-compatible server that writes. [Request] → replies, several at a time.

The address in the settings is the only one that is contacted: no proxy of the environment, no redirection. All counting
is done in the calling thread; the others send one request each and wait.
"""

import contextlib
import email.utils
import http.client
import json
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from ishibumi.errors import ModelError, UsageError
from ishibumi.knowledge.reply_cache import Request
from ishibumi.knowledge.writer_model import Keep
from ishibumi.models.generate import Reply
from ishibumi.settings import EndpointSettings

FIRST_WAIT_SECONDS = 1.0  # doubles with each try
LONGEST_WAIT_SECONDS = 300.0
MAX_FAILED_IN_A_ROW = 8
NOT_ASKED = "not asked: the token budget is spent"
TRY_AGAIN = (408, 409, 425, 429)  # and 5xx
HOPELESS = (301, 302, 303, 307, 308, 401, 402, 403, 404)  # the same for every request


@dataclass(frozen=True)
class _Failed:
    """Why a request got no reply; a hopeless one ends the stage."""

    reason: str
    said: str = ""
    is_hopeless: bool = False


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> None:
        """Nowhere: the documents and the key go to the named address only."""


def check_endpoint(settings: EndpointSettings) -> str:
    """The API key, or "" if none is wanted. Raises UsageError where url, model or the key is missing."""
    missing = [f"knowledge.endpoint.{name}" for name in ("url", "model") if not getattr(settings, name)]
    if missing:
        raise UsageError(
            f'knowledge.generator names "endpoint", but {" and ".join(missing)} is not set.',
            hint='Under [knowledge.endpoint] set url = "http://127.0.0.1:8000/v1" and model = "NAME".',
            hint_ja='[knowledge.endpoint] に url = "http://127.0.0.1:8000/v1" と model = "名前" を書いてください。',
        )
    if settings.api_key_env and not os.environ.get(settings.api_key_env):
        raise UsageError(
            f"The environment variable {settings.api_key_env} (knowledge.endpoint.api_key_env) is not set.",
            hint=f"export {settings.api_key_env}=… and run the same command.",
            hint_ja=f"export {settings.api_key_env}=… としてから、同じコマンドを実行してください。",
        )
    return os.environ[settings.api_key_env] if settings.api_key_env else ""


def ask_endpoint(requests: Sequence[Request], settings: EndpointSettings, *, spent: int, keep: Keep) -> Counter[str]:
    """Give each reply to `keep` as it comes; returns how many requests got none, by reason.

    `spent` is how many tokens of the budget are used already. Raises ModelError if the server refuses every request or
    fails MAX_FAILED_IN_A_ROW times on end; replies under way are kept even then, and after a Ctrl-C.
    """
    server = _Server(settings, check_endpoint(settings))
    waiting, running = list(reversed(requests)), dict[Future[Reply | _Failed], tuple[Request, int]]()
    unanswered: Counter[str] = Counter()
    in_a_row = num_replies = 0

    def settle(future: Future[Reply | _Failed]) -> _Failed | None:
        nonlocal spent, num_replies
        request, _ = running.pop(future)
        reply = future.result()
        if isinstance(reply, _Failed):
            return reply
        spent += reply.num_tokens
        num_replies += 1
        keep(request, reply)
        return None

    with ThreadPoolExecutor(settings.concurrency) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < settings.concurrency:
                    cost = _most_tokens(waiting[-1], settings)
                    reserved = sum(tokens for _, tokens in running.values())
                    if settings.token_budget and spent + reserved + cost > settings.token_budget:
                        if running:
                            break  # it may cost less than was set aside for it
                        unanswered[NOT_ASKED] = len(waiting)
                        return unanswered
                    request = waiting.pop()
                    running[pool.submit(server.reply, request)] = (request, cost)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    failed = settle(future)
                    in_a_row = in_a_row + 1 if failed else 0
                    unanswered += Counter([f"no reply from the endpoint: {failed.reason}"] if failed else [])
                    if failed and (failed.is_hopeless or in_a_row >= MAX_FAILED_IN_A_ROW):
                        raise _gives_up(settings, failed, in_a_row)
                    if failed and not (num_replies or waiting or running):
                        raise _gives_up(settings, failed, in_a_row)
        finally:
            server.stop.set()
            for future in list(running):
                settle(future)
    return unanswered


def _most_tokens(request: Request, settings: EndpointSettings) -> int:
    """What a request may cost: its prompt and the longest reply."""
    return _num_tokens(json.dumps(request.prompt.messages(), ensure_ascii=False)) + settings.max_new_tokens


def _num_tokens(text: str) -> int:
    """About how many tokens a text has where nobody says: one for three bytes, which is one Japanese character."""
    return len(text.encode()) // 3


def _gives_up(settings: EndpointSettings, failed: _Failed, in_a_row: int) -> ModelError:
    return ModelError(
        f"The endpoint {settings.url} (model «{settings.model}») failed {in_a_row} times in a row: "
        f"{failed.reason} {failed.said}".rstrip(),
        hint="Check the server and [knowledge.endpoint]. Replies that came are kept; the same command goes on.",
        hint_ja="サーバーと [knowledge.endpoint] を確かめ、同じコマンドを実行してください。届いた返答は残っています。",
    )


class _Server:
    """Sends requests to one address; `stop` ends the waiting between tries."""

    def __init__(self, settings: EndpointSettings, key: str) -> None:
        self._settings = settings
        self._key = key
        self._url = (settings.url or "").rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirection)
        self.stop = threading.Event()

    def reply(self, request: Request) -> Reply | _Failed:
        """The reply, after as many tries as the settings allow."""
        failed = _Failed("stopped")
        for attempt in range(self._settings.retries + 1):
            pause = 0.0
            try:
                return self._try(request)
            except urllib.error.HTTPError as error:
                failed = _Failed(f"HTTP {error.code}", self._said(error), error.code in HOPELESS)
                if error.code < 500 and error.code not in TRY_AGAIN:
                    return failed
                pause = _asked_pause(error.headers.get("Retry-After", ""))
            except (OSError, http.client.HTTPException) as error:  # refused, reset, timed out, broken off
                failed = _Failed("no connection", f"{type(error).__name__}: {error}")
            except (ValueError, LookupError, TypeError, AttributeError):
                failed = _Failed("a reply that is no chat completion")
            pause = max(pause, FIRST_WAIT_SECONDS * 2**attempt * random.uniform(0.75, 1.25))
            if attempt == self._settings.retries or self.stop.wait(min(pause, LONGEST_WAIT_SECONDS)):
                break
        return failed

    def _try(self, request: Request) -> Reply:
        settings = self._settings
        body = {
            "model": settings.model,
            "messages": request.prompt.messages(),
            "max_tokens": settings.max_new_tokens,
            "temperature": settings.temperature,
            "seed": request.seed,
        }
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {})
        sent = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        with self._opener.open(sent, timeout=settings.timeout_seconds) as response:
            values: Any = json.loads(response.read())
        choice = values["choices"][0]
        usage = values.get("usage") or {}
        text = str(choice["message"]["content"] or "")
        tokens = int(usage.get("total_tokens") or _num_tokens(json.dumps(body, ensure_ascii=False) + text))
        return Reply(text, choice.get("finish_reason") != "length", tokens)

    def _said(self, error: urllib.error.HTTPError) -> str:
        """The beginning of what the server said, without the key if it repeats it."""
        said = ""
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            said = error.read(2000).decode(errors="replace")
        return (said.replace(self._key, "…") if self._key else said)[:200].strip()


def _asked_pause(retry_after: str) -> float:
    """The seconds of a Retry-After header, which has seconds or a date; 0 if it has neither."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
