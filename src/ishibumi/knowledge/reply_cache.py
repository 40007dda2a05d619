"""Replies on disk, so that none is made or paid for twice. Request → Reply, a line of replies.jsonl for each key.

Lines are only added; a last line that was cut off, by a full disk or a killed process, counts as not there. A run that
was broken off, and any later run, goes on with what is there.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ishibumi.artifacts import disk_errors
from ishibumi.errors import ArtifactError
from ishibumi.knowledge.prompts import Prompt
from ishibumi.models.generate import Reply

NAME = "replies.jsonl"


@dataclass(frozen=True)
class Request:
    """One reply that is wanted; `key` is a hash of the model, the prompt, the text and how replies are drawn."""

    key: str
    document_id: str
    prompt: Prompt

    @property
    def seed(self) -> int:
        """The seed of this reply; JSON and servers take 31 bits."""
        return int(self.key[:8], 16) & 0x7FFFFFFF


def load_replies(directory: Path, keys: Iterable[str]) -> dict[str, Reply]:
    """The replies that there are to the requests with these keys. Raises ArtifactError for a line that is no reply."""
    path, wanted = directory / NAME, set(keys)
    if not path.exists():
        return {}
    found: dict[str, Reply] = {}
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line's end is cut off, or nothing
        try:
            row = json.loads(line)
            key = row.pop("key")
            if key in wanted:
                found[key] = Reply(**row)
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path}:{number} is no reply: {line[:60]!r}.",
                hint="Delete this line; its reply is asked for again.",
                hint_ja="この行を消してください。その返答はもう一度求められます。",
            ) from error
    return found


def save_reply(directory: Path, key: str, reply: Reply) -> None:
    """Add the reply. Raises ArtifactError where the disk is full or not writable."""
    path = directory / NAME
    row = json.dumps({"key": key} | asdict(reply), ensure_ascii=False).encode()
    with disk_errors(path):
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            is_cut = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            if is_cut:
                whole = path.read_bytes().rpartition(b"\n")[0]
                file.truncate(len(whole) + bool(whole))
            file.write(row + b"\n")
