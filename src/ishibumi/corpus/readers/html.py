"""HTML pages, also Confluence exports → one row a file: what a reader came for, without the page around it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ishibumi.corpus.readers.columns import short
from ishibumi.corpus.readers.encoding import WIDE, encoding_of
from ishibumi.corpus.readers.source import Item, NotRead, Row, Source, unreadable
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings

SUFFIXES = (".html", ".htm", ".xhtml")

# rt and rp are furigana; the rest stands around the text, or is no text.
DROPPED = {
    "rt", "rp", "script", "style", "nav", "header", "footer", "noscript", "template", "iframe", "svg", "math", "form",
    "button", "select", "textarea", "head", "title", "object", "video", "audio", "canvas",
}  # fmt: skip
REPORTED = {"rt": "furigana", "nav": "around_the_text", "header": "around_the_text", "footer": "around_the_text"}
PARAGRAPHS = {
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "section", "article",
    "figure",
}  # fmt: skip
LINES = {
    "div",
    "li",
    "tr",
    "dt",
    "dd",
    "main",
    "aside",
    "address",
    "hr",
    "figcaption",
    "caption",
    "details",
    "summary",
    "br",
}
UNCLOSED = {
    "p", "li", "td", "th", "tr", "dt", "dd", "thead", "tbody", "option", "br", "img", "hr", "meta", "link", "input",
    "col", "html", "body", "head", "area", "base", "embed", "source", "track", "wbr", "param",
}  # fmt: skip
MAX_DEPTH = 5000
MAX_PAGE_BYTES = 8 * 2**20
ROOTS = ("#main-content", "article", "main", "[role=main]", "body")  # the first is Confluence's
DATE_METAS = ("article:published_time", "date", "pubdate", "publishdate", "dc.date", "dcterms.created", "datepublished")
_BREAK_IN_JAPANESE = re.compile(rf"(?<={WIDE})[ \t]*\n\s*(?={WIDE})")
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)")
_META_CHARSET = re.compile(rb"<meta[^>]+charset=[\"']?([\w-]+)", re.IGNORECASE)
_MODIFIED = re.compile(
    r"(?:last (?:modified|updated)|created)[^\d\n]*?on ([^\n]+)|最終更新[^\d\n]*([^\n]+)", re.IGNORECASE
)


@dataclass(frozen=True)
class Page:
    """What was read from a page."""

    text: str
    title: str | None
    date: str | None
    url: str | None
    dropped: list[tuple[str, str]]  # (rule, what it took away)


def read_html(source: Source, columns: ColumnSettings) -> Iterator[Item]:
    """The page as one row."""
    data = source.read_bytes(limit=MAX_PAGE_BYTES)
    try:
        encoding = encoding_of(data, origin=source.name)
    except InputError:
        declared = _META_CHARSET.search(data[:4096])
        if declared is None:
            raise
        encoding = declared[1].decode("ascii")
    page = page_of(data.decode(encoding), name=source.name)
    yield from (NotRead(f"{source.name}: {short(text)}", rule, is_part=True) for rule, text in page.dropped)
    yield Row(page.text, page.title, page.date, None, f"{source.name}:1", source.stem, page.url)


def page_of(html: str, *, name: str) -> Page:
    """The text, title, date and address of a page; headings and paragraphs stand apart by an empty line.

    Raises InputError, with `name`, for a page that is nested too deeply.
    """
    from selectolax.lexbor import LexborHTMLParser

    _require_shallow(html, name)
    tree = LexborHTMLParser(html)
    # A page of several articles is a list of them: then all that is in it is read.
    roots = (tree.css(selector) for selector in ROOTS)
    root = next((found[0] for found in roots if len(found) == 1), None)
    dropped: list[tuple[str, str]] = []
    text = _text(root, dropped) if root else ""
    return Page(text, _title(tree), _date(tree), _attribute(tree, "link[rel=canonical]", "href"), dropped)


def _require_shallow(html: str, name: str) -> None:
    """Raise InputError for a page nested so deeply that the parser, whose time grows with its square, would hang."""
    depth = 0
    for found in _TAG.finditer(html):
        if found[2].lower() not in UNCLOSED:
            depth = max(0, depth - 1) if found[1] else depth + 1
            if depth > MAX_DEPTH:
                raise unreadable(name, f"tags nested more than {MAX_DEPTH} deep")


def _text(root: Any, dropped: list[tuple[str, str]]) -> str:
    """The text below `root`, without recursion: a page may nest deeper than Python's stack."""
    # Marks: \0 the edge of a line, \1 of a paragraph, \2 a line end in pre. Other white space is the source's layout.
    pieces: list[str] = []
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            pieces.append(node)
        elif node.tag == "-text":
            pieces.append(_of_text_node(node))
        elif node.tag not in DROPPED:
            edge = "\1" if node.tag in PARAGRAPHS else "\0" if node.tag in LINES else ""
            pieces.append(edge)
            waiting.append(" " if node.tag in ("td", "th") else edge)
            waiting += reversed(list(node.iter(include_text=True)))
        elif rule := REPORTED.get(node.tag):
            dropped.append((rule, node.text()))
    text = re.sub(r"[ \t\n\r\f]+", " ", _BREAK_IN_JAPANESE.sub("", "".join(pieces)))
    text = re.sub(r"[ \0\1]*[\0\1][ \0\1]*", lambda edges: "\n\n" if "\1" in edges[0] else "\n", text)
    return text.strip(" \n").replace("\2", "\n")


def _of_text_node(node: Any) -> str:
    text = re.sub(r"[\0-\2]", "", node.text_content or "")
    return text.replace("\n", "\2") if node.parent is not None and node.parent.tag == "pre" else text


def _title(tree: Any) -> str | None:
    """The page's own title: Confluence's, og:title, the only h1, or that of the window."""
    confluence = tree.css_first("#title-text")
    if confluence is not None:
        return " ".join(confluence.text().split()).rpartition(" : ")[2] or None
    headings = tree.css("h1")
    heading = _text(headings[0], []).replace("\n", " ") if len(headings) == 1 else ""
    window = tree.css_first("title")
    title = _attribute(tree, 'meta[property="og:title"]', "content") or heading or (window.text() if window else "")
    return " ".join(title.split()) or None


def _date(tree: Any) -> str | None:
    for meta in tree.css("meta[content]"):
        name = meta.attributes.get("property") or meta.attributes.get("name") or meta.attributes.get("itemprop") or ""
        if name.lower() in DATE_METAS and meta.attributes["content"]:
            return str(meta.attributes["content"])
    metadata = tree.css_first(".page-metadata")  # Confluence
    found = _MODIFIED.search(" ".join(metadata.text().split())) if metadata is not None else None
    if found:
        return found[1] or found[2]
    return _attribute(tree, "time[datetime]", "datetime")


def _attribute(tree: Any, selector: str, name: str) -> str | None:
    node = tree.css_first(selector)
    return (node.attributes.get(name) or None) if node is not None else None
