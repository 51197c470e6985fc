"""Units, currencies and other words that follow a number.

A unit is part of an answer only if both sides name one: `15 cm` answers `15`, but not `15 m`.
"""

from __future__ import annotations

import re
from fractions import Fraction

_SCALES: dict[str, dict[str, int | str]] = {  # dimension -> unit -> how many of the smallest one
    "length": {"mm": 1, "cm": 10, "dm": 100, "m": 1000, "km": 1_000_000},
    "imperial length": {"in": 1, "ft": 12, "yd": 36, "mi": 63_360},
    "mass": {"mg": 1, "g": 1000, "kg": 1_000_000},
    "imperial mass": {"oz": 1, "lb": 16},
    "volume": {"ml": 1, "l": 1000},
    "time": {"s": 1, "min": 60, "h": 3600, "day": 86_400, "week": 604_800},
    "months": {"month": 1, "year": 12},
    "speed": {"km/h": 1},
    "imperial speed": {"mph": 1},
    "metric speed": {"m/s": 1},
    "temperature": {"°C": 1},
    "imperial temperature": {"°F": 1},
    "dollars": {"cent": 1, "$": 100},
    "euros": {"€": 1},
    "pounds": {"£": 1},
    "yen": {"¥": 1},
    "rupees": {"₹": 1},
    "area": {"mm^2": 1, "cm^2": 100, "dm^2": 10_000, "m^2": 1_000_000, "km^2": "1000000000000"},
    "imperial area": {"in^2": 1, "ft^2": 144},
    "cubic": {"mm^3": 1, "cm^3": 1000, "dm^3": 1_000_000, "m^3": 1_000_000_000},
    "imperial cubic": {"in^3": 1, "ft^3": 1728},
    "percent": {"%": 1},
    "angle": {"°": 1},
    "radians": {"rad": 1},
}
_WORDS = {
    "mm": "millimeter millimeters millimetre millimetres 毫米",
    "cm": "centimeter centimeters centimetre centimetres cms 厘米",
    "dm": "decimeter decimeters 分米",
    "m": "meter meters metre metres 米",
    "km": "kilometer kilometers kilometre kilometres kms 千米 公里",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard yards",
    "mi": "mile miles",
    "mg": "milligram milligrams 毫克",
    "g": "gram grams gm 克",
    "kg": "kilogram kilograms kgs 千克 公斤",
    "oz": "ounce ounces",
    "lb": "pound_weight lbs",
    "ml": "mL milliliter milliliters millilitre 毫升",
    "l": "L liter liters litre litres 升",
    "s": "sec secs second seconds 秒",
    "min": "mins minute minutes 分钟",
    "h": "hr hrs hour hours 小时",
    "day": "days 天",
    "week": "weeks",
    "month": "months 个月",
    "year": "years yr yrs 年",
    "km/h": "kmh kph kmph 千米/时",
    "mph": "",
    "m/s": "metres_per_second meters_per_second",
    "$": "dollar dollars usd USD 美元",
    "cent": "cents ¢",
    "€": "euro euros EUR 欧元",
    "£": "GBP",
    "¥": "yuan RMB CNY 元 yen",
    "₹": "rupee rupees Rs",
    "%": "percent percentage pct per_cent",
    "°": "deg degree degrees 度",
    "°C": "Celsius celsius",
    "°F": "Fahrenheit fahrenheit",
    "rad": "radian radians",
}
_NAMES = {word.replace("_", " "): unit for unit, words in _WORDS.items() for word in (unit, *words.split())}
_SQUARED = re.compile(r"^(?:square|sq\.?|平方)\s*(\S+)$|^(\S+?)\s*(?:\^\s*\{?2\}?|squared)$")
_CUBED = re.compile(r"^(?:cubic|cu\.?|立方)\s*(\S+)$|^(\S+?)\s*(?:\^\s*\{?3\}?|cubed)$")
_PLACES = {
    unit: (dimension, Fraction(scale)) for dimension, scales in _SCALES.items() for unit, scale in scales.items()
}

# words of at least three letters that are no units in a formula
_WORD = r"(?:[A-Za-z]{3,}|[^\W\d_a-zA-Zα-ωΑ-Ωπ∞ℝℕℤℚℂ]+)"
_KNOWN = "|".join(re.escape(name) for name in sorted(_NAMES, key=len, reverse=True))
_POWER = r"(?:\s*\^\s*\{?[23]\}?)?"
_PREFIXED = re.compile(r"^([-+]?)\s*(?:US|USD)?\s*([$€£¥₹])\s*")
_TEXT_UNIT = re.compile(r"(?P<value>.*?)\s*\\text\s*\{(?P<unit>[^{}]*)\}" + rf"(?P<power>{_POWER})$", re.DOTALL)
_PLAIN_UNIT = re.compile(
    rf"(?P<value>.*[\d)\]}}π])(?:(?P<space>\s+)|(?=[^\w\s]|[^\x00-\x7f]|[A-Za-z]))(?P<unit>(?:{_KNOWN})"
    rf"(?:\s*/\s*(?:{_KNOWN}))?{_POWER}|(?:(?:square|cubic|sq\.?|cu\.?)\s+)?{_WORD}(?:\s+\(?{_WORD}\)?){{0,4}}{_POWER})$",
    re.DOTALL,
)
_ANGLE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)\b[^()+*/=,]*°$")  # the degrees belong to the function: `\tan 45°`
_SHORT = 400  # characters in which a unit is looked for


def split_unit(text: str) -> tuple[str, str] | None:
    """(value, unit) of a cleaned text; None if it has no unit. The unit has one spelling if it is known."""
    if len(text) > _SHORT:
        return None
    if prefix := _PREFIXED.match(text):
        return prefix[1] + text[prefix.end() :], prefix[2]
    stripped = text.rstrip(" .")
    for mark in "%°$€£¥₹":
        if stripped.endswith(mark) and stripped[:-1].strip():
            if _ANGLE.search(stripped):
                return None
            return stripped[:-1].strip(), mark
    match = _TEXT_UNIT.match(stripped) or _PLAIN_UNIT.match(stripped)
    if match is None or not match["value"].strip():
        return None
    unit = match["unit"] + (match.groupdict().get("power") or "")
    return match["value"].strip(" ~"), spelling(unit)


def attached(text: str) -> bool:
    """Whether a value and its unit touch, so that the unit may be a variable: `3m`."""
    match = _PLAIN_UNIT.match(text.rstrip(" ."))
    return match is not None and match["space"] is None and match["unit"][0].isalpha() and match["unit"].isascii()


def spelling(unit: str) -> str:
    """One spelling of a unit; unknown units as they are."""
    bare = unit.strip(" .()").replace("\\", "")
    for pattern, power in ((_SQUARED, "^2"), (_CUBED, "^3")):
        if (match := pattern.match(bare)) and (name := match[1] or match[2]) in _NAMES:
            return _NAMES[name] + power
    return _NAMES.get(bare) or _NAMES.get(bare.lower()) or re.sub(r"\s*/\s*|\s+per\s+", "/", bare)


def factor(gold: str, answer: str) -> Fraction | None:
    """What an answer's number is multiplied by to be in the reference's unit; None if the units contradict each
    other. A unit that is missing or unknown contradicts nothing."""
    if gold not in _PLACES or answer not in _PLACES or gold == answer:
        return Fraction(1)
    (dimension, one), (other, another) = _PLACES[gold], _PLACES[answer]
    return another / one if dimension == other else None
