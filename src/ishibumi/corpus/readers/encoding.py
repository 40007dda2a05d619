"""Bytes of a text file → text. Strict: a wrong guess would be engraved for good, so what does not fit is refused."""

import re
from pathlib import Path

from ishibumi.errors import InputError

TRIED = "UTF-8, UTF-16 (with its mark), CP932 (Shift_JIS), EUC-JP"

FULL_WIDTH_KANA = re.compile(r"[ぁ-ゖァ-ヺ]")
HALF_WIDTH_KANA = re.compile(r"[｡-ﾟ]")


def read_text(path: Path, *, readable: tuple[str, ...]) -> str:
    """The text of a file with \\n line ends. `readable` are the suffixes to offer where `path` is not there.

    Raises InputError for a missing file, a directory, another suffix, and bytes in an unknown encoding.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a directory. Files in it: {_listing(path, readable)}.",
            hint="Name the files themselves.",
            hint_ja="ファイルを1つずつ指定してください。",
        )
    if not path.exists():
        raise InputError(
            f"No file {path}. Files in {path.parent}: {_listing(path.parent, readable)}.",
            hint="Correct the path; paths in a settings file are relative to that file.",
            hint_ja="パスを直してください。設定ファイルの中のパスは、そのファイルからの相対パスです。",
        )
    if path.suffix.lower() not in readable:
        raise InputError(
            f'{path}: cannot read "{path.suffix or path.name}" files. Readable: {", ".join(readable)}.',
            hint="Convert the file to JSON lines, one object a line.",
            hint_ja="1行に1つのオブジェクトを書いた JSON Lines に変換してください。",
        )
    return decode(path.read_bytes(), origin=str(path)).replace("\r\n", "\n").replace("\r", "\n")


def decode(data: bytes, *, origin: str) -> str:
    """`data` as text; raises InputError naming `origin` and the encodings that were tried."""
    has_utf16_mark = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    unicode_text = _decoded(data, "utf-16" if has_utf16_mark else "utf-8-sig")
    if unicode_text is not None:
        return unicode_text
    # EUC-JP bytes are mostly valid CP932 (as half-width kana) and Latin-1 letters can be valid in both, so it is not
    # enough that a text decodes: it must also look like Japanese, which has kana everywhere.
    texts = [text for encoding in ("cp932", "euc_jp") if (text := _decoded(data, encoding)) is not None]
    best = max(texts, key=_japanese_score, default="")
    if _japanese_score(best) > 0:
        return best
    raise InputError(
        f"{origin}: unknown encoding. Tried: {TRIED}. First bytes: {data[:16].hex(' ')}.",
        hint="Convert it to UTF-8, for example: iconv -f ENCODING -t UTF-8 OLD > NEW",
        hint_ja="UTF-8 に変換してください。例: iconv -f 元の文字コード -t UTF-8 元のファイル > 新しいファイル",
    )


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _japanese_score(text: str) -> int:
    """Full-width kana less half-width kana: positive for Japanese prose, negative for EUC-JP read as CP932."""
    return len(FULL_WIDTH_KANA.findall(text)) - len(HALF_WIDTH_KANA.findall(text))


def _listing(directory: Path, suffixes: tuple[str, ...]) -> str:
    """What can be read in `directory`, at most ten names, for an error message."""
    if not directory.is_dir():
        return "none (no such directory)"
    names = sorted(p.name for p in directory.iterdir() if p.suffix.lower() in suffixes)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(names[:10]) + more) or "none that can be read"
