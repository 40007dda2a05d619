"""A date as people write it → datetime.date, and back in words."""

import datetime as dt
import email.utils
import functools
import re
import unicodedata

# The year before an era's first: 令和1 = 2019.
ERAS = {"令和": 2018, "平成": 1988, "昭和": 1925, "大正": 1911, "明治": 1867}
ERA_LETTERS = {"R": "令和", "H": "平成", "S": "昭和", "T": "大正", "M": "明治"}
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
MONTH_NUMBERS = {name[:3].lower(): number for number, name in enumerate(MONTHS, start=1)}

_MONTH_AND_DAY = r"(?:年|[./-])\s*(\d{1,2})\s*(?:月|[./-])\s*(\d{1,2})日?"
_ERA = re.compile(rf"({'|'.join(ERAS)}|[{''.join(ERA_LETTERS)}])\s*(元|\d{{1,2}})\s*{_MONTH_AND_DAY}")
_YEAR_FIRST = re.compile(rf"(\d{{4}})\s*{_MONTH_AND_DAY}")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th)? ([A-Za-z]{3,9})\.?,? (\d{4})")
_PUBLISHED = re.compile(
    r"^\W*(?:(?:published|posted|date|released|(?:last )?updated)(?: on)?"
    r"|(?:公開|掲載|投稿|配信|発行|発表|作成|(?:最終)?更新|改訂|制定|開催)(?:日時?)?|日付|日時)"
    r"[\s】\])）]*[:：]\s*([^\n|]{6,60}?)\s*(?:\||$)",
    re.IGNORECASE | re.MULTILINE,
)
_HEAD_CHARACTERS = 1000  # such a line stands at the top
_HEAD_LINES = 8
_ISSUER = re.compile(r"\s+\S{2,15}[部課室社局所係会店]$")  # 品質保証部
_IN_NAME = re.compile(
    r"(?<!\d)((?:19|20)\d\d)([-_.年]?)(\d{1,2})(?:\2|月)(\d{1,2})(?!\d)|(?:令和|平成|昭和)(?:元|\d{1,2})年\d{1,2}月\d{1,2}日"
)
# What may follow a date: a weekday, a time, a zone. It is not read: the date is the one that is written.
_REST = re.compile(r"\s*([((][月火水木金土日祝・]+[))]|[月火水木金土日]曜日?)?[T\s]*(\d{1,2}[:時].*)?")


@functools.lru_cache(maxsize=4096)  # a corpus has few days
def parse_date(value: str | int | float) -> dt.date | None:
    """The date that `value` writes, None if it does not look like one.

    Reads 2024-09-01, 2024/9/1, 20240901, 2024年9月1日, 令和6年9月1日, R6.9.1, September 1, 2024, mail dates and seconds
    or milliseconds since 1970 (UTC); full-width too; a weekday and a time may follow. Raises ValueError for a date
    that cannot be, such as 2月30日.
    """
    text = unicodedata.normalize("NFKC", str(value)).strip()
    if re.fullmatch(r"\d{10}(\d{3})?(\.\d+)?", text):
        seconds = float(text) / (1000 if len(text.split(".")[0]) == 13 else 1)
        return dt.datetime.fromtimestamp(seconds, dt.UTC).date()
    for pattern, read in ((_ERA, _from_era), (_YEAR_FIRST, _from_numbers), (_COMPACT, _from_numbers)):
        found = pattern.match(text)
        if found and _REST.fullmatch(text, found.end()):
            return read(found)
    return _from_english(text)


def date_line(text: str) -> str | None:
    """What a line «Published: …» or 公開日：… at the top of `text` gives as the date, None without such a line."""
    for found in _PUBLISHED.finditer(text[:_HEAD_CHARACTERS]):
        try:
            if parse_date(found[1]):
                return found[1]
        except ValueError:
            return found[1]  # a wrong date, which is to be told
    return None


def date_alone(text: str) -> dt.date | None:
    """The date that stands alone on one of the first lines, as over minutes and notices: 2026年4月22日 品質保証部."""
    for line in text[:_HEAD_CHARACTERS].splitlines()[:_HEAD_LINES]:
        written = _ISSUER.sub("", line.strip(" \t\u3000()（）"))
        try:
            if not re.fullmatch(r"\d+(\.\d+)?", written) and (date := parse_date(written[:60])):
                return date
        except ValueError:
            continue  # figures that are no date
    return None


def date_in_name(name: str) -> dt.date | None:
    """The date in a file name: news-2024-09-01.txt, 20240901.html, 議事録_令和6年9月1日.docx."""
    for found in _IN_NAME.finditer(unicodedata.normalize("NFKC", name)):
        year, mark, month, day = found.groups()
        try:
            if year is None:
                return parse_date(found[0])
            if mark or len(month) == len(day) == 2:
                return dt.date(int(year), int(month), int(day))
        except ValueError:
            continue  # digits that are no date
    return None


def format_date(date: dt.date, language: str) -> str:
    """«2024年9月1日» or «September 1, 2024»."""
    if language == "ja":
        return f"{date.year}年{date.month}月{date.day}日"
    return f"{MONTHS[date.month - 1]} {date.day}, {date.year}"


def _from_era(found: re.Match[str]) -> dt.date:
    era, year, month, day = found.groups()
    first = ERAS[ERA_LETTERS.get(era, era)]
    return dt.date(first + (1 if year == "元" else int(year)), int(month), int(day))


def _from_numbers(found: re.Match[str]) -> dt.date:
    year, month, day = found.groups()
    return dt.date(int(year), int(month), int(day))


def _from_english(text: str) -> dt.date | None:
    first, last = _MONTH_FIRST.match(text), _DAY_FIRST.match(text)
    if first:
        month, day, year = first.groups()
    elif last:
        day, month, year = last.groups()
    else:
        mail = email.utils.parsedate(text)  # Sun, 01 Sep 2024 10:00:00 GMT
        return dt.date(*mail[:3]) if mail else None
    number = MONTH_NUMBERS.get(month[:3].lower())
    return dt.date(int(year), number, int(day)) if number else None
