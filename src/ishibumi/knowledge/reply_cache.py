"""Replies on disk, so that none is made or paid for twice. Request → Reply, a file for each key.

A file appears whole or not at all; a run that was broken off, and any later run, goes on with what is there.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ishibumi.artifacts import disk_errors
from ishibumi.knowledge.prompts import Prompt
from ishibumi.models.generate import Reply


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


def load_reply(directory: Path, key: str) -> Reply | None:
    """The reply to the request with this key, None if there is none yet."""
    try:
        return Reply(**json.loads(_path(directory, key).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def save_reply(directory: Path, key: str, reply: Reply) -> None:
    """Keep the reply. Raises ArtifactError where the disk is full or not writable."""
    path = _path(directory, key)
    temporary = path.with_suffix(f".{os.getpid()}")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(asdict(reply), ensure_ascii=False), encoding="utf-8")
        temporary.replace(path)


def _path(directory: Path, key: str) -> Path:
    return directory / key[:2] / f"{key}.json"
