"""Chat in the terminal: the finished model answers, streamed; the base and a search can be asked the same again."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ishibumi.config import Run
from ishibumi.corpus.documents import Document
from ishibumi.exam.retrieval import index_documents
from ishibumi.knowledge.citation import split_citation, title_of
from ishibumi.models.load import LoadedModel
from ishibumi.settings import Arm
from ishibumi.use.serve_models import Models, load_engraved, network_of, stop_texts, with_base
from ishibumi.use.serve_reply import Token, Wish
from ishibumi.use.serve_rows import stream
from ishibumi.use.show import list_documents
from ishibumi.use.trust import sentence, trust_in

MAX_REPLY_TOKENS = 256
NUM_NEAREST = 3
ASK_AGAIN: dict[str, Arm] = {"/base": "base", "/retrieval": "retrieval"}
GREETING = (
    "質問をどうぞ。/base 元のモデルに、/retrieval 検索つきで同じ質問をもう一度、/why 近い文書、"
    "/new 新しい会話、/quit か Ctrl-D で終わり。\n"
    "Ask away. /base and /retrieval ask the same again of the base model, without and with a search; /why lists the "
    "nearest documents,\n/new starts a new conversation, /quit or Ctrl-D ends.\n"
)
DIM, BOLD, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_CITED = re.compile(r"\s*(【[^】]*】)\s*(«[^»]*(?:»|$))?\s*")


def chat(run: Run, *, lines: Iterable[str] | None = None, write: Callable[[str], None] | None = None) -> None:
    """Answer line after line until the input ends; `lines` and `write` stand for the terminal.

    Replies go to stdout, the greeting and the prompt sign to stderr. How far a reply of the finished model can be
    trusted stands under it on a terminal; where stdout is a pipe it goes to stderr. Raises ArtifactError before a run
    is finished.
    """
    talk = Talk(run, write)
    sys.stderr.write(GREETING)
    for line in lines if lines is not None else _typed():
        typed = line.strip()
        if typed == "/quit":
            break
        if typed == "/new":
            talk.messages = []
        elif typed == "/why":
            talk.tell_nearest()
        elif typed in ASK_AGAIN:
            talk.ask_again(ASK_AGAIN[typed])
        elif re.fullmatch(r"/[a-z]+", typed):  # /help, or misspelt: no question for the model
            sys.stderr.write(GREETING)
        elif typed:
            talk.ask(typed)


class Talk:
    """A conversation with the finished model; the base is loaded when it is first asked."""

    def __init__(self, run: Run, write: Callable[[str], None] | None) -> None:
        self._run = run
        self._engraved = load_engraved(run)
        self._documents = list_documents(run)
        self._models: Models | None = None
        self._write = write or _to_stdout
        # On a terminal source, quotation and answer have a line each; a pipe gets the reply as it is.
        self._is_laid_out = write is None and sys.stdout.isatty()
        self.messages: list[dict[str, str]] = []

    def ask(self, question: str) -> None:
        """Ask the finished model, which sees what was said before."""
        self.messages = fitting(self._engraved, [*self.messages, {"role": "user", "content": question}])
        reply = self._say("engraved", self._engraved, self._engraved.format.prompt_ids(self.messages))
        self.messages.append({"role": "assistant", "content": reply})

    def ask_again(self, arm: Arm) -> None:
        """Put the last question to another model."""
        if len(self.messages) < 2:
            return
        self._models = self._models or with_base(self._run, self._engraved)
        prompt_ids = self._models.prompt_ids(arm, self.messages[-2:-1])
        self._say(arm, self._models.networks[network_of(arm)], prompt_ids)

    def tell_nearest(self) -> None:
        """List the documents nearest to the last question and its answer, with date; the one that was cited first."""
        if len(self.messages) < 2:
            return
        question, reply = (message["content"] for message in self.messages[-2:])
        source, quoted, answer = split_citation(reply)
        nearest = index_documents(self._documents).retrieve(f"{question} {quoted} {answer}", NUM_NEAREST)
        cited = [document for document in self._documents if title_of(document) == source]
        for document in [*cited, *(document for document in nearest if document not in cited)]:
            mark = "【】" if document in cited else "    "
            date = str(document.date or "-")
            self._write(f"{mark}{date:<10}  {title_of(document)}  ({document.id})\n")

    def _say(self, arm: Arm, model: LoadedModel, prompt_ids: list[int]) -> str:
        reply, shown = "", ""
        tokens: list[Token] = []
        num_logprobs = 0 if arm == "engraved" else None
        wish = Wish(prompt_ids, MAX_REPLY_TOKENS, stop_texts=stop_texts(arm), num_logprobs=num_logprobs)
        try:
            for piece in stream(model, wish):
                reply += piece.text
                tokens += piece.tokens
                now = laid_out(reply, self._documents, has_colour()) if self._is_laid_out else reply
                self._write(now[len(shown) :])
                shown = now
        except KeyboardInterrupt:  # enough of this reply, not of the conversation
            tokens = []  # the exam's replies were whole
        self._write((PLAIN if self._is_laid_out and has_colour() else "") + "\n")
        self._tell_trust(tokens)
        return reply

    def _tell_trust(self, tokens: Sequence[Token]) -> None:
        trust = trust_in(self._run, tokens)
        line = sentence(trust, self._run.settings.report.language) if trust else ""
        if line and self._is_laid_out:
            self._write(f"{DIM}{line}{PLAIN}\n" if has_colour() else f"{line}\n")
        elif line:
            sys.stderr.write(f"{line}\n")


def laid_out(reply: str, documents: Sequence[Document], colour: bool) -> str:
    """A reply for a terminal, as far as it has come: its source with date, the quoted sentence, then the answer.

    A longer reply only adds to the end.

        【スペインが世界一】  2026-07-19
        «スペインが1―0で勝った。»
        1―0
    """
    faint, strong, plain = (DIM, BOLD, PLAIN) if colour else ("", "", "")
    match = _CITED.match(reply)
    if not match:
        begun = reply.lstrip()
        return (faint if begun.startswith("【") else "") + begun
    title, quoted = match[1], match[2] or ""
    dates = (f"  {d.date}" for d in documents if d.date and title_of(d) == title[1:-1].strip())
    head = f"{faint}{title}{next(dates, '')}\n{quoted}"
    if quoted and not quoted.endswith("»"):
        return head
    answer = reply[match.end() :]
    end = f"{plain}\n" if quoted else plain
    return f"{head}{end}{strong}{answer}" if answer else head


def fitting(model: LoadedModel, messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The latest messages that leave room for a reply in the model's window; the last one always stays."""
    config: Any = model.network.config
    window = int(config.get_text_config().max_position_embeddings)
    while len(messages) > 2 and len(model.format.prompt_ids(messages)) > window - MAX_REPLY_TOKENS:
        messages = messages[2:]
    return messages


def has_colour() -> bool:
    """Whether the terminal may be sent more than plain text."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def history_file() -> Path:
    """Where typed lines are kept between chats (XDG_STATE_HOME/ishibumi)."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "ishibumi" / "chat_history"


def _to_stdout(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def _typed() -> Iterator[str]:
    if sys.stdin.isatty() and sys.stdout.isatty():
        yield from _typed_with_history()
        return
    while True:
        sys.stderr.write("> ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            return
        yield line


def _typed_with_history() -> Iterator[str]:
    """Lines with arrow keys and the lines of earlier chats; the file is for its owner alone."""
    import readline

    path = history_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    readline.read_history_file(path)
    readline.set_history_length(1000)
    while True:
        try:
            line = input("> ")
        except EOFError:
            sys.stderr.write("\n")
            return
        readline.write_history_file(path)
        yield line
