"""Paths as a user names them (files, folders, globs, archives, compressed files) → Sources, one by one.

An archive is read member by member as a stream. A member of a tar must be read before the next one is asked for.
"""

import bz2
import glob
import gzip
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from ishibumi.corpus.readers.source import NotRead, Source, bomb, guarded, metered, unreadable
from ishibumi.errors import InputError

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)
# What comes with a dataset from a hub and is no document.
HUB_FILES = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}
TABLE_SUFFIXES = (".parquet", ".arrow", ".jsonl", ".ndjson", ".csv", ".tsv", ".json")
MAX_MEMBERS = 1_000_000

Found = Source | NotRead | InputError


@dataclass(frozen=True)
class FileToRead:
    """A file on disk, maybe an archive or compressed; `stem` begins the ids of its documents."""

    path: Path
    stem: str


FoundFile = FileToRead | NotRead | InputError


def _zst(stream: BinaryIO) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(stream, "zstd")


UNPACK: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda stream: gzip.GzipFile(fileobj=stream),
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _zst,
}


def find_files(paths: Sequence[Path], *, readable: tuple[str, ...]) -> Iterator[FoundFile]:
    """The files at `paths` with a suffix in `readable`, in the order of `paths` and of their names.

    In a folder other files are NotRead. Raises InputError for a path that is not there, a glob without a match and
    another suffix that is named.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path, _walk(path), readable)
        elif os.path.lexists(path):
            if not _is_readable(path.name, readable):
                raise _cannot_read(path, readable)
            yield FileToRead(path, _bare(path).stem)
        else:
            yield from _in_folder(_fixed_part(path), iter(_matches(path, readable)), readable)


def sources_in(file: FileToRead, *, readable: tuple[str, ...]) -> Iterator[Found]:
    """The sources in one file on disk: itself, or the members of an archive.

    An archive that breaks is an InputError after what could be read of it.
    """
    path, stem, name = file.path, file.stem, file.path.name.lower()
    if name.endswith(".zip"):
        return guarded(_zip_members(path, readable), str(path))
    if name.endswith(TAR_SUFFIXES):
        return guarded(_tar_members(path, readable), str(path))
    opened = partial(_opened, path)
    packed = path.suffix.lower() in UNPACK
    size = path.stat().st_size if packed and path.is_file() else None
    source = _unpacked(str(path), _bare(path), stem, opened, path.suffix.lower(), size)
    return iter([source if packed or not path.is_file() else Source(str(path), path, stem, opened, local=path)])


def local_files(paths: Sequence[Path]) -> list[Path]:
    """The files on disk that `paths` stand for, which a fingerprint must cover; paths that are not there add none."""
    found: list[Path] = []
    for path in paths:
        matches = [path] if os.path.lexists(path) else [Path(name) for name in sorted(glob.glob(str(path)))]
        for match in matches:
            found += _walk(match) if match.is_dir() else [match]
    return [path for path in found if path.is_file()]


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below `folder` in the order of names, and at last the folders that cannot be opened.

    A folder that links lead to again is entered once.
    """
    seen: set[str] = set()
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=closed.append, followlinks=True):
        real = os.path.realpath(root)
        folders[:] = [] if real in seen else sorted(folders)
        for name in [] if real in seen else sorted(files):
            yield Path(root, name)
        seen.add(real)
    yield from (Path(str(error.filename)) for error in closed)


def _in_folder(folder: Path, paths: Iterator[Path], readable: tuple[str, ...]) -> Iterator[FoundFile]:
    files = list(paths)
    has_tables = _has_tables(files)
    for path in files:
        if path.is_dir():
            yield unreadable(str(path), "the folder cannot be opened")
            continue
        relative = path.relative_to(folder)
        reason = _reason_to_leave(PurePosixPath(relative), readable, has_tables=has_tables)
        if not reason and path.exists() and not path.is_file():
            reason = "not_a_file"
        if reason:
            yield NotRead(str(path), reason)
        else:
            yield FileToRead(path, str(_bare(relative).with_suffix("")))


def _has_tables(paths: Iterable[Path | PurePosixPath]) -> bool:
    return any(_bare(path).suffix.lower() in TABLE_SUFFIXES and path.name not in HUB_FILES for path in paths)


def _reason_to_leave(path: PurePosixPath, readable: tuple[str, ...], *, has_tables: bool) -> str:
    """The rule that leaves out a file that nobody named, or nothing."""
    if any(part.startswith((".", "__MACOSX")) for part in path.parts):
        return "hidden_file"
    if path.name in HUB_FILES or (has_tables and path.name.upper() in ("README.MD", "LICENSE", "LICENSE.TXT")):
        return "about_the_dataset"
    return "" if _is_readable(path.name, readable) else "other_format"


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _unpacked(
    name: str, path: PurePosixPath | Path, stem: str, open_: Callable[[], BinaryIO], suffix: str, size: int | None
) -> Source:
    """The source of a stream that may be compressed as `suffix` says; `size` is its number of packed bytes."""

    def opened() -> BinaryIO:
        stream = open_()
        unpack = UNPACK.get(suffix)
        if unpack is None:
            return metered(stream, name, packed_bytes=size)
        return metered(unpack(stream), name, packed=stream, packed_bytes=size)

    return Source(name, path, stem, opened)


def _zip_members(path: Path, readable: tuple[str, ...]) -> Iterator[Found]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if sum(member.compress_size for member in members) > path.stat().st_size or len(members) > MAX_MEMBERS:
            raise bomb(str(path))  # members that share their bytes
        names = [_member_name(member) for member in members]
        has_tables = _has_tables(PurePosixPath(name) for name in names)
        for member, name in zip(members, names, strict=True):
            found = _checked(path, name, readable, has_tables=has_tables)
            if member.flag_bits & 1:
                yield unreadable(f"{path}!/{name}", "it needs a password")
            elif isinstance(found, PurePosixPath):
                opened = cast(Callable[[], BinaryIO], partial(archive.open, member))
                yield _member(path, found, opened, member.compress_size)
            else:
                yield found


def _tar_members(path: Path, readable: tuple[str, ...]) -> Iterator[Found]:
    suffix = "." + path.name.lower().rpartition(".")[2].replace("tgz", "gz")
    size = path.stat().st_size
    stream = _unpacked(str(path), path, "", partial(_opened, path), suffix, size).open()
    with stream, tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isdir():
                continue
            found = _checked(path, member.name, readable, has_tables=False)
            if not member.isreg() or member.sparse:
                yield NotRead(f"{path}!/{member.name}", "not_a_file")
            elif isinstance(found, PurePosixPath):
                opened = cast(Callable[[], BinaryIO], partial(archive.extractfile, member))
                yield _member(path, found, opened, member.size)
            else:
                yield found


def _checked(path: Path, name: str, readable: tuple[str, ...], *, has_tables: bool) -> PurePosixPath | Found:
    """The path of a member that is called `name`, or why it is not read."""
    member = PurePosixPath(name.replace("\\", "/"))
    where = f"{path}!/{name}"
    if member.is_absolute() or ".." in member.parts or name[1:2] == ":" or "\0" in name:
        return unreadable(where.replace("\0", "\\0"), "its name leads out of the archive")
    if reason := _reason_to_leave(member, readable, has_tables=has_tables):
        return NotRead(where, reason)
    return NotRead(where, "archive_in_archive") if name.lower().endswith(ARCHIVE_SUFFIXES) else member


def _member(path: Path, member: PurePosixPath, opened: Callable[[], BinaryIO], size: int) -> Source:
    bare = _bare(member)
    stem = f"{path.name.partition('.')[0]}/{bare.with_suffix('')}"
    return _unpacked(f"{path}!/{member}", bare, stem, opened, member.suffix.lower(), size)


def _member_name(member: zipfile.ZipInfo) -> str:
    """The name, also from a Japanese Windows, which writes CP932 where zipfile expects CP437."""
    if member.flag_bits & 0x800:
        return member.filename
    data = member.filename.encode("cp437", "replace")
    for encoding in ("utf-8", "cp932"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return member.filename


def _bare(path: Path | PurePosixPath) -> Path:
    """`path` without the suffix of its compression."""
    return Path(path.with_suffix("") if path.suffix.lower() in UNPACK else path)


def _is_readable(name: str, readable: tuple[str, ...]) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES) or _bare(Path(name)).suffix.lower() in readable


def _fixed_part(path: Path) -> Path:
    """The part of a glob before its first wildcard."""
    parts = path.parts
    first = next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return Path(*parts[:first])


def _matches(path: Path, readable: tuple[str, ...]) -> list[Path]:
    """The files that a glob names. Raises InputError where there are none."""
    found = [Path(name) for name in glob.glob(str(path), recursive=True)] if glob.has_magic(str(path)) else []
    files = sorted(set(local_files(sorted(found))))
    if not files:
        raise InputError(
            f"No file {path}. Files in {path.parent}: {listing(path.parent, readable)}.",
            hint="Correct the path; paths in a settings file are relative to that file.",
            hint_ja="パスを直してください。設定ファイルの中のパスは、そのファイルからの相対パスです。",
        )
    return files


def _cannot_read(path: Path, readable: tuple[str, ...]) -> InputError:
    return InputError(
        f'{path}: cannot read "{path.suffix or path.name}" files. Readable: {", ".join(readable)}; '
        f"packed: {', '.join((*ARCHIVE_SUFFIXES, *UNPACK))}.",
        hint="Convert the file to one of these, for example to JSON lines, one object a line.",
        hint_ja="このどれか、たとえば1行に1つのオブジェクトを書いた JSON Lines に変換してください。",
    )


def listing(directory: Path, suffixes: tuple[str, ...]) -> str:
    """What can be read in `directory`, at most ten names, for an error message."""
    if not directory.is_dir():
        return "none (no such directory)"
    found = [p for p in directory.iterdir() if p.is_dir() or _is_readable(p.name, suffixes)]
    names = sorted(p.name + "/" * p.is_dir() for p in found if not p.name.startswith("."))
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) + more) or "none that can be read"
