"""Personal data in a text → masks, on request: mail addresses, telephone numbers, マイナンバー with its check digit.

Rules on the form alone: names and addresses stay, and a number that only looks like a telephone's may go.
"""

import re
from collections.abc import Callable, Sequence

from ishibumi.settings import PersonalData

_DASH = r"\-‐‑–−－ー"
_PATTERNS: dict[PersonalData, re.Pattern[str]] = {
    "mail": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,5}[a-z]{2,24}(?![\w-])", re.ASCII | re.I),
    # 03-1234-5678, 090 1234 5678, 0120-123-456, (03)1234-5678, +81 3-1234-5678, +1 415 555 0100; not 2024-09-01.
    "phone": re.compile(
        rf"(?<![\d.,+{_DASH}])(?:\+\d{{1,3}}[ {_DASH}]?(?:\(0\)|\(?\d{{1,4}}\)?)(?:[ {_DASH}]?\d{{2,4}}){{2,3}}"
        rf"|[(（]?0\d{{1,4}}[)） {_DASH}]{{1,2}}\d{{1,4}}[ {_DASH}]\d{{3,4}}|0[5789]0\d{{8}}|0120\d{{6}})"
        rf"(?![\d{_DASH}])"
    ),
    "my_number": re.compile(rf"(?<![\d{_DASH}])\d{{4}}([ {_DASH}]?)\d{{4}}\1\d{{4}}(?![\d{_DASH}])"),
}
MASKS: dict[PersonalData, str] = {"mail": "〔mail〕", "phone": "〔phone〕", "my_number": "〔my number〕"}


def mask_personal(text: str, wanted: Sequence[PersonalData], changed: Callable[[str, str], None]) -> str:
    """`text` with a mask in place of what is `wanted`; `changed` is told the rule and what stands around the mask."""
    for kind in wanted:
        mask = MASKS[kind]

        def masked(found: re.Match[str], kind: PersonalData = kind, mask: str = mask) -> str:
            if kind == "my_number" and not is_my_number(re.sub(r"\D", "", found[0])):
                return found[0]
            before, after = found.string[max(0, found.start() - 10) : found.start()], found.string[found.end() :][:10]
            changed(f"masked_{kind}", f"{before}{mask}{after}")
            return mask

        text = _PATTERNS[kind].sub(masked, text)
    return text


def is_my_number(digits: str) -> bool:
    """Whether the last of twelve digits is the check digit of the eleven before it (総務省令第八十五号, 2014).

    123456789018: with weights 2 … 7 and again 2 … 6 from the right the sum is s, and the digit 11 - s % 11, or 0 if
    that is 10 or 11.
    """
    total = sum(int(digit) * (n + 1 if n <= 6 else n - 5) for n, digit in enumerate(reversed(digits[:11]), start=1))
    rest = total % 11
    return int(digits[11]) == (0 if rest <= 1 else 11 - rest)
