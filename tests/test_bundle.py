"""The bundle for a machine without a network: what is in it, that damage is found, and that it installs there."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import tiny
from test_pipeline import NEWS, call, write_project

from ishibumi import config
from ishibumi.use.bundle import _compatible

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
BUNDLE = os.environ.get("ISHIBUMI_BUNDLE_TEST", "")


def write(tmp_path: Path) -> Path:
    """A tiny project with its base model."""
    (tmp_path / "project").mkdir()
    return write_project(tmp_path / "project", tiny.save("llama", tmp_path / "base"))


def unpacked(archive: Path, directory: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    (inside,) = directory.iterdir()
    return inside


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """An unpacked bundle of the tiny project; its packages are one file that stands for them."""
    path = write(tmp_path)
    assert call("corpus", path)[0] == 0
    (tmp_path / "project" / "generated").mkdir()
    (tmp_path / "project" / "generated" / "replies.jsonl").write_text("")
    (tmp_path / "base" / "pytorch_model.bin").write_bytes(b"a pickle")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "some-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    options = ["--wheels", tmp_path / "wheels", "--python", PYTHON]
    code, out, err = call("bundle", tmp_path / "b.tar", path, *options)
    assert (code, out) == (0, f"{tmp_path / 'b.tar'}\n"), err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar", "base", "project", "wheels"]
    return unpacked(tmp_path / "b.tar", tmp_path / "there")


def test_the_bundle_alone_is_enough_for_a_run(bundle_dir: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "project")
    shutil.rmtree(tmp_path / "base")
    names = sorted(p.name for p in bundle_dir.iterdir())
    assert names == ["SHA256SUMS", "base", "inputs", "install", "ishibumi.toml", "run", "wheels"]
    assert not (bundle_dir / "base" / "pytorch_model.bin").exists()
    settings = config.load(bundle_dir / "ishibumi.toml").settings
    assert (settings.model.base, settings.run_dir, settings.documents.paths) == ("base", "run", ["inputs/0/news.jsonl"])
    assert (bundle_dir / settings.knowledge.cache / "replies.jsonl").exists()
    assert settings.chat.sources[0].path.endswith("/chat.jsonl") and settings.cpt.rank == 4
    code, out, err = call("corpus", bundle_dir / "ishibumi.toml")
    assert (code, out) == (0, f"{bundle_dir / 'run'}\n"), err
    assert len((bundle_dir / "run" / "corpus" / "documents.jsonl").read_text().splitlines()) == len(NEWS)
    code, out, err = call("check", bundle_dir / "ishibumi.toml")
    assert code == 0 and f"base model: {bundle_dir / 'base'}" in out


@pytest.mark.parametrize(
    ("generator", "instruct", "wanted", "folders"),
    [
        ("model", None, (None, "writer"), ["base", "writer"]),
        ("rules", None, (None, None), ["base"]),  # nobody loads it: its name stays
        ("model", "base", ("base", "writer"), ["base", "writer"]),
        ("model", "writer", ("instruct", "instruct"), ["base", "instruct"]),
    ],
)
def test_the_model_that_writes_goes_along_where_it_is_needed_and_each_model_once(
    generator: str, instruct: str | None, wanted: tuple[str | None, str | None], folders: list[str], tmp_path: Path
) -> None:
    path, writer = write(tmp_path), tiny.save("qwen3", tmp_path / "writer")
    (tmp_path / "wheels").mkdir()
    flags = ["--set", f'knowledge.generator=["{generator}"]', "--set", f"knowledge.model.base={writer}"]
    flags += ["--set", f"model.instruct={tmp_path / instruct}"] if instruct else []
    code, _, err = call("bundle", tmp_path / "b.tar", path, "--wheels", tmp_path / "wheels", "--python", PYTHON, *flags)
    assert code == 0, err
    inside = unpacked(tmp_path / "b.tar", tmp_path / "there")
    assert sorted(d.name for d in inside.iterdir() if (d / "config.json").exists()) == folders
    settings = config.load(inside / "ishibumi.toml").settings
    assert (settings.model.instruct, settings.knowledge.model.base) == (wanted[0], wanted[1] or str(writer))
    assert call("check", inside / "ishibumi.toml")[0] == 0


def test_every_file_has_its_hash_and_a_damaged_one_stops_the_installation(bundle_dir: Path) -> None:
    lines = (bundle_dir / "SHA256SUMS").read_text().splitlines()
    hashes = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = sorted(p.relative_to(bundle_dir).as_posix() for p in bundle_dir.rglob("*") if p.is_file())
    assert sorted([*hashes, "SHA256SUMS"]) == files
    assert hashes["wheels/some-1.0-py3-none-any.whl"] == hashlib.sha256(b"a wheel").hexdigest()
    (bundle_dir / "base" / "config.json").write_text("{}")
    done = subprocess.run([bundle_dir / "install"], capture_output=True, text=True)
    assert done.returncode == 1 and "base/config.json" in done.stdout and "A file is damaged" in done.stderr
    assert not (bundle_dir / ".venv").exists()


def test_another_python_is_refused_before_anything_is_made(bundle_dir: Path) -> None:
    script = (bundle_dir / "install").read_text().replace(f"({PYTHON.replace('.', ', ')})", "(3, 1)")
    (bundle_dir / "install").write_text(script)
    (bundle_dir / "SHA256SUMS").write_text("")  # the script itself was changed
    sums = subprocess.run(["sha256sum", "ishibumi.toml"], cwd=bundle_dir, capture_output=True, text=True, check=True)
    (bundle_dir / "SHA256SUMS").write_text(sums.stdout)
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run([bundle_dir / "install"], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stderr == f"These packages are for Python {PYTHON}.\n"
    assert not (bundle_dir / ".venv").exists()


def test_missing_inputs_and_impossible_packages_leave_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "wheels").mkdir()
    code, _, err = call("bundle", tmp_path / "b.tar", path, "--python", "three")
    assert code == 2 and "--python three: not a version such as 3.11." in err
    (tmp_path / "project" / "replay.txt").unlink()
    code, _, err = call("bundle", tmp_path / "b.tar", path, "--wheels", tmp_path / "wheels")
    assert code == 1 and "replay.txt is named in the settings and is not there." in err
    assert not (tmp_path / "b.tar").exists()


def test_a_platform_takes_wheels_for_older_c_libraries() -> None:
    tags = _compatible("manylinux_2_17_aarch64")
    assert tags[0] == "manylinux_2_17_aarch64" and tags[-1] == "linux_aarch64"
    assert "manylinux_2_28_aarch64" not in tags and "manylinux2014_aarch64" in tags
    assert _compatible("win_amd64") == ["win_amd64"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not BUNDLE, reason="takes minutes and a package registry: ISHIBUMI_BUNDLE_TEST=1, or a bundle.tar")
def test_it_installs_and_trains_in_a_network_namespace_without_any_route(tmp_path: Path) -> None:
    archive = Path(BUNDLE)
    if not archive.is_file():
        archive = tmp_path / "bundle.tar"
        subprocess.run([sys.executable, "-m", "ishibumi", "bundle", archive, write(tmp_path)], check=True)
    inside = unpacked(archive, tmp_path / "there")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}

    def alone(*words: str | Path) -> str:
        command = ["unshare", "--net", *map(str, words)]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout

    devices = [line.split(":")[0].strip() for line in alone("cat", "/proc/net/dev").splitlines()[2:]]
    routes = alone("cat", "/proc/net/route").splitlines()[1:]
    assert (devices, routes) == (["lo"], [])
    assert "Installed." in alone(inside / "install")
    program = inside / ".venv" / "bin" / "ishibumi"
    assert alone(program, "run", inside / "ishibumi.toml") == f"{inside / 'run'}\n"
    assert (inside / "run" / "report" / "report.html").exists()
