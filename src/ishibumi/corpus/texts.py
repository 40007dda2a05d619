"""General text for replay and for perplexity. files → texts."""

import re
from collections.abc import Sequence
from pathlib import Path

from ishibumi.corpus.clean import clean_text
from ishibumi.corpus.readers.encoding import read_text
from ishibumi.corpus.readers.jsonl import SUFFIXES, TEXT_SUFFIXES, read_rows
from ishibumi.errors import InputError


def read_texts(paths: Sequence[Path]) -> list[str]:
    """The texts in `paths`: one a row of a JSON file, one a paragraph (up to an empty line) of a .txt or .md file.

    Raises InputError for a file that cannot be read or that holds no text.
    """
    texts: list[str] = []
    for path in paths:
        if path.suffix.lower() in TEXT_SUFFIXES:
            found = re.split(r"\n\n+", clean_text(read_text(path, readable=SUFFIXES)))
        else:
            found = [clean_text(row.text) for row in read_rows(path)]
        found = [text for text in found if text]
        if not found:
            raise InputError(
                f"{path} holds no text.",
                hint="Fill it or take it out of the settings.",
                hint_ja="中身を入れるか、設定から外してください。",
            )
        texts += found
    return texts
