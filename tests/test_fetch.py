"""`ishibumi fetch` against a hub on this machine: what comes, what never comes, and what is refused."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORIES = {
    "owner/model": {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "tokenizer.json": b"{}",
        "pytorch_model.bin": b"a pickle",
        "training_args.pt": b"a pickle",
        "run.py": b"code",
    },
    "owner/pickle": {"config.json": b"{}", "pytorch_model.bin": b"a pickle"},
}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as listing and downloading need."""

    def do_GET(self) -> None:
        parts = self.path.split("?")[0].strip("/").split("/")
        repository = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        files = REPOSITORIES.get(repository)
        if files is None:
            self._reply(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        elif parts[0] == "api" and "tree" in parts:
            tree = [{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in files.items()]
            self._reply(200, json.dumps(tree).encode())
        elif parts[0] == "api":
            siblings = [{"rfilename": name} for name in files]
            self._reply(200, json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode())
        else:
            data = files["/".join(parts[4:])]
            self._reply(200, data, {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": COMMIT})

    do_HEAD = do_GET

    def _reply(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub with REPOSITORIES."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(hub: str, hub_id: str, directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    set_here = {
        "HF_ENDPOINT": hub,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(directory.parent / "home"),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        [sys.executable, "-m", "ishibumi", "fetch", hub_id, str(directory)],
        capture_output=True,
        text=True,
        env={**os.environ, **set_here, **environment},
    )


def test_weights_tokenizer_and_config_come_and_pickles_and_code_do_not(hub: str, tmp_path: Path) -> None:
    done = fetch(hub, "owner/model", tmp_path / "model")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'model'}\n")
    files = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir() if path.is_file()}
    assert files == {"config.json": b"{}", "model.safetensors": b"weights", "tokenizer.json": b"{}"}


def test_a_model_without_safetensors_is_refused_before_anything_is_written(hub: str, tmp_path: Path) -> None:
    done = fetch(hub, "owner/pickle", tmp_path / "model")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == (
        "ishibumi: owner/pickle has no weights in safetensors format, and ishibumi loads no pickle. "
        "Files: config.json, pytorch_model.bin."
    )
    assert not (tmp_path / "model").exists()


def test_a_model_that_is_not_there_and_an_offline_machine_are_told_apart(hub: str, tmp_path: Path) -> None:
    done = fetch(hub, "owner/nothing", tmp_path / "model")
    assert done.returncode == 1
    assert done.stderr.startswith("ishibumi: Cannot fetch owner/nothing: 404 Client Error.")
    offline = fetch(hub, "owner/model", tmp_path / "model", HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert "offline mode is enabled" in offline.stderr
    assert not (tmp_path / "model").exists()
