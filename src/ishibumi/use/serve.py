"""The server: a run's models behind OpenAI's protocol, and one page. Run → http://127.0.0.1:8000/"""

import asyncio
import contextlib
import mimetypes
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from importlib import resources

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.gzip import GZipMiddleware

from ishibumi import __version__, artifacts
from ishibumi.config import Run
from ishibumi.errors import UsageError
from ishibumi.use.serve_engine import Engine, Limits
from ishibumi.use.serve_guard import Guard, check_address, problem
from ishibumi.use.serve_models import load_models
from ishibumi.use.serve_openai import Asking, openai_routes
from ishibumi.use.serve_run import Questions, run_routes
from ishibumi.use.trust import trust_in

SECONDS_TO_FINISH = 60  # for replies under way when the server is asked to stop
COMPRESSED_FROM = 1024  # bytes of a reply: an exam is 200 kB of text that says much twice
Tell = Callable[[bool], None]


def serve(
    run: Run, questions: Questions, *, host: str, port: int, key: str | None, tell: Callable[[str, bool], None]
) -> None:
    """Serve until the process is asked to stop; then what runs is finished.

    `tell(address, finished)` is called once requests are answered; `finished` is whether there are models to ask.
    Raises UsageError for an address that is taken, or that others can reach while there is no key.
    """
    check_address(host, key)
    listening = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listening.getsockname()[1]}/"
    app = build_app(run, questions, key=key, limits=Limits(), tell=lambda finished: tell(address, finished))
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_FINISH,
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket whose connections send at once. Raises UsageError for an address that is taken."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=2048)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for the client
        return listening
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host} port {port}: {error.strerror or error}.",
            hint="Name another port, such as --port 8001; --port 0 takes a free one.",
            hint_ja="--port 8001 のように別のポートを指定してください。--port 0 なら空いているポートを使います。",
        ) from None


class _Loader:
    """Loads models and engine when the run is finished: at the start, or when somebody first asks."""

    def __init__(self, run: Run, limits: Limits) -> None:
        self._run, self._limits = run, limits
        self._loading = asyncio.Lock()
        self.loaded: Asking | None = None

    async def ready(self) -> Asking:
        """Models and engine. Raises HTTPException where the run has no finished model yet."""
        async with self._loading:
            if not self.loaded:
                if not (self._run.run_dir / "sft" / artifacts.MANIFEST).exists():
                    message = "This run has no finished model yet; its training can be followed on the page."
                    raise HTTPException(409, problem(message, code="run_not_finished"))
                models = await asyncio.to_thread(load_models, self._run)
                engine = Engine({str(name): model for name, model in models.networks.items()}, self._limits)
                self.loaded = Asking(models, engine, partial(trust_in, self._run))
        return self.loaded


def build_app(run: Run, questions: Questions, *, key: str | None, limits: Limits, tell: Tell) -> FastAPI:
    """The whole application, as uvicorn runs it."""
    loader = _Loader(run, limits)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with contextlib.suppress(HTTPException):  # not finished: the page shows the training
            await loader.ready()
        tell(loader.loaded is not None)
        yield
        if loader.loaded:
            loader.loaded.engine.stop()

    app = FastAPI(title="ishibumi", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM)  # streams stay as they are
    app.add_middleware(Guard, key=key, limits=limits)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _failed)
    app.include_router(openai_routes(loader.ready, limits))
    app.include_router(run_routes(run, questions))
    _add_page(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Whether there are models to ask."""
        return {"status": "ok" if loader.loaded else "not finished"}

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> str:
        """Counters for Prometheus."""
        return metrics_text(loader.loaded.engine) if loader.loaded else ""

    return app


def metrics_text(engine: Engine) -> str:
    """The engine's counts in Prometheus' text format."""
    counts = engine.counts
    rows = [
        ("replies_total", "counter", "Replies that came to their end.", counts.replies),
        ("refused_total", "counter", "Replies refused because the queue was full.", counts.refused),
        ("abandoned_total", "counter", "Replies whose client left.", counts.abandoned),
        ("prompt_tokens_total", "counter", "Tokens of prompts read.", counts.prompt_tokens),
        ("reply_tokens_total", "counter", "Tokens written.", counts.reply_tokens),
        ("running", "gauge", "Replies being made.", engine.num_running),
        ("waiting", "gauge", "Replies not yet begun.", engine.num_waiting),
    ]
    return "".join(
        f"# HELP ishibumi_{name} {what}\n# TYPE ishibumi_{name} {kind}\nishibumi_{name} {value}\n"
        for name, kind, what, value in rows
    )


def _add_page(app: FastAPI) -> None:
    """The page's files, read once: what a path may name is in this table and nowhere else."""
    folder = resources.files("ishibumi.use") / "page"
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}

    def sent(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, problem("The page has no such file.", code="not_found"))
        return Response(files[name], media_type=mimetypes.guess_type(name)[0])

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return sent("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    def page_file(name: str) -> Response:
        return sent(name)


async def _invalid(_: Request, error: Exception) -> Response:
    """What is wrong with a body, in one sentence; what was sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])[:200].encode("utf-8", "replace").decode()
    return JSONResponse(problem(f"{place or 'body'}: {first['msg']}", code="invalid_value", param=place or None), 400)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)
    known = error.detail if isinstance(error.detail, dict) else problem(str(error.detail), code="http_error")
    return JSONResponse(known, error.status_code, error.headers)
