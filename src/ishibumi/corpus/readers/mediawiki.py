"""MediaWiki XML exports → one row a page, wikitext made plain."""

import html
import re
from collections.abc import Callable, Iterator
from xml.etree.ElementTree import Element

from ishibumi.corpus.readers.source import Item, NotRead, Row, Source, unreadable
from ishibumi.corpus.readers.xml import elements
from ishibumi.settings import ColumnSettings

SUFFIXES = (".xml",)

_TEMPLATE = re.compile(r"\{\{([^{}]*)\}\}")
_TABLE = re.compile(r"\{\|(?:[^{|]|\{(?!\|)|\|(?!\}))*\|\}")
_LINK = re.compile(r"\[\[([^\[\]]*)\]\]")
_NO_TEXT = re.compile(r"\s*(?:file|image|category|ファイル|画像|カテゴリ)\s*:", re.IGNORECASE)
_KEPT_TEMPLATE = re.compile(r"\s*(?:lang|ruby|読み仮名|ルビ|仮リンク|nowrap)\s*\|", re.IGNORECASE)
_OUTSIDE_LINK = re.compile(r"\[(?:https?:)?//[^\s\]]+ ?([^\]\n]*)\]")
_HEADING = re.compile(r"^(={1,6})[ \t]*([^\n]+?)[ \t]*\1[ \t]*$", re.MULTILINE)
_REST = re.compile(r"'{2,5}|^[*#:;]+ *|^-{4,}|<[^<>\n]+>|__[A-Z]+__", re.MULTILINE)
_MAX_DEPTH = 40  # of templates in templates


def read_mediawiki(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The articles; redirects and pages of other namespaces (talk, user, …) are NotRead.

    The date is that of the revision.
    """
    with source.open() as stream:
        root: Element | None = None
        number = 0
        for local, element in elements(stream, source.name, wanted=frozenset({"page"})):
            if root is None:
                root = element
                if local != "mediawiki":
                    raise unreadable(f"{source.name}:1", f"XML that begins with <{local[:60]}>, not a MediaWiki export")
                continue
            number += 1
            yield _page(element, source, number)
            root.clear()


def _page(page: Element, source: Source, number: int) -> Item:
    values = {element.tag.rpartition("}")[2]: element.text or "" for element in page.iter()}
    origin = f"{source.name}#{number}"
    reason = "redirect" if "redirect" in values else "other_namespace" if values.get("ns", "0") != "0" else ""
    if reason:
        return NotRead(f"{origin}: {values.get('title', '')}", reason)
    text = plain_text(values.get("text", ""))
    return Row(
        text, values.get("title"), values.get("timestamp"), None, origin, f"{source.stem}-{number}",
        columns="title = title, date = timestamp of the revision",
    )  # fmt: skip


def plain_text(wikitext: str) -> str:
    """The text that a reader of the page sees, without tables, boxes, pictures, footnotes and categories.

    Of templates only those that hold words of the sentence stay, with their last or (ruby) first word.
    """
    text = _without(wikitext, r"<!--", "-->")
    for tag in ("ref", "gallery", "math", "timeline", "syntaxhighlight", "score"):
        text = _without(text, rf"<{tag}\b[^<>]*(?<!/)>", f"</{tag}>")
    text = _until_stable(_TEMPLATE, _of_template, text)
    text = _until_stable(_TABLE, lambda _: "", text)
    text = _until_stable(_LINK, _of_link, text)
    text = _OUTSIDE_LINK.sub(r"\1", text)
    text = _HEADING.sub(r"\n\2\n", text)
    return html.unescape(_REST.sub("", text.replace("<br>", "\n").replace("<br />", "\n")))


def _without(text: str, opening: str, closing: str) -> str:
    """`text` without what stands from a match of `opening` to `closing`; an opening that is never closed stays."""
    first, *rest = re.split(f"({opening})", text, flags=re.IGNORECASE)
    kept = [first]
    for mark, part in zip(rest[::2], rest[1::2], strict=True):
        _, found, after = part.partition(closing)
        kept.append(after if found else mark + part)
    return "".join(kept)


def _until_stable(pattern: re.Pattern[str], replacement: Callable[[re.Match[str]], str], text: str) -> str:
    """Innermost first, then those that held them."""
    for _ in range(_MAX_DEPTH):
        text, num_found = pattern.subn(replacement, text)
        if not num_found:
            break
    return text


def _of_template(found: re.Match[str]) -> str:
    name, *words = found[1].split("|")
    if not words or not _KEPT_TEMPLATE.match(found[1]):
        return ""
    return words[-1] if name.strip().lower() in ("lang", "nowrap") else words[0]


def _of_link(found: re.Match[str]) -> str:
    return "" if _NO_TEXT.match(found[1]) else found[1].rpartition("|")[2]
