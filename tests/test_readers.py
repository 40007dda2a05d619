"""Every format gives back exactly the text that was written, and names what it left out."""

import base64
import bz2
import csv
import datetime as dt
import gzip
import html
import io
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from docx.oxml import parse_xml
from pdf_bytes import pdf_bytes

from ishibumi.corpus.dates import date_alone, date_in_name, date_line
from ishibumi.corpus.documents import Corpus
from ishibumi.corpus.read import load_documents, read_documents, write_corpus
from ishibumi.corpus.readers.files import read_items, read_rows
from ishibumi.corpus.readers.html import page_of
from ishibumi.corpus.readers.mediawiki import plain_text
from ishibumi.corpus.readers.source import NotRead, Row
from ishibumi.corpus.split import split_long
from ishibumi.errors import InputError
from ishibumi.settings import ColumnSettings, DocumentSettings

TITLE = "南町図書館が開館"
BODY = "新しい市立図書館が9月1日、南町に開館した。蔵書は9万冊。「﨑」や「髙」の字も、①や㈱もそのまま。"
ROWS = [
    {"見出し": TITLE, "本文": BODY, "日付": "2024-09-01"},
    {"見出し": "髙橋氏", "本文": "二つ目。\n改行。", "日付": ""},
]
DAY = dt.date(2024, 9, 1)
SETTINGS = DocumentSettings(min_characters=5, prefix_share=0)
W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def only_row(path: Path) -> Row:
    rows = list(read_rows(path))
    assert len(rows) == 1
    return rows[0]


def jsonl_bytes() -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


# --- tables


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="cp932", errors="strict") as file:
        writer = csv.DictWriter(file, ["見出し", "本文", "日付"], delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(ROWS)


def write_arrow_stream(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def write_arrow_file(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)


def write_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for line in [list(ROWS[0]), *[list(row.values()) for row in ROWS]]:
        sheet.append(line)
    book.save(path)


TABLES: dict[str, Callable[[Path], Any]] = {
    "a.jsonl": lambda path: path.write_bytes(jsonl_bytes()),
    "a.json": lambda path: path.write_text(json.dumps(ROWS, ensure_ascii=False, indent=1), encoding="utf-16"),
    "a.csv": write_csv,
    "a.tsv": write_csv,
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path),
    "a.arrow": write_arrow_stream,
    "a.feather": write_arrow_file,
    "a.xlsx": write_xlsx,
    "a.jsonl.gz": lambda path: path.write_bytes(gzip.compress(jsonl_bytes())),
    "a.jsonl.bz2": lambda path: path.write_bytes(bz2.compress(jsonl_bytes())),
    "a.jsonl.xz": lambda path: path.write_bytes(lzma.compress(jsonl_bytes())),
    "a.jsonl.zst": lambda path: path.write_bytes(pa.compress(jsonl_bytes(), "zstd", asbytes=True)),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_gives_back_each_text_character_for_character(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    TABLES[name](path)
    rows = list(read_rows(path))
    assert [(row.text, row.title, row.date) for row in rows] == [
        (BODY, TITLE, "2024-09-01"),
        ("二つ目。\n改行。", "髙橋氏", None),
    ]
    assert {row.columns for row in rows} == {"text = 本文, title = 見出し, date = 日付"}
    assert all(row.origin.startswith(str(path)) for row in rows)
    assert len({row.default_id for row in rows}) == 2


def test_columns_are_named_in_the_settings_or_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": 1, "body": "no", "wiki": "yes", "Date": "2024-09-01", "URL": "https://example.org/"}\n')
    row = next(read_rows(path))
    assert (row.text, row.id, row.date, row.url) == ("no", "1", "2024-09-01", "https://example.org/")
    row = next(read_rows(path, ColumnSettings(text="wiki", id="", date="")))
    assert (row.text, row.id, row.date) == ("yes", None, None)
    assert row.columns == "text = wiki, url = URL; not used: id, body, Date"
    with pytest.raises(InputError, match=r'no text\. Columns here: .*Read as text: "" \(documents\.columns\.text\)\.'):
        next(read_rows(path, ColumnSettings(text="")))


def test_a_named_column_counts_in_the_files_that_have_it(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("障害内容,発生日\nベルトが切れた。,2024-09-01\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text(f'{{"body": "{BODY}", "date": "2024-09-02"}}\n', encoding="utf-8")
    settings = SETTINGS.model_copy(update={"columns": ColumnSettings(text="障害内容", date="発生日")})
    corpus = read_documents([tmp_path], settings)
    assert [(d.text, d.date and d.date.day) for d in corpus.documents] == [("ベルトが切れた。", 1), (BODY, 2)]
    misspelt = settings.model_copy(update={"columns": ColumnSettings(text="障害内容", date="発生曰")})
    with pytest.raises(InputError, match=r'No document has the column "発生曰" that documents\.columns\.date names'):
        read_documents([tmp_path / "b.jsonl", tmp_path / "a.csv"], misspelt)
    with pytest.raises(InputError, match=r'Columns here: 障害内容, 発生日\. Read as text: "x" \(.*\), text, 本文, '):
        next(read_rows(tmp_path / "a.csv", ColumnSettings(text="x")))


RECORDS = "商品,重さ,価格,納入元\n机上灯,1.5kg,4000,アカリ製作所\n卓上扇,2kg,,カゼ工業\n"
SENTENCES = "{商品}の重さは{重さ}です。価格は{価格}円。納入元は{納入元}。"


def test_a_table_of_records_is_told_in_sentences_and_one_whose_value_is_empty_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text(RECORDS, encoding="utf-8")
    columns = ColumnSettings(title="{商品}（{納入元}）", text=SENTENCES)
    first, second = read_rows(path, columns)
    assert (first.title, first.text) == (
        "机上灯（アカリ製作所）", "机上灯の重さは1.5kgです。価格は4000円。納入元はアカリ製作所。",
    )  # fmt: skip
    assert second.text == "卓上扇の重さは2kgです。納入元はカゼ工業。"
    assert [row.title for row in read_rows(path, ColumnSettings(title="{価格}円", text=SENTENCES))] == ["4000円", None]
    assert first.columns == "text = 商品, text = 重さ, text = 価格, text = 納入元, title = 商品, title = 納入元"
    corpus = read_documents([path], SETTINGS.model_copy(update={"columns": columns, "prefix_share": 0.0}))
    assert [d.title for d in corpus.documents] == ["机上灯（アカリ製作所）", "卓上扇（カゼ工業）"]
    misspelt = SETTINGS.model_copy(update={"columns": ColumnSettings(text=SENTENCES.replace("{価格}", "{値段}"))})
    with pytest.raises(InputError, match=r'No document has the column "値段" that documents\.columns\.text names'):
        read_documents([path], misspelt)


def test_a_table_without_text_is_refused_with_sentences_that_read_it(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    for table, told in (
        (RECORDS, "{商品}の重さは{重さ}です。{商品}の価格は{価格}です。{商品}の納入元は{納入元}です。"),
        ("id,product,weight\n1,lamp,2 kg\n", "The weight of {product} is {weight}."),
        ("番号,商品,重さ\n1,机上灯,2kg\n", "{商品}の重さは{重さ}です。"),
    ):
        path.write_text(table, encoding="utf-8")
        with pytest.raises(InputError, match="no text") as caught:
            list(read_rows(path))
        assert f"text = '{told}'" in caught.value.hint and f"text = '{told}'" in caught.value.hint_ja
        assert next(read_rows(path, ColumnSettings(text=told))).text


def test_figures_of_a_record_are_written_as_people_do(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"name": "Alder lamp", "price": 4000.0, "weight": 1.25, "ratio": "3.5 to 1"}\n', encoding="utf-8")
    (row,) = read_rows(
        path, ColumnSettings(text="The {name} costs {price} yen. It weighs {weight} kg!\nRatio: {ratio}")
    )
    assert row.text == "The Alder lamp costs 4000 yen. It weighs 1.25 kg!\nRatio: 3.5 to 1"
    path.write_text('{"name": "Alder lamp", "price": [1]}\n', encoding="utf-8")
    with pytest.raises(InputError, match="price is a list"):
        next(read_rows(path, ColumnSettings(text="{name}: {price}")))


def test_dates_and_numbers_of_typed_columns_are_read(tmp_path: Path) -> None:
    days = [dt.datetime(2024, 9, 1, 23, 0), dt.datetime(2024, 9, 2)]
    table = pa.table({"text": [BODY, BODY + BODY], "timestamp": days, "id": [7, 8], "vector": [[1.0], [2.0]]})
    pq.write_table(table, tmp_path / "a.parquet")
    documents = read_documents([tmp_path / "a.parquet"], SETTINGS).documents
    assert [(d.id, d.date) for d in documents] == [("7", DAY), ("8", dt.date(2024, 9, 2))]


def test_a_json_list_is_read_as_a_stream_and_errors_keep_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    values = [{"text": f"{i} " + "あ" * 1000, "nested": {"a": [1, {"b": "]"}]}} for i in range(2000)]
    path.write_text(json.dumps(values, ensure_ascii=False, indent=2), encoding="utf-8")
    assert [row.text for row in read_rows(path)] == [value["text"] for value in values]
    whole = path.read_text(encoding="utf-8")
    broken = whole.replace('"text": "1999 ', '"text": 1999 ')
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(broken)
    with pytest.raises(InputError) as caught:
        list(read_rows(path))
    assert caught.value.message.startswith(f"{path}:{expected.value.lineno}: not JSON (Expecting ',' delimiter at ")
    assert f"at column {expected.value.colno})" in caught.value.message


# --- pages and documents


def test_html_gives_the_text_without_furigana_and_without_the_page_around_it(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text(
        f"""<!doctype html><title>{TITLE} | 市報</title>
        <meta property="article:published_time" content="2024-09-01T09:00">
        <link rel="canonical" href="https://example.org/a"><header>市報</header><nav><a href="/">一覧</a></nav>
        <main><h1>{TITLE}</h1><p>新しい<ruby>市立<rp>（</rp><rt>しりつ</rt><rp>）</rp></ruby><b>図書館</b>が9月1日、
        南町に開館した。<br>蔵書は9万冊。</p><style>p {{}}</style><script>let x = "<p>no</p>"</script>
        <ul><li>一つ&amp;二つ</li><li>Two
        words</li></ul><table><tr><td>蔵書</td><td>9万冊</td></tr></table></main><footer>© 市</footer>""",
        encoding="euc_jp",
    )
    items = list(read_items([path]))
    row = items[-1]
    assert isinstance(row, Row)
    assert (row.title, row.date, row.url) == (TITLE, "2024-09-01T09:00", "https://example.org/a")
    assert row.text == (
        f"{TITLE}\n\n新しい市立図書館が9月1日、南町に開館した。\n蔵書は9万冊。\n\n一つ&二つ\nTwo words\n\n蔵書 9万冊"
    )
    assert [i.origin for i in items if isinstance(i, NotRead) and i.reason == "furigana"] == [f"{path}: しりつ"]


def test_a_confluence_page_gives_its_title_its_date_and_its_content_alone() -> None:
    page = page_of(
        """<html><head><title>開発 : 手順書</title></head><body><div id="page"><div id="main">
        <div id="main-header"><ol id="breadcrumbs"><li>開発</li></ol><h1 id="title-heading"><span id="title-text">
        開発 : 手順書 </span></h1></div><div id="content"><div class="page-metadata">Created by <span>A</span>,
        last modified by <span>B</span> on Sep 01, 2024</div><div id="main-content" class="wiki-content">
        <p>一行目。</p><h2>節</h2><p>二行目。</p></div></div></div>
        <div id="footer">Atlassian</div></div></body></html>""",
        name="a.html",
    )
    assert (page.title, page.date, page.text) == ("手順書", "Sep 01, 2024", "一行目。\n\n節\n\n二行目。")


def test_docx_gives_paragraphs_tables_and_the_base_of_furigana(tmp_path: Path) -> None:
    path = tmp_path / "a.docx"
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "社外秘"
    document.add_heading(TITLE, 0)
    document.add_paragraph(BODY)
    document.add_heading("節", 1)
    table = document.add_table(2, 2)
    for cell, text in zip([c for row in table.rows for c in row.cells], ["項目", "値", "蔵書", "9万冊"], strict=True):
        cell.text = text
    paragraph = document.add_paragraph("読みは")
    reading, base = (f"<w:r><w:t>{text}</w:t></w:r>" for text in ("みなみまち", "南町"))
    ruby = f"<w:ruby><w:rt>{reading}</w:rt><w:rubyBase>{base}</w:rubyBase></w:ruby>"
    paragraph._p.append(parse_xml(f"<w:r {W}>{ruby}</w:r>"))
    paragraph._p.append(parse_xml(f"<w:del {W}><w:r><w:delText>消した</w:delText></w:r></w:del>"))
    paragraph.add_run("。")
    document.save(str(path))
    items = list(read_items([path]))
    assert items[0] == NotRead(f"{path}: みなみまち", "furigana", is_part=True)
    row = items[1]
    assert isinstance(row, Row)
    assert (row.title, row.text.strip()) == (TITLE, f"{BODY}\n\n節\n項目\t値\n蔵書\t9万冊\n読みは南町。")


def test_pdf_gives_joined_paragraphs_without_page_edges(tmp_path: Path) -> None:
    path = tmp_path / "報告_2024年9月1日.pdf"
    lines = [
        "新しい市立図書館が{0}月1日、南町に開館した。蔵書は{0}",
        "万冊で、﨑や髙の字の本もある。建物は木でできている、", "第{0}。",
        "　{0}つ目の段落。", "The museum {0} has ninety thousand visitors in Septem-",
        "ber alone, which was more than it had had in all the", "year {0} before.",
    ]  # fmt: skip
    pages: list[list[tuple[float, float, str]]] = [
        [
            (50, 800, "市報 第3号"),
            *((50, 700 - 15 * y, line.format(n)) for y, line in enumerate(lines)),
            (280, 30, f"- {n} -"),
        ]
        for n in "一二三"
    ]
    path.write_bytes(pdf_bytes(pages, title="市報"))
    items = list(read_items([path]))
    assert [i.origin for i in items[:-1] if isinstance(i, NotRead)] == [f"{path}: 市報 第3号"]
    row = items[-1]
    assert isinstance(row, Row)
    assert row.text == "\n".join(
        f"新しい市立図書館が{n}月1日、南町に開館した。蔵書は{n}万冊で、﨑や髙の字の本もある。建物は木でできている、"
        f"第{n}。\n　{n}つ目の段落。\nThe museum {n} has ninety thousand visitors in September alone, which was more "
        f"than it had had in all the year {n} before.\n- {n} -"
        for n in "一二三"
    )
    assert row.title == "市報"
    assert read_documents([path], SETTINGS).documents[0].date == DAY


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed: no PDF from its typesetter")
def test_a_pdf_of_libreoffice_gives_back_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(f"{BODY}\n", encoding="utf-8")
    subprocess.run(["soffice", "--headless", "--convert-to", "pdf", "a.txt"], cwd=tmp_path, check=True, timeout=120)
    assert only_row(tmp_path / "a.pdf").text.replace("\n", "") == BODY


def test_markdown_gives_its_front_matter_and_heading(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f'---\ntitle: "{TITLE}"\ndate: 2024-09-01\ntags: [a]\n---\n# 見出し\n{BODY}\n', encoding="utf-8")
    row = only_row(path)
    assert (row.title, row.date, row.text) == (TITLE, "2024-09-01", f"見出し\n{BODY}\n")
    path.write_text(f"---\ntitle: {TITLE}\n---\n# {TITLE}\n{BODY}\n", encoding="utf-8")
    assert (only_row(path).title, only_row(path).text) == (TITLE, f"{BODY}\n")
    path.write_text(f"# {TITLE}\n\n{BODY}\n", encoding="utf-8")
    assert (only_row(path).title, only_row(path).text.strip()) == (TITLE, BODY)


def test_markdown_loses_marks_that_nobody_says(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    table = "| 項目 | 値 |\n|---|:--:|\n| 温度 | **85度** |\n"
    path.write_text(f"---\ncreated: 2024-09-01\n---\n## 決定事項\n2**3 と __強調__、a__b。\n{table}", encoding="utf-8")
    row = only_row(path)
    assert row.date == "2024-09-01"
    assert row.text == "決定事項\n2**3 と 強調、a__b。\n| 項目 | 値 |\n| 温度 | 85度 |\n"


def test_mediawiki_pages_become_plain_text_and_others_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    wikitext = (
        "{{Infobox|a={{b|c}}}}'''南町図書館'''（{{Lang|en|South Library}}）は[[南町]]の[[図書館|公立図書館]]"
        "<ref name='a'>出典</ref>。[[ファイル:a.jpg|thumb|[[南町]]の写真]]\n== 歴史 ==\n"
        "* [https://example.org 2024年]開館。<!-- 秘密 -->\n{| class=a\n|-\n| x\n|}\n[[Category:図書館]]"
    )
    pages = (
        "<page><title>南町図書館</title><ns>0</ns><id>1</id><revision><id>2</id>"
        f"<timestamp>2024-09-01T00:00:00Z</timestamp><text>{html.escape(wikitext)}</text></revision></page>"
        "<page><title>図書館</title><ns>0</ns><redirect title='x'/></page>"
        "<page><title>ノート:図書館</title><ns>1</ns></page>"
    )
    path.write_text(f"<mediawiki xmlns='http://www.mediawiki.org/xml/export-0.11/'>{pages}</mediawiki>", "utf-8")
    row, *others = list(read_items([path]))
    assert isinstance(row, Row)
    assert (row.title, row.date) == ("南町図書館", "2024-09-01T00:00:00Z")
    assert row.text.strip() == "南町図書館（South Library）は南町の公立図書館。\n\n歴史\n\n2024年開館。"
    assert others == [
        NotRead(f"{path}#2: 図書館", "redirect"),
        NotRead(f"{path}#3: ノート:図書館", "other_namespace"),
    ]


def test_wikitext_that_is_never_closed_takes_no_text_with_it() -> None:
    assert plain_text("a <ref>b {{c [[d <!-- e") == "a b {{c [[d <!-- e"


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "shift_jis"])
def test_mail_gives_subject_date_and_the_text_that_is_shown(tmp_path: Path, charset: str) -> None:
    message = EmailMessage()
    message["Subject"] = TITLE
    message["Date"] = "Sun, 01 Sep 2024 10:00:00 +0900"
    message.set_content(f"開館した。\n>From 南町\n{BODY[:20]}\n", charset=charset)
    message.add_alternative("<p>no</p>", subtype="html")
    message.add_attachment("添付".encode(), maintype="text", subtype="plain", filename="a.txt")
    (tmp_path / "a.eml").write_bytes(bytes(message))
    row = only_row(tmp_path / "a.eml")
    assert (row.title, row.text) == (TITLE, f"開館した。\n>From 南町\n{BODY[:20]}\n")
    both = b"".join(b"From a@example.org Sun Sep  1 10:00:00 2024\n" + bytes(message) + b"\n" for _ in range(2))
    (tmp_path / "a.mbox").write_bytes(both)
    documents = read_documents([tmp_path / "a.mbox"], SETTINGS)
    assert [(d.title, d.date) for d in documents.documents] == [(TITLE, DAY)]
    assert documents.report["duplicate"]["count"] == 1


def as_outlook_writes(text: str) -> bytes:
    """`text` in ISO-2022-JP with the characters that only CP932 has."""
    written = b""
    for character in text:
        a, b = character.encode("cp932")
        row = (a - (0x70 if a < 0xA0 else 0xB0)) * 2 - (b < 0x9F)
        written += bytes([row, b - (0x7E if b >= 0x9F else 0x20 if b > 0x7F else 0x1F)])
    return b"\x1b$B" + written + b"\x1b(B"


def test_mail_of_japanese_programs_keeps_characters_that_its_encoding_lacks(tmp_path: Path) -> None:
    subject = b"=?iso-2022-jp?b?" + base64.b64encode(as_outlook_writes("㈱髙橋の見積")) + b"?="
    for kind in (b"Content-Type: text/plain; charset=iso-2022-jp\n", b""):
        head = b"Subject: " + subject + b"\n" + kind + b"\n"
        body = as_outlook_writes("①から③まで") + b"\n" + "二行目\n".encode("iso2022_jp")
        (tmp_path / "a.eml").write_bytes(head + body)
        row = only_row(tmp_path / "a.eml")
        assert (row.title, row.text) == ("㈱髙橋の見積", "①から③まで\n二行目\n")


@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "cp932"])
def test_a_mail_subject_without_a_named_encoding_is_read_by_its_bytes(tmp_path: Path, charset: str) -> None:
    (tmp_path / "a.eml").write_bytes(b"Subject: " + "会議の場所".encode(charset) + b"\n\n" + BODY[:20].encode(charset))
    assert (only_row(tmp_path / "a.eml").title, only_row(tmp_path / "a.eml").text) == ("会議の場所", BODY[:20])


# --- folders, globs, archives


def test_a_folder_is_read_in_order_and_the_other_files_are_told(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/2.txt", "1.html", "picture.png", ".hidden.txt", "empty.zip"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name} の本文です。", encoding="utf-8")
    zipfile.ZipFile(tmp_path / "in" / "empty.zip", "w").close()
    (tmp_path / "in" / "b" / "up").symlink_to(tmp_path / "in")
    corpus = read_documents([tmp_path / "in"], SETTINGS)
    assert [d.id for d in corpus.documents] == ["1", "a/2", "b/2"]
    assert {reason: left["examples"] for reason, left in corpus.report.items()} == {
        "hidden_file": [str(tmp_path / "in" / ".hidden.txt")],
        "other_format": [str(tmp_path / "in" / "picture.png")],
    }
    found = read_documents([tmp_path / "in" / "*" / "*.txt"], SETTINGS).documents
    assert [(d.id, d.text) for d in found] == [("a/2", "a/2.txt の本文です。"), ("b/2", "b/2.txt の本文です。")]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2", "a.tar.zst"])
def test_an_archive_is_read_without_unpacking(tmp_path: Path, name: str) -> None:
    members = {"x/1.jsonl.gz": gzip.compress(jsonl_bytes()), "x/2.txt": BODY.encode("cp932", "ignore"), "y.png": b"p"}
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, data in members.items():
                archive.writestr(member, data)
    else:
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for member, data in members.items():
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        packers: dict[str, Callable[[bytes], bytes]] = {
            "gz": gzip.compress,
            "tgz": gzip.compress,
            "xz": lzma.compress,
            "bz2": bz2.compress,
        }
        packers["zst"] = lambda data: pa.compress(data, "zstd", asbytes=True)
        path.write_bytes(packers.get(name.rpartition(".")[2], bytes)(raw.getvalue()))
    items = list(read_items([path]))
    assert [(i.text, i.origin) for i in items if isinstance(i, Row)] == [
        (BODY, f"{path}!/x/1.jsonl.gz:1"),
        ("二つ目。\n改行。", f"{path}!/x/1.jsonl.gz:2"),
        (BODY.encode("cp932", "ignore").decode("cp932"), f"{path}!/x/2.txt:1"),
    ]
    assert [i for i in items if not isinstance(i, Row)] == [NotRead(f"{path}!/y.png", "other_format")]
    assert os.listdir(tmp_path) == [name]


def test_a_member_name_of_a_japanese_windows_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("XXXXXX.txt", BODY)
    data = (tmp_path / "a.zip").read_bytes().replace(b"XXXXXX", "報告書".encode("cp932"))
    (tmp_path / "a.zip").write_bytes(data)
    assert [row.default_id for row in read_rows(tmp_path / "a.zip")] == ["a/報告書"]


def test_a_dataset_from_a_hub_is_read_as_its_folder_lies(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "blobs" / "123")
    folder = tmp_path / "snapshots" / "abc"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "train-00000-of-00001.parquet").symlink_to("../../../blobs/123")
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# A dataset\n")
    (folder / "dataset_infos.json").write_text("{}")
    corpus = read_documents([folder], SETTINGS)
    assert [d.id for d in corpus.documents] == [f"data/train-00000-of-00001-{n}" for n in (1, 2)]
    assert corpus.report["about_the_dataset"]["count"] == 2
    saved = tmp_path / "saved" / "train"
    saved.mkdir(parents=True)
    write_arrow_stream(saved / "data-00000-of-00001.arrow")
    (saved / "state.json").write_text("{}")
    assert len(read_documents([tmp_path / "saved"], SETTINGS).documents) == 2


# --- dates, cleaning, long documents, the report


@pytest.mark.parametrize(
    ("line", "date"),
    [
        ("Published: September 1, 2024 | by A", "September 1, 2024"),
        ("公開日：２０２４年９月１日", "２０２４年９月１日"),
        ("最終更新：2024年9月1日", "2024年9月1日"),
        ("【掲載日】: 令和6年2月30日", "令和6年2月30日"),
        ("Date: unknown day", None),
        ("The date: 2024-09-01", None),
    ],
)
def test_a_line_at_the_top_may_give_the_date(line: str, date: str | None) -> None:
    assert date_line(f"{TITLE}\n{line}\n{BODY}") == date


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("2024年9月1日", True),
        ("　令和6年9月1日（日）　品質保証部", True),
        ("September 1, 2024", True),
        ("2024年9月1日に開かれた。", False),
        ("2024年9月1日 開会", False),
        ("20240901", False),
        ("2024-99-01", False),
    ],
)
def test_a_date_alone_on_a_line_near_the_top_is_the_documents(line: str, found: bool) -> None:
    assert date_alone(f"{TITLE}\n\n{line}\n{BODY}") == (DAY if found else None)
    assert date_alone(f"{TITLE}\n" + 8 * "一行。\n" + f"{line}\n{BODY}") is None


@pytest.mark.parametrize(
    "name",
    ["2024-09-01.txt", "news_20240901_2.html", "議事録（令和6年9月1日）.docx", "2024年9月1日.pdf", "a-2024_9_1.md"],
)
def test_a_file_name_may_give_the_date(name: str) -> None:
    assert date_in_name(name) == DAY


@pytest.mark.parametrize("name", ["120240901.txt", "2024-13-01.txt", "20240231.txt", "v2024.1.txt", "2024091.txt"])
def test_other_digits_in_a_file_name_are_no_date(name: str) -> None:
    assert date_in_name(name) is None


def test_every_change_is_counted_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "news-2024-09-01.jsonl"
    texts = [
        "｜南町《みなみまち》の図書館《としょかん》。",
        "Ａ１のﾊﾟﾘ\0\ud800か\u3099\u200b。名画《ひまわり》。",
        "公開日：2099年1月1日\n未来の文書です。",
    ]
    path.write_text("".join(json.dumps({"text": text, "lang": "ja"}) + "\n" for text in texts))
    out = tmp_path / "out"
    out.mkdir()
    corpus = replace(write_corpus([path], SETTINGS, out), documents=load_documents(out))
    assert [d.text for d in corpus.documents][:2] == ["南町の図書館。", "A1のパリが。名画《ひまわり》。"]
    assert [d.date for d in corpus.documents] == [DAY, DAY, dt.date(2099, 1, 1)]
    assert {rule: told["count"] for rule, told in corpus.changes.items()} == {
        "furigana": 1, "date_from_file_name": 2, "control_characters": 1, "invisible_characters": 1, "full_width": 1,
        "half_width_kana": 1, "decomposed": 1, "date_from_text": 1, "date_in_the_future": 1,
    }  # fmt: skip
    assert corpus.changes["full_width"]["examples"] == [f"{path}:2: Ａ１のﾊﾟﾘ\0?か\u3099\u200b"]
    assert corpus.columns == {
        "text = text; not used: lang": {"count": 3, "examples": [f"{path}:{n}" for n in (1, 2, 3)]}
    }
    assert json.loads((out / "reading.json").read_text()) == {"columns": corpus.columns, "changes": corpus.changes}


def test_a_long_document_is_split_with_its_title_and_date(tmp_path: Path) -> None:
    sentences = [f"これは{n}番目の文で、長さはだいたい同じです。" for n in range(60)]
    text = "".join(sentences[:30]) + "\n\n■ 次の節\n\n" + "".join(sentences[30:])
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "n", "title": TITLE, "text": text, "date": "2024-09-01"}))
    settings = SETTINGS.model_copy(update={"max_characters": 1000})
    corpus = read_documents([tmp_path / "a.jsonl"], settings)
    assert [(d.id, d.title, d.date) for d in corpus.documents] == [("n", TITLE, DAY), ("n#2", TITLE, DAY)]
    assert corpus.documents[1].text.startswith("■ 次の節\n\nこれは30番目")
    assert corpus.changes["split"]["count"] == 1


@pytest.mark.parametrize("most", [100, 137, 1000])
def test_split_parts_fit_and_lose_only_white_space(most: int) -> None:
    text = ("「はい。」と言った。Mr. Smith left. Then he came back!\n" * 5 + "# 見出し\n" + "長" * 300 + "\n\n") * 4
    parts = split_long(text, most)
    assert max(map(len, parts)) <= most
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_ids_that_no_file_gives_never_collide(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(f"{folder} の中の文書です。", encoding="utf-8")
    corpus = read_documents([tmp_path / "x", tmp_path / "y" / "a.txt"], SETTINGS)
    assert [d.id for d in corpus.documents] == ["a", "a~2"]


def test_skip_counts_what_is_bad_and_reads_on(tmp_path: Path) -> None:
    good = [json.dumps({"text": f"{BODY}{n}", "date": "2024-09-01"}) for n in range(2)]
    (tmp_path / "a.jsonl").write_text(
        "\n".join([good[0], "{", '{"text": "これは悪い日付です。", "date": "2024-02-30"}', good[1]])
    )
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    settings = SETTINGS.model_copy(update={"on_bad": "skip"})
    corpus: Corpus = read_documents([tmp_path], settings)
    assert [d.id for d in corpus.documents] == ["a-1", "a-4"]
    bad = corpus.report["bad"]
    assert bad["count"] == 3
    assert [example.rpartition(str(tmp_path))[2][:12] for example in bad["examples"]] == [
        "/a.jsonl:2: ", "/a.jsonl:3: ", "/b.parquet: ",
    ]  # fmt: skip
