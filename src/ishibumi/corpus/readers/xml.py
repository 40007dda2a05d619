"""A stream of XML → its elements of some names, one by one, in bounded memory."""

from collections.abc import Iterator
from typing import BinaryIO, cast
from xml.etree.ElementTree import Element, XMLPullParser

from ishibumi.corpus.readers.source import MAX_DOCUMENT_BYTES, too_large

_CHUNK = 2**16


def elements(stream: BinaryIO, name: str, *, wanted: frozenset[str]) -> Iterator[tuple[str, Element]]:
    """(local name, element) for the root as it opens and for each `wanted` element as it closes.

    The caller clears what it has used. Entities from outside are not loaded, and expat stops those that multiply.
    Raises InputError where one element is longer than a document can be; ParseError where it is not XML.
    """
    parser = XMLPullParser(events=("start", "end"))
    num_unused, is_root = 0, True
    while chunk := stream.read(_CHUNK):
        parser.feed(chunk)
        num_unused += len(chunk)
        for event, element in cast(Iterator[tuple[str, Element]], parser.read_events()):
            local = element.tag.rpartition("}")[2]
            if is_root or (event == "end" and local in wanted):
                yield local, element
                num_unused, is_root = 0, False
        if num_unused > MAX_DOCUMENT_BYTES:
            raise too_large(name)
    parser.close()
