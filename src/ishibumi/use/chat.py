"""Chat in the terminal: the finished model answers, streamed, in the user's language of the moment."""

import sys
from collections.abc import Callable, Iterable

from ishibumi.config import Run
from ishibumi.models.generate import stream_reply
from ishibumi.models.load import LoadedModel, load_finished

MAX_REPLY_TOKENS = 256
GREETING = (
    "質問をどうぞ。/new で新しい会話、/quit か Ctrl-D で終わります。\n"
    "Ask away. /new starts a new conversation, /quit or Ctrl-D ends.\n"
)


def chat(run: Run, *, lines: Iterable[str] | None = None, write: Callable[[str], None] | None = None) -> None:
    """Answer line after line until the input ends; `lines` and `write` stand for the terminal.

    Replies go to stdout, the greeting and the prompt sign to stderr. Raises ArtifactError before a run is finished.
    """
    model = load_finished(run.settings.model, run.run_dir)
    show = write or _to_stdout
    sys.stderr.write(GREETING)
    messages: list[dict[str, str]] = []
    for line in lines if lines is not None else _typed():
        question = line.strip()
        if question == "/quit":
            break
        if question == "/new":
            messages = []
        elif question:
            messages = fitting(model, [*messages, {"role": "user", "content": question}])
            reply = ""
            for piece in stream_reply(model, model.format.prompt_ids(messages), max_new_tokens=MAX_REPLY_TOKENS):
                reply += piece
                show(piece)
            show("\n")
            messages.append({"role": "assistant", "content": reply})


def fitting(model: LoadedModel, messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The latest messages that leave room for a reply in the model's window; the last one always stays."""
    window = int(getattr(model.network.config, "max_position_embeddings", 4096))
    while len(messages) > 2 and len(model.format.prompt_ids(messages)) > window - MAX_REPLY_TOKENS:
        messages = messages[2:]
    return messages


def _to_stdout(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def _typed() -> Iterable[str]:
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        yield line
