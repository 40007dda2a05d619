"""General text for replay and for perplexity. files → texts."""

import re
from collections.abc import Sequence
from pathlib import Path

from ishibumi.corpus.clean import clean_text
from ishibumi.corpus.readers.files import read_rows
from ishibumi.corpus.readers.text import SUFFIXES
from ishibumi.errors import InputError


def read_texts(paths: Sequence[Path]) -> list[str]:
    """The texts in `paths`: one a row of a table, page or message, one a paragraph of a .txt or .md file.

    Raises InputError for a file that cannot be read or that holds no text.
    """
    texts: list[str] = []
    for path in paths:
        found: list[str] = []
        for row in read_rows(path):
            text = clean_text(row.text)
            is_plain = row.origin.removesuffix(":1").endswith(SUFFIXES)
            found += [part for part in (re.split(r"\n\n+", text) if is_plain else [text]) if part]
        if not found:
            raise InputError(
                f"{path} holds no text.",
                hint="Fill it or take it out of the settings.",
                hint_ja="中身を入れるか、設定から外してください。",
            )
        texts += found
    return texts
