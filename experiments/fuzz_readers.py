"""Mutated files through all readers: nothing but documents and InputErrors may come out. Needs `pip install atheris`.

    python experiments/fuzz_readers.py FOLDER -max_total_time=600 -timeout=10 -rss_limit_mb=2048 -max_len=65536

FOLDER gets the inputs that reached new code; it begins with the broken inputs of the tests. The first byte of an input
chooses the format. Each kind of exception behind a «cannot be read» is printed when it is first met: one that is a
slip of ours, such as an AttributeError, is to be looked at.
"""

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ishibumi", "email", "zipfile", "tarfile", "openpyxl"]):
    from ishibumi.corpus.documents import Corpus
    from ishibumi.corpus.readers.files import SUFFIXES, items_in
    from ishibumi.corpus.readers.inputs import ARCHIVE_SUFFIXES, FileToRead
    from ishibumi.corpus.readers.source import Row
    from ishibumi.corpus.rows import document_of
    from ishibumi.errors import InputError
    from ishibumi.settings import DocumentSettings

KINDS = (*SUFFIXES, *ARCHIVE_SUFFIXES, ".jsonl.gz", ".jsonl.zst")
SETTINGS = DocumentSettings(min_characters=1, prefix_share=0.0, mask=["mail", "phone", "my_number"])
FOLDER = Path(tempfile.mkdtemp())
CAUSES: set[str] = set()


def read(data: bytes) -> None:
    """Read one input as one format; raises where something else than an InputError comes out."""
    if not data:
        return
    path = FOLDER / f"a{KINDS[data[0] % len(KINDS)]}"
    path.write_bytes(data[1:])
    for item in items_in(FileToRead(path, "a"), SETTINGS.columns):
        if isinstance(item, InputError) and item.__cause__:
            kind = f"{path.suffix} {type(item.__cause__).__name__}"
            if kind not in CAUSES:
                print(f"{kind}: {str(item.__cause__)[:100]!r}", file=sys.stderr, flush=True)
            CAUSES.add(kind)
        elif isinstance(item, Row):
            with contextlib.suppress(InputError):
                document = document_of(item, SETTINGS, Corpus())
                if document:
                    document.as_line().encode()


def seeds(folder: Path) -> None:
    """The broken inputs of the tests, each behind the byte of its format."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from test_broken_inputs import BROKEN

    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, make, _) in enumerate(BROKEN):
        kind = max((k for k in KINDS if name.endswith(k)), key=len, default=None)
        data = make() if kind and "bomb" not in name and "long" not in name and "late" not in name else b""
        if kind and 0 < len(data) < 2**17:
            (folder / f"seed-{number}").write_bytes(bytes([KINDS.index(kind)]) + data)


if __name__ == "__main__":
    if not any(argument.startswith("-runs=0") for argument in sys.argv):
        seeds(Path(sys.argv[1]))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    atheris.Setup(sys.argv, read)
    atheris.Fuzz()
