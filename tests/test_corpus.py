"""Documents: what is read, cleaned, dated and left out, and every input that is refused with its file and line."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from ishibumi.corpus.clean import clean_text, language_of, split_title
from ishibumi.corpus.dates import format_date, parse_date
from ishibumi.corpus.documents import Document
from ishibumi.corpus.read import load_documents, read_documents, write_corpus
from ishibumi.corpus.readers.columns import NAMES
from ishibumi.corpus.readers.files import read_rows
from ishibumi.corpus.rows import prefixed
from ishibumi.corpus.texts import read_texts
from ishibumi.errors import InputError, UsageError
from ishibumi.settings import DocumentSettings

SETTINGS = DocumentSettings(min_characters=5)
BODY = "スペインが決勝でアルゼンチンを破った。"
DAY = dt.date(2024, 9, 1)


def jsonl(path: Path, *rows: dict[str, Any], encoding: str = "utf-8") -> Path:
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding))
    return path


def refusal(path: Path, settings: DocumentSettings = SETTINGS) -> str:
    with pytest.raises(InputError) as caught:
        read_documents([path], settings)
    assert caught.value.exit_code == 1
    assert caught.value.hint and caught.value.hint_ja
    return caught.value.message


# --- dates


@pytest.mark.parametrize(
    "written",
    [
        "2024-09-01",
        "2024/9/1",
        "2024.09.01",
        "20240901",
        "2024年9月1日",
        "２０２４年９月１日（日）",
        "2024年9月1日(日) 12時30分",
        "2024-09-01T23:30:00+09:00",
        "令和6年9月1日",
        "㋿6年9月1日",
        "平成36年9月1日",
        "R6.9.1",
        "September 1, 2024",
        "1 Sep 2024",
        "Sun, 01 Sep 2024 10:00:00 GMT",
        1725148800,
        "1725148800000",
    ],
)
def test_a_date_is_read_however_it_is_written(written: str | int) -> None:
    assert parse_date(written) == DAY


def test_the_first_year_of_an_era_is_gannen() -> None:
    assert parse_date("令和元年5月1日") == parse_date("平成31年5月1日") == dt.date(2019, 5, 1)


@pytest.mark.parametrize("written", ["", "昨日", "9/1", "2024年9月", "2024-09-01 or so", "12"])
def test_what_is_no_date_is_not_guessed(written: str) -> None:
    assert parse_date(written) is None


@pytest.mark.parametrize("written", ["2024年2月30日", "2024-13-01", "令和6年4月31日", "February 30, 2024"])
def test_a_day_that_cannot_be_is_an_error(written: str) -> None:
    with pytest.raises(ValueError, match=r"day|month"):
        parse_date(written)


def test_dates_are_written_in_words() -> None:
    assert (format_date(DAY, "ja"), format_date(DAY, "en")) == ("2024年9月1日", "September 1, 2024")


# --- cleaning


def test_cleaning_touches_digits_letters_spaces_and_nothing_else() -> None:
    assert (
        clean_text("　Ｊ１の２，０００人が「３．５」％、です。！？（笑）") == "J1の2,000人が「3.5」％、です。！？（笑）"
    )
    assert clean_text("ﾊﾟﾘ か\u3099 Jose\u0301") == "パリ が José"
    assert clean_text("a\r\nb\u2028c\x00d\u200be\ufeff\ud800\n\n\n\nf \t g") == "a\nb\ncde\n\nf g"
    assert clean_text("\ufa11\ufa19") == "\ufa11\ufa19"  # NFC would put another character for U+FA19


def test_cleaning_twice_changes_nothing() -> None:
    once = clean_text("　ﾊﾟﾘで　か\u3099\r\n\r\n\r\nＡ")
    assert clean_text(once) == once


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (f"スペインが優勝\n{BODY}", "スペインが優勝"),
        (f"日本は勝てるか？\n{BODY}", "日本は勝てるか？"),
        ("Spain win the cup\n\nSpain beat Argentina.", "Spain win the cup"),
        (f"{BODY}\n次の文です。", None),
        ("スペインが優勝", None),
        ("あ" * 61 + f"\n\n{BODY}", None),
        ("The match between Spain and France was\nplayed in a stadium that is old.", None),
    ],
)
def test_a_title_is_a_short_first_line_that_ends_no_sentence(text: str, title: str | None) -> None:
    found, body = split_title(text)
    assert found == title
    assert body == (text if title is None else text.removeprefix(title).lstrip("\n"))


def test_language_is_told_by_kana_and_kanji() -> None:
    texts = ["J1のFC東京はSAPと契約。", "He plays for 浦和 Reds in the league", "2-0", "東京"]
    assert [language_of(text) for text in texts] == ["ja", "en", "en", "ja"]


# --- rows


def test_columns_may_have_japanese_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"見出し": "優勝", "本文": BODY, "日付": "2024年9月1日", "id": 7})
    document = Document("7", BODY, "優勝", DAY, "ja", f"{path}:1")
    assert read_documents([path], SETTINGS).documents == [document]


def test_the_title_line_leaves_the_text_or_stays(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": f"優勝\n{BODY}", "date": "2024-09-01"})
    assert read_documents([path], SETTINGS).documents == [Document("a-1", BODY, "優勝", DAY, "ja", f"{path}:1")]
    kept = read_documents([path], SETTINGS.model_copy(update={"remove_title": False})).documents[0]
    assert (kept.title, kept.text) == ("優勝", f"優勝\n{BODY}")


def test_a_title_column_is_taken_off_the_text_only_where_it_repeats(tmp_path: Path) -> None:
    rows = [{"title": "優勝", "text": f"{first}\n{BODY}", "date": "2024-09-01"} for first in ("優勝", "決勝の日")]
    texts = [d.text for d in read_documents([jsonl(tmp_path / "a.jsonl", *rows)], SETTINGS).documents]
    assert texts == [BODY, f"決勝の日\n{BODY}"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp932", "euc_jp"])
def test_japanese_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": BODY}, encoding=encoding)
    assert [row.text for row in read_rows(path)] == [BODY]


def test_json_lists_and_text_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps([{"text": "one"}, {"text": "two"}], indent=1))
    (tmp_path / "lines.json").write_text('{"text": "one"}\n{"text": "two"}\n')
    (tmp_path / "note.txt").write_text("title\n\nbody\r\n")
    origins = [
        [(r.text, r.origin.removeprefix(str(tmp_path))) for r in read_rows(p)] for p in sorted(tmp_path.iterdir())
    ]
    assert origins == [
        [("one", "/lines.json:1"), ("two", "/lines.json:2")],
        [("one", "/list.json#1"), ("two", "/list.json#2")],
        [("title\n\nbody\n", "/note.txt:1")],
    ]


def test_a_line_separator_inside_a_string_is_no_line_end(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "one\u2028two"}, {"text": "three"})
    assert [row.origin for row in read_rows(path)] == [f"{path}:1", f"{path}:2"]


# --- what is refused


def test_a_malformed_line_is_named_and_shown_short(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": BODY, "date": "2024-09-01"})
    path.write_text(path.read_text() + '\n{"text": "' + "abc" * 40 + "\n")
    message = refusal(path)
    assert message.startswith(f"{path}:3: not JSON (Unterminated string at column 10): ")
    assert message.endswith('{"text": "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabca…')


def test_a_broken_list_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[\n{"text": "a"},\n{"text": }\n]')
    assert refusal(path) == f'{path}:3: not JSON (Expecting value at column 10): {{"text": }}'


def test_rows_that_are_no_documents_are_named(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"headline": "x", "url": "y"})
    assert refusal(path) == f"{path}:1: no text. Columns here: headline, url. Read as text: {', '.join(NAMES['text'])}."
    path.write_text("[1, 2]\n")
    assert refusal(path) == f"{path}:1: not an object but a list: [1, 2]"
    jsonl(path, {"text": ["a"]})
    assert refusal(path) == f'{path}:1: text is a list, not a text: ["a"]'
    jsonl(path, {"text": BODY, "date": {"year": 2024}})
    assert refusal(path) == f'{path}:1: date is an object: {{"year": 2024}}'


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    jsonl(tmp_path / "news.jsonl", {"text": BODY})
    (tmp_path / "picture.png").touch()
    assert refusal(tmp_path / "new.jsonl") == f"No file {tmp_path / 'new.jsonl'}. Files in {tmp_path}: news.jsonl."
    assert refusal(tmp_path / "*.html") == f"No file {tmp_path / '*.html'}. Files in {tmp_path}: news.jsonl."
    for name in ("minutes", ".git"):
        (tmp_path / name).mkdir()
    (tmp_path / "mail.zip").touch()
    assert refusal(tmp_path / "minute").endswith(f"Files in {tmp_path}: mail.zip, minutes/, news.jsonl.")
    nowhere = tmp_path / "no" / "a.jsonl"
    assert refusal(nowhere) == f"No file {nowhere}. Files in {nowhere.parent}: none (no such directory)."


def test_a_format_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.touch()
    assert refusal(path).startswith(f'{path}: cannot read ".png" files. Readable: .jsonl, .ndjson, .json, .csv, .tsv, ')


@pytest.mark.parametrize("data", [b'{"text": "\xff\xff"}', '{"text": "Julián Quiñones"}'.encode("latin-1")])
def test_an_unknown_encoding_is_refused_and_not_guessed(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(data)
    assert refusal(path) == (
        f"{path}: unknown encoding. Tried: UTF-8, UTF-16 (with its mark), CP932 (Shift_JIS), EUC-JP, ISO-2022-JP. "
        f"First bytes: {data[:16].hex(' ')}."
    )


def test_a_document_without_a_date_is_refused_where_the_prefix_needs_one(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": BODY, "date": "2024-09-01"}, {"text": BODY})
    needs = f"{path}:2: this document has no date, and its prefix «{{date}}のニュース:» needs one."
    assert refusal(path) == needs
    with pytest.raises(InputError) as caught:
        read_documents([path], SETTINGS)
    assert "into its file's name, a line «Published: 2024-09-01»" in caught.value.hint
    assert "日付をファイル名、先頭の「公開日：2024-09-01」のような行、date 列のどれかに書くか、" in caught.value.hint_ja
    without = SETTINGS.model_copy(update={"prefix_share": 0.0})
    assert [d.date for d in read_documents([path], without).documents] == [DAY, None]


def test_a_date_that_cannot_be_is_named_with_its_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": BODY, "date": "2024年2月30日"})
    assert refusal(path) == f"{path}:1: there is no date 2024年2月30日 (day is out of range for month)."
    with pytest.raises(InputError) as caught:
        read_documents([path], SETTINGS)
    assert all('documents.on_bad = "skip"' in hint for hint in (caught.value.hint, caught.value.hint_ja))
    jsonl(path, {"text": BODY, "date": "昨日"})
    assert refusal(path) == f"{path}:1: cannot read the date 昨日."


def test_two_documents_with_one_id_are_refused(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": text, "date": "2024-09-01"} for text in (BODY, BODY + BODY)]
    path = jsonl(tmp_path / "a.jsonl", *rows)
    assert refusal(path) == f"{path}:2: the id a is already that of {path}:1."


def test_a_prefix_with_an_unknown_field_is_a_usage_error() -> None:
    settings = SETTINGS.model_copy(update={"prefix_en": "News of {day}:"})
    with pytest.raises(UsageError) as caught:
        read_documents([Path("a.jsonl")], settings)
    expected = 'documents.prefix_en = "News of {day}:": unknown field {day}. Fields: {date}, {title}.'
    assert caught.value.message == expected


def test_no_paths_are_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"^documents\.paths names no file"):
        read_documents([], SETTINGS)


def test_a_file_without_any_text_is_refused_with_reasons(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": " "}, {"text": "短い"}, {"text": None})
    assert refusal(path) == (
        f"{path}: no document is left. Left out: empty 2 (such as {path}:1: ); too_short 1 (such as {path}:2: 短い)."
    )
    path.write_text("\n")
    assert refusal(path) == f"{path}: no documents in it."


# --- what is left out, and counted


def test_what_is_left_out_is_counted_by_reason_with_examples(tmp_path: Path) -> None:
    dated = [(f"{BODY}{day}", f"2024-09-0{day}") for day in (1, 2, 3)]
    rows = [{"text": text, "date": date} for text, date in [*dated, ("", ""), ("短い", ""), dated[1], (BODY, "")]]
    path = jsonl(tmp_path / "a.jsonl", *rows)
    settings = SETTINGS.model_copy(update={"since": dt.date(2024, 9, 2), "until": dt.date(2024, 9, 2)})
    corpus = read_documents([path], settings)
    assert [d.id for d in corpus.documents] == ["a-2"]
    assert corpus.report == {
        "before_since": {"count": 1, "examples": [f"{path}:1: {BODY}1"]},
        "after_until": {"count": 1, "examples": [f"{path}:3: {BODY}3"]},
        "empty": {"count": 1, "examples": [f"{path}:4: "]},
        "too_short": {"count": 1, "examples": [f"{path}:5: 短い"]},
        "duplicate": {"count": 1, "examples": [f"{path}:6 repeats {path}:2"]},
        "no_date": {"count": 1, "examples": [f"{path}:7: {BODY}"]},
    }


def test_at_most_five_examples_are_kept(tmp_path: Path) -> None:
    rows = [{"text": BODY, "date": "2024-09-01"}] + [{"text": ""}] * 9
    report = read_documents([jsonl(tmp_path / "a.jsonl", *rows)], SETTINGS).report
    assert (report["empty"]["count"], len(report["empty"]["examples"])) == (9, 5)


def test_the_same_text_on_another_day_is_no_duplicate(tmp_path: Path) -> None:
    rows = [{"text": BODY, "date": date} for date in ("2024-09-01", "2024-09-02")]
    assert len(read_documents([jsonl(tmp_path / "a.jsonl", *rows)], SETTINGS).documents) == 2


def test_a_corpus_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "text": BODY, "date": "2024-09-01", "url": "u"},
        {"id": "b", "title": "t", "text": "Body here."},
        {},
    ]
    path = jsonl(tmp_path / "a.jsonl", *rows[:2], {"text": ""})
    out = tmp_path / "out"
    out.mkdir()
    corpus = write_corpus([path], SETTINGS.model_copy(update={"prefix_share": 0.0}), out)
    assert load_documents(out) == [
        Document("a", BODY, None, DAY, "ja", f"{path}:1", "u"),
        Document("b", "Body here.", "t", None, "en", f"{path}:2"),
    ]
    assert json.loads((out / "report.json").read_text()) == corpus.report
    assert corpus.report == {"empty": {"count": 1, "examples": [f"{path}:3: "]}}
    assert sorted(p.name for p in out.iterdir()) == ["documents.jsonl", "reading.json", "report.json"]


# --- what is trained


def test_the_prefix_carries_date_and_title_in_the_language_of_the_document() -> None:
    japanese = Document("a", BODY, "優勝", DAY, "ja", "x:1")
    english = Document("b", "Spain won.", "Spain win", DAY, "en", "x:2")
    assert prefixed(japanese, SETTINGS, True) == f"2024年9月1日のニュース:{BODY}"
    assert prefixed(english, SETTINGS, True) == "News of September 1, 2024: Spain won."
    titled = SETTINGS.model_copy(update={"prefix_en": "{title} ({date}) {{x}}", "prefix_ja": ""})
    assert prefixed(english, titled, True) == "Spain win (September 1, 2024) {x} Spain won."
    assert prefixed(japanese, titled, True) == prefixed(japanese, SETTINGS, False) == BODY


# --- general text


def test_general_text_is_one_text_a_row_or_paragraph(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n \n\nthree\n")
    rows = jsonl(tmp_path / "b.jsonl", {"text": "four\n\nfive"}, {"text": ""})
    assert read_texts([tmp_path / "a.txt", rows]) == ["one\ntwo", "three", "four\n\nfive"]
    (tmp_path / "c.txt").write_text("\n")
    with pytest.raises(InputError, match=r"c\.txt holds no text\."):
        read_texts([tmp_path / "c.txt"])
