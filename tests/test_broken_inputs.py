"""Inputs that are broken or hostile: each is told with its file and the reason, or counted and left out.

Each is read in two ways: stop must end in an InputError, skip must go on to the good document beside it. The limits
hold for the whole file: seconds for each input, and memory for the process that reads the largest.
"""

import gzip
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pdf_bytes import pdf_bytes
from typer.testing import CliRunner

from ishibumi.cli import app
from ishibumi.corpus.read import read_documents
from ishibumi.errors import InputError
from ishibumi.settings import DocumentSettings

MOST_SECONDS = 10
MOST_BYTES = 2 * 2**30
GOOD = {"text": "新しい市立図書館が9月1日、南町に開館した。", "date": "2024-09-01"}
GOOD_LINE = json.dumps(GOOD, ensure_ascii=False).encode() + b"\n"
STOP = DocumentSettings(min_characters=5)
SKIP = STOP.model_copy(update={"on_bad": "skip"})


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return raw.getvalue()


def tarred(*members: tuple[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return raw.getvalue()


def parquet(table: pa.Table) -> bytes:
    raw = io.BytesIO()
    pq.write_table(table, raw, compression="zstd")
    return raw.getvalue()


def arrow(table: pa.Table) -> bytes:
    raw = io.BytesIO()
    with pa.ipc.new_stream(raw, table.schema) as writer:
        writer.write_table(table)
    return raw.getvalue()


def xlsx(*lines: list[object]) -> bytes:
    book, raw = openpyxl.Workbook(), io.BytesIO()
    for line in lines:
        book.worksheets[0].append(line)
    book.save(raw)
    return raw.getvalue()


def row(**values: object) -> bytes:
    return json.dumps({**GOOD, **values}, ensure_ascii=False).encode() + b"\n"


def docx(body: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return zipped(("word/document.xml", f"<w:document xmlns:w='{space}'><w:body>{body}</w:body></w:document>".encode()))


def wiki(pages: str) -> bytes:
    return f"<mediawiki>{pages}</mediawiki>".encode()


def marked_as_encrypted(data: bytes) -> bytes:
    """The zip with the flag of a password on each member."""
    changed = bytearray(data)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            changed[at + place] |= 1
            at = data.find(mark, at + 4)
    return bytes(changed)


def pdf_with_password() -> bytes:
    """A PDF whose trailer says that it is encrypted, with keys that the empty password does not open."""
    data = pdf_bytes([[(50, 700, "secret")]])
    lock = b"/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -44 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
        b"ab" * 32, b"cd" * 32,
    )  # fmt: skip
    return data.replace(b"/Root 1 0 R", b"/Root 1 0 R " + lock)


def overlapping_zip() -> bytes:
    """Two names in the directory for the same bytes, as the bombs without nesting have it."""
    data = zipped(("a.txt", os.urandom(3000).hex().encode()))
    end = data.rfind(b"PK\x05\x06")
    start, entry = data.find(b"PK\x01\x02"), data[data.find(b"PK\x01\x02") : end]
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 20, 20, len(entry) * 20, start, 0)
    return data[:start] + entry * 20 + tail


LONG = 17 * 2**20
NESTED = 100_000
LAUGHS = "<!DOCTYPE a [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9)
)  # fmt: skip


def cannot(reason: str, at: str = "") -> str:
    return f"{at}: cannot be read: {reason}"


# name of the file, its bytes, and what the message must say after the file's name
BROKEN: list[tuple[str, Callable[[], bytes], str]] = [
    # JSON lines
    ("half.jsonl", lambda: GOOD_LINE + b'{"text": "abc\n', ":2: not JSON (Unterminated string at column 10)"),
    ("number.jsonl", lambda: b"1\n", ":1: not an object but a number: 1"),
    ("list.jsonl", lambda: b"[1]\n", ":1: not an object but a list"),
    ("null.jsonl", lambda: b"null\n", ":1: not an object but null"),
    ("nul-bytes.jsonl", lambda: b"\0" * 100, ":1: not JSON"),
    ("binary.jsonl", lambda: bytes(range(256)) * 10, ": unknown encoding."),
    ("latin.jsonl", lambda: '{"text": "Quiñones"}'.encode("latin-1"), ": unknown encoding."),
    ("utf16-half.jsonl", lambda: GOOD_LINE.decode().encode("utf-16")[:-1], ": unknown encoding."),
    ("late-bytes.jsonl", lambda: (GOOD_LINE + b"\n" * 900) * 18_000 + b"\xff\xfe\n", cannot("bytes that")),
    ("deep.jsonl", lambda: b'{"text": ' + b"[" * NESTED + b"]" * NESTED + b"}\n", ":1: not JSON (nested too deeply)"),
    ("digits.jsonl", lambda: b'{"text": %s}\n' % (b"9" * 9000), ":1: not JSON (Exceeds the limit"),
    ("long-line.jsonl", lambda: b'{"text": "' + b"a" * LONG + b'"}\n', cannot("more than 16 MB", ":1")),
    ("text-list.jsonl", lambda: row(text=["a"]), ":1: text is a list, not a text"),
    ("text-number.jsonl", lambda: row(text=5), ":1: text is a number, not a text"),
    ("no-text.jsonl", lambda: b'{"headline": "a"}\n', ":1: no text. Columns here: headline."),
    ("empty-object.jsonl", lambda: b"{}\n", ":1: no text. Columns here: none."),
    ("surrogate-key.jsonl", lambda: b'{"\\ud800": "a"}\n', ":1: no text."),
    ("title-object.jsonl", lambda: row(title={"a": 1}), ":1: title is an object"),
    ("id-list.jsonl", lambda: row(id=[1]), ":1: id is a list"),
    ("date-30-feb.jsonl", lambda: row(date="2024年2月30日"), ":1: there is no date 2024年2月30日 (day is out of range"),
    ("date-words.jsonl", lambda: row(date="昨日"), ":1: cannot read the date 昨日."),
    ("date-huge.jsonl", lambda: row(date=9e15), ":1: cannot read the date 9000000000000000.0."),
    ("date-year-0.jsonl", lambda: row(date="0000-01-01"), ":1: there is no date 0000-01-01"),
    ("date-missing.jsonl", lambda: row(date=None, title=None), ":1: this document has no date"),
    ("same-id.jsonl", lambda: row(id="a") + row(id="a", text="別の文書がここにある。"), ":2: the id a is already"),
    # JSON lists
    ("cut.json", lambda: b'[{"text": "a"},\n{"text": "b"', ":2: not JSON (Expecting ',' delimiter at column 13)"),
    ("no-comma.json", lambda: b'[{"text": "a"} {"text": "b"}]', ":1: not JSON (Expecting ',' delimiter at column 16)"),
    ("numbers.json", lambda: b"[" + b"1," * 2**20 + b"1]", "#1: not an object but a number: 1"),
    ("after.json", lambda: b'[{"text": "a"}] x', ":1: not JSON (Extra data at column 17)"),
    ("open.json", lambda: b"[", ":1: not JSON"),
    ("deep.json", lambda: b"[" * NESTED, ":1: not JSON (nested too deeply)"),
    ("long.json", lambda: b'[{"text": "' + b"a" * LONG + b'"}]', cannot("more than 16 MB", ":1")),
    # tables
    ("no-text.csv", lambda: b"a,b\n1,2\n", ":2: no text. Columns here: a, b."),
    ("too-many.csv", lambda: b"text,date\na,b,c\n", cannot("3 values, but the header names 2 columns", ":2")),
    ("open-quote.csv", lambda: b'text,date\n"abc\n' + b"d,e\n" * 10, cannot("not CSV: unexpected end of data", ":2")),
    ("quote.csv", lambda: b'text,date\n"a"b,c\n', cannot("not CSV", ":2")),
    ("long.csv", lambda: b'text\n"' + b"a\n" * (LONG // 2), cannot("not CSV: field larger than field limit", ":2")),
    ("junk.parquet", lambda: b"PAR1" + b"junk" * 100, cannot("")),
    ("empty.parquet", lambda: b"", cannot("")),
    ("cut.parquet", lambda: parquet(pa.table({"text": ["a"] * 1000}))[:-20], cannot("")),
    ("holes.parquet", lambda: parquet(pa.table({"text": [os.urandom(500).hex() for _ in range(99)]})).replace(
        b"0", b"\xff"), cannot("")),
    ("no-text.parquet", lambda: parquet(pa.table({"n": [1]})), "#1: no text. Columns here: n."),
    ("lists.parquet", lambda: parquet(pa.table({"text": [["a"]]})), "#1: text is a list"),
    ("bomb.parquet", lambda: parquet(pa.table({"text": ["a" * 2**25]})), cannot("more than 16 MB", "#1")),
    ("junk.arrow", lambda: b"junk" * 1000, cannot("")),
    ("cut.arrow", lambda: arrow(pa.table({"text": ["a" * 1000] * 100}))[:5000], cannot("")),
    ("junk.xlsx", lambda: b"PK junk", cannot("File is not a zip file")),
    ("no-text.xlsx", lambda: xlsx(["a", "b"], [1, 2]), ":Sheet:2: no text. Columns here: a, b."),
    ("no-book.xlsx", lambda: zipped(("a.txt", b"a")), cannot("")),
    ("old.xlsx", lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 600, cannot("it has a password, or")),
    # pages
    ("deep.html", lambda: b"<div>" * 200_000, cannot("tags nested more than 5000 deep")),
    ("latin.html", lambda: b"<p>caf\xe9 \xff", ": unknown encoding."),
    ("charset.html", lambda: b"<meta charset=nonsense><p>caf\xe9 \xff", cannot("unknown encoding: nonsense")),
    ("junk.docx", lambda: b"junk", cannot("File is not a zip file")),
    ("no-text.docx", lambda: zipped(("a.xml", b"<a/>")), cannot("")),
    ("cut.docx", lambda: zipped(("word/document.xml", b"<a><b>")), cannot("no element found")),
    ("password.docx", lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 600, cannot("it has a password")),
    ("bomb.docx", lambda: docx("<w:p/>" * 50_000_000), cannot("it unpacks to")),
    ("long.docx", lambda: docx("<w:p><w:r><w:t>" + "a" * LONG + "</w:t></w:r></w:p>"), cannot("more than 16 MB")),
    ("laughs.xml", lambda: f"{LAUGHS}]><mediawiki>&j;</mediawiki>".encode(), cannot("")),
    ("outside.xml", lambda: b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><mediawiki><page>&x;</page></mediawiki>",
     cannot("undefined entity")),
    ("feed.xml", lambda: b"<rss><channel/></rss>", cannot("XML that begins with <rss>", ":1")),
    ("cut.xml", lambda: wiki("<page><title>a")[:-12], cannot("no element found")),
    ("long.xml", lambda: wiki("<page><text>" + "a" * 2 * LONG), cannot("more than 16 MB")),
    ("junk.pdf", lambda: b"junk", cannot("not a PDF")),
    ("empty.pdf", lambda: b"", cannot("not a PDF")),
    ("head.pdf", lambda: b"%PDF-1.7\n", cannot("not a PDF")),
    ("scan.pdf", lambda: pdf_bytes([[], []]), cannot("a PDF without text")),
    ("password.pdf", pdf_with_password, cannot("it needs a password")),
    ("no-text.eml", lambda: b"Subject: a\nContent-Type: image/png\n\nx\n", cannot("the message has no text", ":1")),
    ("charset.eml", lambda: b"Subject: =?nonsense?b?//8=?=\n\nabc\n", ":1: unknown encod"),
    ("escapes.eml", lambda: b"Subject: a\n\n\x1b$B!!!\x1b(B\n", ":1: unknown encod"),
    ("bytes.eml", lambda: b"Subject: a\nContent-Type: text/plain; charset=utf-8\n\n\xff\xff\n", ":1: unknown encod"),
    ("junk.mbox", lambda: b"junk\n", cannot("not an mbox", ":1")),
    ("long.txt", lambda: b"a" * LONG, cannot("more than 16 MB for one document")),
    ("bytes.md", lambda: b"\xff\xff\xff", ": unknown encoding."),
    # packed
    ("junk.zip", lambda: b"junk", cannot("File is not a zip file")),
    ("cut.zip", lambda: zipped(("a.txt", b"a" * 999))[:-30], cannot("File is not a zip file")),
    ("crc.zip", lambda: zipped(("a.txt", b"abcdef" * 9), method=zipfile.ZIP_STORED).replace(b"abcdef", b"abcdeg", 1),
     cannot("Bad CRC-32", "!/a.txt")),
    ("password.zip", lambda: marked_as_encrypted(zipped(("a.txt", b"a"))), cannot("it needs a password", "!/a.txt")),
    ("up.zip", lambda: zipped(("../../a.txt", b"a")), cannot("its name leads out", "!/../../a.txt")),
    ("root.zip", lambda: zipped(("/etc/a.txt", b"a")), cannot("its name leads out", "!//etc/a.txt")),
    ("drive.zip", lambda: zipped(("C:\\a.txt", b"a")), cannot("its name leads out", "!/C:\\a.txt")),
    ("overlap.zip", overlapping_zip, cannot("it unpacks to")),
    ("bomb.zip", lambda: zipped(("a.jsonl", b"\n" * 2**28)), cannot("it unpacks to", "!/a.jsonl")),
    ("row.zip", lambda: zipped(("a/b.jsonl", b"{")), "!/a/b.jsonl:1: not JSON"),
    ("junk.tar", lambda: b"junk" * 1000, cannot("")),
    ("cut.tar", lambda: tarred(("a.jsonl", GOOD_LINE * 1000))[:3000], cannot("", "!/a.jsonl")),
    ("up.tar", lambda: tarred(("../a.txt", b"a")), cannot("its name leads out", "!/../a.txt")),
    ("junk.tar.gz", lambda: b"junk", cannot("")),
    ("bomb.tar.gz", lambda: gzip.compress(tarred(("a.txt", b"\0" * 2**28))), cannot("", "!/a.txt")),
    ("junk.jsonl.gz", lambda: b"junk", cannot("Not a gzipped file")),
    ("cut.jsonl.gz", lambda: gzip.compress(GOOD_LINE * 1000)[:-20], cannot("Compressed file ended")),
    ("crc.jsonl.gz", lambda: gzip.compress(GOOD_LINE)[:-8] + b"\0" * 8, cannot("CRC check failed")),
    ("bomb.jsonl.gz", lambda: gzip.compress(b"\n" * 2**28), cannot("it unpacks to")),
    ("bomb.json.zst", lambda: pa.compress(b" " * 2**28, "zstd", asbytes=True), cannot("it unpacks to")),
    ("junk.jsonl.zst", lambda: b"junk", cannot("")),
    ("junk.jsonl.xz", lambda: b"junk", cannot("")),
    ("junk.jsonl.bz2", lambda: b"junk", cannot("")),
    # found by the fuzzer (experiments/fuzz_readers.py)
    ("version.zip", lambda: zipped(("a.txt", b"a")).replace(b"PK\x01\x02\x14\x03\x14", b"PK\x01\x02\x14\x03\x62"),
     cannot("zip file version 9.8")),
    ("seek.docx", lambda: zipped(("word/document.xml", b"<a/>"))[60:], cannot("")),
    # more of each kind
    ("bom-only.jsonl", lambda: b"\xef\xbb\xbf1", ":1: not an object but a number: 1"),
    ("string.jsonl", lambda: b'"text"\n', ":1: not an object but a string"),
    ("true.jsonl", lambda: b"true\n", ":1: not an object but true or false"),
    ("single-quotes.jsonl", lambda: b"{'text': 'a'}\n", ":1: not JSON (Expecting property name enclosed in double"),
    ("comma.jsonl", lambda: b'{"text": "abcdef",}\n', ":1: not JSON ("),
    ("two-objects.jsonl", lambda: GOOD_LINE.strip() * 2 + b"\n", ":1: not JSON (Extra data"),
    ("cr-only.jsonl", lambda: b'{"text": "a"}\r{"text": \r', ":2: not JSON (Expecting value"),
    ("tab.jsonl", lambda: b'{"text": "a\tb"}\n', ":1: not JSON (Invalid control character"),
    ("escape.jsonl", lambda: b'{"text": "\\x41"}\n', ":1: not JSON (Invalid \\escape"),
    ("mixed.jsonl", lambda: GOOD_LINE + GOOD_LINE.decode().encode("cp932"), ": unknown encoding."),
    ("utf16-no-mark.jsonl", lambda: GOOD_LINE.decode().encode("utf-16-le"), ": unknown encoding."),
    ("utf32.jsonl", lambda: GOOD_LINE.decode().encode("utf-32"), ""),
    ("ebcdic.jsonl", lambda: '{"text": "abcdef ghijk"}'.encode("cp500"), ": unknown encoding."),
    ("text-true.jsonl", lambda: row(text=True), ":1: text is true or false, not a text"),
    ("text-object.jsonl", lambda: row(text={"ja": "a"}), ":1: text is an object, not a text"),
    ("date-list.jsonl", lambda: row(date=["2024-09-01"]), ":1: date is a list"),
    ("date-true.jsonl", lambda: row(date=True), ":1: date is true or false"),
    ("date-month-13.jsonl", lambda: row(date="2024-13-01"), ":1: there is no date 2024-13-01"),
    ("date-era.jsonl", lambda: row(date="令和6年2月30日"), ":1: there is no date 令和6年2月30日"),
    ("date-half.jsonl", lambda: row(date="2024年9月"), ":1: cannot read the date 2024年9月."),
    ("date-minus.jsonl", lambda: row(date=-5), ":1: cannot read the date -5."),
    ("url-list.jsonl", lambda: row(url=["a"]), ":1: url is a list"),
    ("same-number.jsonl", lambda: row(id=7) + row(id="7", text="別の文書がここにある。"), ":2: the id 7 is already"),
    ("text-name.jsonl", lambda: b'{"TEXT ": 5}\n', ":1: TEXT  is a number, not a text"),
    ("colon.json", lambda: b'[{"text" "a"}]', ":1: not JSON (Expecting ':' delimiter"),
    ("nan.json", lambda: b'[{"text": nan}]', ":1: not JSON (Expecting value"),
    ("string.json", lambda: b'"abc"', ":1: not an object but a string"),
    ("closed-twice.json", lambda: b'[{"text": "a"}]]', ":1: not JSON (Extra data"),
    ("nul.json", lambda: b"\0\0\0", ":1: not JSON"),
    ("nul.csv", lambda: b"text,date\na\0b,c,d\n", ":2: cannot be read: "),
    ("formula.csv", lambda: '本文,日付\n"=HYPERLINK(""http://x"",""a"")","=NOW()"\n'.encode(), 
     ":2: cannot read the date =NOW()."),
    ("formula.xlsx", lambda: xlsx(["text", "date"], ["本文がここにあります。", "=1/0"]), ""),
    ("one-column.csv", lambda: b"hello\nworld\n", ":2: no text. Columns here: hello."),
    ("no-names.csv", lambda: b",,\na,b,c\n", ":2: no text. Columns here: "),
    ("semicolons.csv", lambda: b"text;date\nabcdef;2024-02-30\n", ":2: there is no date 2024-02-30"),
    ("wide.csv", lambda: b"text" + b",c" * 100_000 + b"\nabc" + b",1" * 100_001 + b"\n", cannot("100002 values", ":2")),
    ("no-text.tsv", lambda: b"a\tb\n1\t2\n", ":2: no text. Columns here: a, b."),
    ("spaces.tsv", lambda: b"text date\nabc def\n", ":2: no text. Columns here: text date."),
    ("footer.parquet", lambda: b"PAR1" + b"\xff\xff\xff\x7fPAR1", cannot("")),
    ("encrypted.parquet", lambda: b"PARE" + b"\0" * 99 + b"PARE", cannot("")),
    ("number-text.parquet", lambda: parquet(pa.table({"text": [1, 2]})), "#1: text is a number, not a text"),
    ("bytes-text.parquet", lambda: parquet(pa.table({"text": [b"\xff"]})), "#1: text is an object, not a text"),
    ("bad-utf8.parquet", lambda: parquet(pa.table({"text": pa.array([b"\xff\xfe"]).view(pa.utf8())})), cannot("")),
    ("dates.parquet", lambda: parquet(pa.table({"text": ["abcdefgh"], "date": ["soon"]})),
     "#1: cannot read the date soon."),
    ("bad-utf8.arrow", lambda: arrow(pa.table({"text": pa.array([b"\xff\xfe"]).view(pa.utf8())})), cannot("")),
    ("no-text.arrow", lambda: arrow(pa.table({"n": [1]})), "#1: no text. Columns here: n."),
    ("empty.arrow", lambda: b"", cannot("")),
    ("magic.arrow", lambda: b"ARROW1\0\0" + b"\xff" * 200, cannot("")),
    ("cut.xlsx", lambda: xlsx(["text"], ["a"])[:-200], cannot("")),
    ("dates.xlsx", lambda: xlsx(["text", "date"], ["本文がここにあります。", "soon"]),
     ":Sheet:2: cannot read the date soon."),
    ("sheet.xlsx", lambda: zipped(("xl/workbook.xml", b"<workbook>")), cannot("")),
    ("zip.docx", lambda: zipped(("word/document.xml", b"")), cannot("no element found")),
    ("entity.docx", lambda: zipped(("word/document.xml", f"{LAUGHS}]><a>&j;</a>".encode())), cannot("")),
    ("latin.htm", lambda: "<p>Quiñones à la carte".encode("latin-1"), ": unknown encoding."),
    ("long.html", lambda: b"<p>" + b"a" * LONG, cannot("more than 8 MB")),
    ("version.pdf", lambda: b"%PDF-9.9\n%%EOF", cannot("not a PDF")),
    ("cut.pdf", lambda: pdf_bytes([[(50, 700, "abc")]])[:300], cannot("")),
    ("no-pages.pdf", lambda: pdf_bytes([]), cannot("")),
    ("tags.xml", lambda: b"<mediawiki><page></wrong></mediawiki>", cannot("mismatched tag")),
    ("nul.xml", lambda: b"<mediawiki>\0</mediawiki>", cannot("not well-formed")),
    ("text.xml", lambda: b"just words", cannot("syntax error")),
    ("empty.xml", lambda: b"", cannot("no element found")),
    ("html-only-picture.eml", lambda: b"Subject: a\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "
     b"image/png\n\nx\n--b--\n", cannot("the message has no text", ":1")),
    ("base64.eml", lambda: b"Subject: a\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64"
     b"\n\n/////w==\n", ":1: unknown encod"),
    ("date.eml", lambda: b"Subject: a\nDate: someday\n\nabcdef ghijk\n", ":1: cannot read the date someday."),
    ("bytes.mbox", lambda: b"From a\nSubject: b\n\n\xff\xff\xff\n", ":1: unknown encod"),
    ("nul.txt", lambda: b"\xff\0\xff\0\xff", ": unknown encoding."),
    ("half.md", lambda: "図書館".encode()[:-1], ": unknown encoding."),
    ("space.zip", lambda: zipped(("a/../../b.txt", b"a")), cannot("its name leads out", "!/a/../../b.txt")),
    ("backslash.zip", lambda: zipped(("..\\a.txt", b"a")), cannot("its name leads out", "!/..\\a.txt")),
    ("bytes.zip", lambda: zipped(("a.txt", b"\xff\xff")), "!/a.txt: unknown encoding."),
    ("root.tar", lambda: tarred(("/etc/a.txt", b"a")), cannot("its name leads out", "!//etc/a.txt")),
    ("row.tar", lambda: tarred(("a.jsonl", b"{")), "!/a.jsonl:1: not JSON"),
    ("row.tar.gz", lambda: gzip.compress(tarred(("a.jsonl", b"{"))), "!/a.jsonl:1: not JSON"),
    ("bytes.txt.gz", lambda: gzip.compress(b"\xff\xff"), ": unknown encoding."),
    ("empty.jsonl.gz", lambda: b"\x1f\x8b", cannot("")),
    ("cut.jsonl.zst", lambda: pa.compress(GOOD_LINE * 100, "zstd", asbytes=True)[:20], cannot("")),
]  # fmt: skip


def test_there_are_at_least_a_hundred_and_fifty() -> None:
    assert len({name for name, _, _ in BROKEN}) == len(BROKEN) >= 150


@pytest.mark.parametrize(("name", "make", "message"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_input_is_told_or_counted(tmp_path: Path, name: str, make: Callable[[], bytes], message: str) -> None:
    path, good = tmp_path / name, tmp_path / "good.jsonl"
    path.write_bytes(make())
    good.write_bytes(GOOD_LINE)
    started = time.process_time()  # of this process alone: the machine may be busy with other work
    with pytest.raises(InputError) as caught:
        read_documents([path, good], STOP)
    stopped = time.process_time()
    corpus = read_documents([path, good], SKIP)
    assert max(stopped - started, time.process_time() - stopped) < MOST_SECONDS
    assert f"{path}{message}" in caught.value.message
    assert caught.value.hint
    assert "\n" not in caught.value.message and len(caught.value.message) < 600
    assert corpus.documents[-1].text == GOOD["text"] or corpus.report["duplicate"]["count"] >= 1
    assert f"{path}{message}" in corpus.report["bad"]["examples"][0]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, "good.jsonl"])


def test_links_that_lead_in_circles_or_nowhere_end(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "good.jsonl").write_bytes(GOOD_LINE)
    (folder / "loop").symlink_to(folder)
    (folder / "self.txt").symlink_to(folder / "self.txt")
    (folder / "gone.txt").symlink_to(folder / "nothing.txt")
    os.mkfifo(folder / "pipe.txt")
    with pytest.raises(InputError, match=r"gone\.txt: cannot be read: No such file or directory"):
        read_documents([folder], STOP)
    corpus = read_documents([folder], SKIP)
    assert len(corpus.documents) == 1
    assert (corpus.report["bad"]["count"], corpus.report["not_a_file"]["count"]) == (2, 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission_are_told(tmp_path: Path) -> None:
    for name in ("a.txt", "b"):
        (tmp_path / name).mkdir() if name == "b" else (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(0)
    report = read_documents([tmp_path], SKIP).report
    assert report["bad"]["count"] == 2


def test_links_and_devices_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for kind, name in ((tarfile.SYMTYPE, "a.txt"), (tarfile.LNKTYPE, "b.txt"), (tarfile.CHRTYPE, "c.txt")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.jsonl")
        info.size = len(GOOD_LINE)
        archive.addfile(info, io.BytesIO(GOOD_LINE))
    (tmp_path / "a.tar").write_bytes(raw.getvalue())
    corpus = read_documents([tmp_path / "a.tar"], STOP)
    assert ([d.text for d in corpus.documents], corpus.report["not_a_file"]["count"]) == ([GOOD["text"]], 3)


def test_an_archive_in_an_archive_is_told_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(("b.zip", zipped(("c.txt", b"c"))), ("good.jsonl", GOOD_LINE)))
    corpus = read_documents([tmp_path / "a.zip"], STOP)
    assert corpus.report["archive_in_archive"]["examples"] == [f"{tmp_path / 'a.zip'}!/b.zip"]


def test_control_characters_and_halves_of_pairs_leave_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(
        b'{"text": "NUL \\u0000 and \\ud800 half", "id": "\\udfff", "date": "2024-09-01"}\n'
    )
    corpus = read_documents([tmp_path / "a.jsonl"], STOP)
    assert [(d.text, d.id) for d in corpus.documents] == [("NUL and half", "?")]


HUGE = """
import resource, sys
from pathlib import Path
from ishibumi.corpus.read import read_documents
from ishibumi.settings import DocumentSettings
report = read_documents([Path(p) for p in sys.argv[1:]], DocumentSettings(on_bad="skip")).report
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(report["bad"]["count"], max(u.ru_maxrss for u in used) * 1024, sum(u.ru_utime + u.ru_stime for u in used))
"""


def test_a_line_of_a_gigabyte_and_bombs_stay_within_time_and_memory(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("line.jsonl", "bomb.pdf", "bomb.gz.jsonl.gz", "bomb.docx", "good.jsonl")]
    with paths[0].open("wb") as file:
        for _ in range(1024):
            file.write(b"a" * 2**20)
        file.write(b"\n" + GOOD_LINE)
    page = pdf_bytes([[(50, 700, "x")]], compressed=False)
    packed = zlib.compress(b" " * 2**29)
    start = page.rfind(b"<< /Length", 0, page.rfind(b"endstream"))
    bomb = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\n" % (len(packed), packed)
    paths[1].write_bytes(page[:start] + bomb + page[page.rfind(b"endstream") :])
    paths[2].write_bytes(gzip.compress(b"a" * 2**30, compresslevel=1))
    paths[3].write_bytes(docx("<w:p><w:r><w:t>a</w:t></w:r></w:p>" * 850_000))
    paths[4].write_bytes(row(text="もう一つの文書がここにあるので読まれる。"))
    done = subprocess.run([sys.executable, "-c", HUGE, *map(str, paths)], capture_output=True, text=True, check=True)
    num_bad, most_bytes, seconds = map(float, done.stdout.split())
    print(f"{seconds:.1f} s, {most_bytes / 2**30:.2f} GB, {num_bad} bad")
    assert num_bad >= 3
    assert most_bytes < MOST_BYTES
    assert seconds < MOST_SECONDS * len(paths)


def test_the_command_line_ends_with_the_message_and_leaves_no_corpus(tmp_path: Path) -> None:
    settings = tmp_path / "ishibumi.toml"
    settings.write_text('[documents]\npaths = ["cut.parquet", "good.jsonl"]\n')
    (tmp_path / "good.jsonl").write_bytes(GOOD_LINE)
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    result = CliRunner().invoke(app, ["corpus", str(settings)])
    assert result.exit_code == InputError.exit_code
    assert f"ishibumi: {tmp_path / 'cut.parquet'}: cannot be read: " in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run" / "corpus").exists()
    result = CliRunner().invoke(app, ["corpus", str(settings), "--set", "documents.on_bad=skip"])
    assert (result.exit_code, "documents 1" in result.stderr, "bad 1" in result.stderr) == (0, True, True)
