"""Days of the calendar in one spelling."""

from __future__ import annotations

import re

_MONTHS: tuple[str, ...] = (*"jan feb mar apr may jun jul aug sep oct nov dec".split(),)
_MONTH = r"(jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)(?:uary|ruary|ch|il|ust|tember|ober|ember)?\.?"
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_MONTH_FIRST = re.compile(rf"{_MONTH}\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:\s*,?\s+(\d{{4}}))?", re.IGNORECASE)
_DAY_FIRST = re.compile(rf"(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:\s*,?\s+(\d{{4}}))?", re.IGNORECASE)


def date(text: str) -> str | None:
    """`2024-01-15`, `January 15, 2024`, `15 Jan 2024` as 2024-01-15; `15 January` as 01-15; None for anything else.

    Days in digits alone (`1/2/2024`) mean different days in different countries, and stay what they are."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text).strip()
    if iso := _ISO.fullmatch(text):
        return text if 1 <= int(iso[2]) <= 12 and 1 <= int(iso[3]) <= 31 else None
    if first := _MONTH_FIRST.fullmatch(text):
        month, day, year = first[1], first[2], first[3]
    elif last := _DAY_FIRST.fullmatch(text):
        month, day, year = last[2], last[1], last[3]
    else:
        return None
    number = _MONTHS.index(month[:3].lower()) + 1
    return f"{year + '-' if year else ''}{number:02}-{int(day):02}" if 1 <= int(day) <= 31 else None
