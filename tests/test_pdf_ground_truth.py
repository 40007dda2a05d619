"""PDFs of many pages, set by Chromium, give back every character that was written but headers and page numbers."""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pypdfium2 as pdfium
import pytest

from ishibumi.corpus.readers.files import read_items
from ishibumi.corpus.readers.source import NotRead, Row

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium fonts-noto-cjk")
EDGES = {
    "ja": ('"市報 南町 第3号"', 'counter(page) " / " counter(pages)', ["市報 南町 第3号", "1 / {}"]),
    "en": ('"South Town Report 2024"', '"Page " counter(page)', ["South Town Report 2024", "Page 1"]),
}
JA = (
    "新しい市立図書館の運営について、町民の代表から多くの意見が出された。",
    "「本の森」と呼ばれる閲覧席は百二十席あり、コーヒーも飲める。",
    "2024年度の利用者は12,345人で、前の年を大きく上回った。",
    "﨑や髙の字も、①や㈱も、そのまま残す。",
    "詳しくは〒100-0001の窓口（https://example.org/library）で聞いてほしい。",
)
EN = (
    "The library of South Town opened its doors on the first of September.",
    "It holds 90,000 books, and the local shelf is remarkably wide.",
    '"Let us grow a forest of books together," said the mayor.',
    "In 2024 it had 12,345 visitors, more than in any year before.",
    "There are 120 seats; coffee, computers and quiet conversation are welcome.",
)
# Each page begins and ends alike: with more text than a line holds, with a heading, or with a list.
ALIKE = {
    "ja": "この日の定例会では、はじめに町長が次のとおりあいさつし、続いて議案の説明を行い、質疑に入った。",
    "en": "At the regular meeting of this day the mayor spoke first, then all bills were explained and debated.",
}
HEADINGS = {"ja": "第{}回 定例会", "en": "Meeting {}"}


def blocks(lang: str) -> list[tuple[str, str]]:
    """Tag and text of what is written: nine meetings that begin a page each, three of which run over its border."""
    sentences, space = (JA, "") if lang == "ja" else (EN, " ")
    written = list[tuple[str, str]]()
    for n in range(1, 10):
        top = {3: "h3", 5: "li"}.get(n, "p") + " class=top"
        tops = {"h3 class=top": HEADINGS[lang].format(n), "li class=top": f"{n}. {sentences[n % 5]}"}
        written.append((top, tops.get(top, ALIKE[lang] + space + sentences[n % 5])))
        written += [("li", f"{item}. {sentences[(n + item) % 5]}") for item in (11, 12, 13)]
        for m in range(13 if n in (2, 6, 8) else 3):
            said = [sentences[(n + m + k) % 5] for k in range(1 + (n + m) % 4)]
            written.append(("p", space.join((ALIKE[lang], f"[{n}/{m}]", *said))))
        written.append(("p", ALIKE[lang]))
    return written


def print_pdf(path: Path, written: list[tuple[str, str]], *, lang: str, style: str, has_edges: bool) -> None:
    header, footer, _ = EDGES[lang]
    edges = f"@top-left {{ content: {header} }} @bottom-center {{ content: {footer} }}" if has_edges else ""
    body = "".join(
        f"<{tag} value={text.split('.')[0]}>{html.escape(text.split('. ', 1)[1])}</li>"
        if tag.startswith("li")
        else f"<{tag}>{html.escape(text)}</{tag.split()[0]}>"
        for tag, text in written
    )
    page = (
        f"<!doctype html><html lang={lang}><meta charset=utf-8><title>x</title><style>@page {{ size: A5; margin: 18mm;"
        f" font-size: 10pt; {edges} }} body {{ margin: 0; font: 10pt/1.5 'Noto Serif CJK JP' }} li {{ margin-left: 4em;"
        f" list-style: decimal }} .top {{ break-before: page }} {style}</style><body>{body}"
    )
    path.with_suffix(".html").write_text(page, encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
    command += [f"--print-to-pdf={path}", path.with_suffix(".html").as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)


def page_texts(path: Path) -> list[str]:
    with pdfium.PdfDocument(path) as document:
        return [page.get_textpage().get_text_range() for page in document]


@pytest.mark.parametrize("lang", ["ja", "en"])
@pytest.mark.parametrize(
    ("style", "has_edges"),
    [
        ("p { margin: 0 0 0.8em }", True),
        ("p { margin: 0; text-indent: 1em; text-align: justify }", True),
        ("p { margin: 1em 0 }", False),
    ],
    ids=["gaps", "indents", "no header"],
)
def test_pages_give_back_every_character_but_headers(tmp_path: Path, lang: str, style: str, has_edges: bool) -> None:
    written, path = blocks(lang), tmp_path / "a.pdf"
    print_pdf(path, written, lang=lang, style=style, has_edges=has_edges)
    pages = [re.sub(r"\s", "", text) for text in page_texts(path)]
    texts = [text for _, text in written]
    flat = [re.sub(r"\s", "", text) for text in texts]
    assert len(pages) >= 5
    assert sum(ALIKE[lang][:20].replace(" ", "") in page[:60] for page in pages) > len(pages) / 2
    assert any(all(text not in page for page in pages) for text in flat)  # it crosses a border
    *left_out, row = read_items([path])
    assert isinstance(row, Row)
    assert row.text.split("\n") == texts
    told = [edge.format(len(pages)) for edge in EDGES[lang][2]] if has_edges else []
    assert [(n.origin, n.reason, n.is_part) for n in left_out if isinstance(n, NotRead)] == [
        (f"{path}: {edge}", "page_header_or_footer", True) for edge in told
    ]
