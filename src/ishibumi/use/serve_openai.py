"""OpenAI's protocol: /v1/models, /v1/chat/completions, /v1/completions. Request → wishes → engine → reply."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from jinja2 import TemplateError

from ishibumi.errors import IshibumiError
from ishibumi.exam.forgetting import text_ids
from ishibumi.settings import Arm
from ishibumi.use.serve_engine import Busy, Engine, Limits
from ishibumi.use.serve_guard import problem
from ishibumi.use.serve_models import MODELS, Models, network_of, stop_texts
from ishibumi.use.serve_reply import Piece, Reply, Token, Wish
from ishibumi.use.serve_types import Asked, ChatReply, ChatRequest, CompletionRequest, ProblemReply, TrustReply
from ishibumi.use.trust import Trust

DEFAULT_TOKENS = 256
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemReply, "description": what}
    for status, what in {
        400: "the request is malformed or too long for the model",
        401: "no or a wrong API key",
        403: "another host name",
        404: "no such model",
        408: "the body came too slowly",
        409: "the run is not finished",
        413: "the body is too long",
        429: "too many requests wait",
        503: "the server is being stopped",
    }.items()
}


TrustIn = Callable[[Sequence[Token]], Trust | None]


@dataclass(frozen=True)
class Asking:
    """What is there once the run is finished: the models, the engine that makes their replies, what these deserve."""

    models: Models
    engine: Engine
    trust_in: TrustIn


Ready = Callable[[], Awaitable[Asking]]


@dataclass(frozen=True)
class _Shape:
    """How one of the two endpoints writes its replies; `trust_in` is there where it tells how far to trust them."""

    id: str
    object: str
    model: str
    created: int
    trust_in: TrustIn | None = None

    def body(
        self,
        choices: list[dict[str, Any]],
        usage: dict[str, int] | None = None,
        *,
        part: str = "",
        tokens: Sequence[Token] = (),
    ) -> dict[str, Any]:
        """A whole reply, or a part of a stream; `tokens` are those of a reply that is whole now."""
        head = {"id": self.id, "object": self.object + part, "created": self.created, "model": self.model}
        trust = self.trust_in(tokens) if self.trust_in and tokens else None
        told = {"ishibumi": TrustReply(**asdict(trust)).model_dump()} if trust else {}
        return {**head, "choices": choices, **({"usage": usage} if usage else {}), **told}


def openai_routes(ready: Ready, limits: Limits) -> APIRouter:
    """The routes; `ready` gives what can be asked or raises HTTPException."""
    routes = APIRouter(prefix="/v1", responses=ERRORS)

    @routes.get("/models")
    async def list_models() -> dict[str, Any]:
        """The models that can be asked."""
        await ready()
        return {"object": "list", "data": [_model_row(arm) for arm in MODELS]}

    @routes.get("/models/{model}")
    async def one_model(model: str) -> dict[str, Any]:
        """One of them."""
        await ready()
        return _model_row(_arm(model))

    @routes.post("/chat/completions", response_model=None, responses={200: {"model": ChatReply}})
    async def chat(asked: ChatRequest, request: Request) -> Response:
        """The reply to a conversation."""
        arm, asking = _arm(asked.model), await ready()
        messages = [{"role": message.role, "content": message.text} for message in asked.messages]
        if messages[-1]["role"] != "user":
            raise _bad("The last message must be the user's.", "messages")
        ids = await asyncio.to_thread(_chat_ids, asking.models, arm, messages)
        max_tokens = asked.max_completion_tokens or asked.max_tokens
        trust_in = asking.trust_in if arm == "engraved" and not asked.temperature else None
        num_logprobs = 0 if trust_in else None
        wishes = _wishes(asked, [ids], max_tokens, stop_texts(arm), num_logprobs, _window(asking, arm, limits))
        shape = _Shape(f"chatcmpl-{secrets.token_hex(12)}", "chat.completion", arm, int(time.time()), trust_in)
        return await _answer(asked, request, asking, arm, wishes, shape)

    @routes.post("/completions", response_model=None)
    async def complete(asked: CompletionRequest, request: Request) -> Response:
        """What follows a text."""
        arm, asking = _arm(asked.model), await ready()
        if arm not in asking.models.networks:
            raise _bad(f"{arm} answers conversations only: ask /v1/chat/completions.", "model")
        model = asking.models.networks[network_of(arm)]
        prompts = await asyncio.to_thread(lambda: [text_ids(model, text) for text in asked.prompts])
        if not all(prompts):
            raise _bad("A prompt is empty, and this tokenizer has no token to begin with.", "prompt")
        wishes = _wishes(asked, prompts, asked.max_tokens, (), asked.logprobs, _window(asking, arm, limits))
        shape = _Shape(f"cmpl-{secrets.token_hex(12)}", "text_completion", arm, int(time.time()))
        return await _answer(asked, request, asking, arm, wishes, shape)

    return routes


def _model_row(arm: Arm) -> dict[str, Any]:
    return {"id": arm, "object": "model", "created": 0, "owned_by": "ishibumi"}


def _arm(name: str) -> Arm:
    for arm in MODELS:
        if arm == name:
            return arm
    raise HTTPException(
        404, problem(f"No model {name[:80]!r}. Models: {', '.join(MODELS)}.", code="model_not_found", param="model")
    )


def _bad(message: str, param: str, code: str = "invalid_value") -> HTTPException:
    return HTTPException(400, problem(message, code=code, param=param))


def _chat_ids(models: Models, arm: Arm, messages: list[dict[str, str]]) -> list[int]:
    try:
        return models.prompt_ids(arm, messages)
    except (IshibumiError, TemplateError) as error:  # a model's own template may refuse an order of roles
        raise _bad(str(error), "messages") from None


def _window(asking: Asking, arm: Arm, limits: Limits) -> int:
    config: Any = asking.models.networks[network_of(arm)].network.config
    return min(limits.context_tokens, int(config.get_text_config().max_position_embeddings))


def _wishes(
    asked: Asked,
    prompts: list[list[int]],
    max_tokens: int | None,
    own_stops: tuple[str, ...],
    num_logprobs: int | None,
    window: int,
) -> list[Wish]:
    """`n` wishes for each prompt; wish k of a prompt has the seed + k."""
    longest = max(map(len, prompts))
    room = window - longest
    if room < (max_tokens or 1):
        raise _bad(
            f"Prompt and reply may have {window:,} tokens together; these would have {longest + (max_tokens or 1):,}.",
            "max_tokens" if max_tokens and room > 0 else "messages",
            "context_length_exceeded",
        )
    seed = asked.seed if asked.seed is not None else secrets.randbelow(2**31)
    return [
        Wish(
            prompt_ids=ids,
            max_tokens=max_tokens or min(DEFAULT_TOKENS, room),
            temperature=asked.temperature or 0.0,
            top_p=asked.top_p or 1.0,
            seed=seed + k,
            stop_texts=(*own_stops, *asked.stops),
            num_logprobs=num_logprobs,
        )
        for ids in prompts
        for k in range(asked.n or 1)
    ]


async def _answer(
    asked: Asked, request: Request, asking: Asking, arm: Arm, wishes: list[Wish], shape: _Shape
) -> Response:
    """Queue the wishes and send what comes, as a stream or in one piece."""
    arriving: asyncio.Queue[tuple[int, Piece]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def arrived(number: int, piece: Piece) -> None:  # in the engine's thread
        loop.call_soon_threadsafe(arriving.put_nowait, (number, piece))

    try:
        replies = asking.engine.submit(network_of(arm), wishes, arrived)
    except Busy:
        busy = problem("Too many requests wait here; try again.", code="queue_full", kind="rate_limit_error")
        raise HTTPException(429, busy, headers={"retry-after": "1"}) from None
    pieces = _arriving(arriving, replies)
    tokenizer = asking.models.networks[network_of(arm)].tokenizer
    if asked.stream:
        wants_usage = asked.stream_options is not None and asked.stream_options.include_usage
        return StreamingResponse(
            _streamed(pieces, replies, shape, tokenizer, wants_usage), media_type="text/event-stream"
        )
    whole = asyncio.ensure_future(_gathered(pieces, replies, shape, tokenizer))
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({whole, gone}, return_when=asyncio.FIRST_COMPLETED)
        return whole.result() if whole.done() else Response(status_code=499)  # nobody reads it
    finally:
        for task in (whole, gone):
            task.cancel()
        for reply in replies:
            reply.is_wanted = False


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _arriving(
    arriving: asyncio.Queue[tuple[int, Piece]], replies: list[Reply]
) -> AsyncIterator[tuple[int, Piece]]:
    """The pieces as they come, until every reply has ended; who leaves early is not worked for any longer."""
    num_open = len(replies)
    try:
        while num_open:
            number, piece = await arriving.get()
            yield number, piece
            if piece.error:
                return
            num_open -= piece.finish is not None
    finally:
        for reply in replies:
            reply.is_wanted = False


async def _gathered(
    pieces: AsyncIterator[tuple[int, Piece]], replies: list[Reply], shape: _Shape, tokenizer: Any
) -> Response:
    texts, finishes = [""] * len(replies), [""] * len(replies)
    tokens: list[list[Token]] = [[] for _ in replies]
    async for number, piece in pieces:
        if piece.error:
            return JSONResponse(problem(piece.error, code="stopped", kind="server_error"), 503)
        texts[number] += piece.text
        tokens[number] += piece.tokens
        finishes[number] = piece.finish or ""
    choices: list[dict[str, Any]] = []
    for index, (text, finish) in enumerate(zip(texts, finishes, strict=True)):
        choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": None}
        if shape.object == "chat.completion":
            choice["message"] = {"role": "assistant", "content": text}
        else:
            choice |= {"text": text, "logprobs": _logprobs(tokenizer, tokens[index])}
        choices.append(choice)
    # Those of the first: whoever is told how far to trust a reply draws none, so n replies are the same.
    return JSONResponse(shape.body(choices, _usage(replies), tokens=tokens[0]))


async def _streamed(
    pieces: AsyncIterator[tuple[int, Piece]], replies: list[Reply], shape: _Shape, tokenizer: Any, wants_usage: bool
) -> AsyncIterator[str]:
    is_chat = shape.object == "chat.completion"
    part = ".chunk" if is_chat else ""
    tokens: list[list[Token]] = [[] for _ in replies]
    for index in range(len(replies) if is_chat else 0):
        first = {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        yield _event(shape.body([first], part=part))
    async for number, piece in pieces:
        if piece.error:
            yield _event(problem(piece.error, code="stopped", kind="server_error"))
            return
        tokens[number] += piece.tokens
        told = None if is_chat else _logprobs(tokenizer, piece.tokens)
        if piece.text or piece.finish or told:
            choice: dict[str, Any] = {"index": number, "finish_reason": piece.finish}
            choice |= {"delta": {"content": piece.text}} if is_chat else {"text": piece.text, "logprobs": told}
            yield _event(shape.body([choice], part=part, tokens=tokens[number] if piece.finish else ()))
    if wants_usage:
        yield _event(shape.body([], _usage(replies), part=part))
    yield "data: [DONE]\n\n"


def _event(value: Any) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _usage(replies: list[Reply]) -> dict[str, int]:
    prompt, reply = sum(len(r.wish.prompt_ids) for r in replies), sum(r.num_tokens for r in replies)
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def _logprobs(tokenizer: Any, tokens: list[Token] | tuple[Token, ...]) -> dict[str, Any] | None:
    """Each token with its log-probability and the likeliest others; nothing where none was asked for."""
    if not tokens or tokens[0].logprob is None:
        return None
    names = [str(tokenizer.decode([token.id])) for token in tokens]
    offsets = [len("".join(names[:n])) for n in range(len(names))]
    tops = [{str(tokenizer.decode([other])): value for other, value in token.top} for token in tokens]
    return {
        "tokens": names,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": tops,
        "text_offset": offsets,
    }
