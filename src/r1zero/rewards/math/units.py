"""Units, currencies and other words that follow a number.

A unit is part of an answer only if both sides name one: `15 cm` answers `15`, but not `15 m`. A compound unit is a
product of powers of known ones, `kg*m*s^-2`; two units that measure the same thing convert, all others contradict each
other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

Unit = tuple[Fraction, Mapping[str, int]]  # how many of the base units, and the powers of these

_BASES = ("m", "g", "s", "month", "A", "K", "mol", "°C", "°F", "$", "€", "£", "¥", "₹", "gal", "%", "°", "rad", "bit")
_MADE: dict[str, tuple[Fraction | int, str]] = {  # name -> (how many, of what); the definitions are exact
    "mm": (Fraction(1, 1000), "m"), "cm": (Fraction(1, 100), "m"), "dm": (Fraction(1, 10), "m"), "km": (1000, "m"),
    "µm": (Fraction(1, 10**6), "m"), "nm": (Fraction(1, 10**9), "m"),
    "in": (Fraction(254, 10_000), "m"), "ft": (12, "in"), "yd": (36, "in"), "mi": (63_360, "in"),
    "mg": (Fraction(1, 1000), "g"), "kg": (1000, "g"), "lb": (Fraction(45_359_237, 100_000), "g"),
    "oz": (Fraction(1, 16), "lb"),
    "ms": (Fraction(1, 1000), "s"), "min": (60, "s"), "h": (3600, "s"), "day": (86_400, "s"), "week": (604_800, "s"),
    "year": (12, "month"),
    "l": (Fraction(1, 1000), "m^3"), "ml": (Fraction(1, 1000), "l"), "ha": (10_000, "m^2"),
    "quart": (Fraction(1, 4), "gal"), "pint": (Fraction(1, 8), "gal"), "cup": (Fraction(1, 16), "gal"),
    "kmh": (1, "km*h^-1"), "mph": (1, "mi*h^-1"), "Hz": (1, "s^-1"),
    "N": (1000, "g*m*s^-2"), "J": (1, "N*m"), "W": (1, "J*s^-1"), "Pa": (1, "N*m^-2"),
    "V": (1, "W*A^-1"), "Ω": (1, "V*A^-1"),
    "mpg": (1, "mi*gal^-1"), "cc": (1, "cm^3"), "kJ": (1000, "J"), "kW": (1000, "W"), "MW": (10**6, "W"),
    "kN": (1000, "N"), "kPa": (1000, "Pa"), "kV": (1000, "V"), "mA": (Fraction(1, 1000), "A"),
    "kHz": (1000, "Hz"), "MHz": (10**6, "Hz"), "kWh": (3_600_000, "J"),
    "cent": (Fraction(1, 100), "$"), "byte": (8, "bit"),
}  # fmt: skip
_WORDS = {
    "mm": "millimeter millimeters millimetre millimetres 毫米",
    "cm": "centimeter centimeters centimetre centimetres cms 厘米",
    "dm": "decimeter decimeters 分米",
    "m": "meter meters metre metres 米",
    "km": "kilometer kilometers kilometre kilometres kms 千米 公里",
    "µm": "μm micrometer micrometers",
    "nm": "nanometer nanometers",
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
    "gal": "gallon gallons",
    "quart": "quarts",
    "pint": "pints",
    "cup": "cups",
    "ms": "millisecond milliseconds",
    "s": "sec secs second seconds 秒",
    "min": "mins minute minutes 分钟",
    "h": "hr hrs hour hours 小时",
    "day": "days 天",
    "week": "weeks",
    "month": "months 个月",
    "year": "years yr yrs 年",
    "kmh": "kph kmph 千米/时",
    "mph": "",
    "A": "ampere amperes amp amps",
    "V": "volt volts",
    "Ω": "ohm ohms Omega",
    "N": "newton newtons Newton Newtons",
    "J": "joule joules Joule Joules",
    "W": "watt watts Watt Watts",
    "Pa": "pascal pascals",
    "Hz": "hertz",
    "mol": "mole moles",
    "K": "kelvin kelvins Kelvin",
    "ha": "hectare hectares",
    "bit": "bits",
    "byte": "bytes",
    "$": "dollar dollars usd USD 美元",
    "cent": "cents ¢",
    "€": "euro euros EUR 欧元",
    "£": "GBP",
    "¥": "yuan RMB CNY 元 yen",
    "₹": "rupee rupees Rs",
    "%": "percent percentage pct per_cent",
    "°": "deg degree degrees 度",
    "°C": "Celsius celsius degree_Celsius degrees_Celsius deg_C degrees_C",
    "°F": "Fahrenheit fahrenheit degree_Fahrenheit degrees_Fahrenheit deg_F degrees_F",
    "rad": "radian radians",
}
_NAMES = {name: name for name in (*_BASES, *_MADE)} | {
    word.replace("_", " "): unit for unit, words in _WORDS.items() for word in words.split()
}
_SHORT = 400  # characters in which a unit is looked for
_LONGEST = 80  # characters of a unit
_LIKE_VARIABLES = frozenset("m g s h l in mg ml".split())  # `3m` may be a product ...
_LIKE_FACTORS = frozenset("A K N J W V".split())  # ... and of these `3 V` too

_KNOWN = "|".join(
    re.escape(name).replace(r"\ ", r"\s+").replace("°", r"°\s*") for name in sorted(_NAMES, key=len, reverse=True)
)
_TOKEN = re.compile(
    rf"\s*(?:(?P<power>\^\s*(?:\{{\s*(-?[1-9])\s*\}}|(-?[1-9])))|(?P<name>{_KNOWN})\.?(?![A-Za-z])|(?P<over>/|per\b)"
    rf"|\*|(?P<after>squared|cubed)|(?P<before>square|cubic|sq\.?|cu\.?|平方|立方)(?=\s*(?:{_KNOWN})))"
)
_SECOND, _THIRD = ("square", "sq", "sq.", "平方", "squared"), ("cubic", "cu", "cu.", "立方", "cubed")
_POWERS: dict[str, int] = {**dict.fromkeys(_SECOND, 2), **dict.fromkeys(_THIRD, 3)}
_START = re.compile(r"(?<=[\d)\]}π])\s*(?=[^\W\d_]|[°/])")
_TEXT = re.compile(r"\\text\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_FRACTION = re.compile(
    r"\\frac\s*\{\s*\\text\s*\{([^{}]*)\}\s*\}\s*\{\s*(\\text[^{}]*\{[^{}]*\}[^{}]*(?:\{-?\d\})?)\s*\}"
)
_PREFIXED = re.compile(r"^([-+]?)\s*(?:US|USD)?\s*([$€£¥₹])\s*")
# words of at least three letters that are no units in a formula
_WORD = r"(?:[A-Za-z]{3,}|[^\W\d_a-zA-Zα-ωΑ-Ωπ∞ℝℕℤℚℂ]+)"
_POWER = r"(?:\s*\^\s*\{?[23]\}?)?"
_TEXT_UNIT = re.compile(r"(?P<value>.*?)\s*\\text\s*\{(?P<unit>[^{}]*)\}" + rf"(?P<power>{_POWER})$", re.DOTALL)
_PLAIN_UNIT = re.compile(
    rf"(?P<value>.*[\d)\]}}π])(?:\s+|(?=[^\w\s]|[^\x00-\x7f]|[A-Za-z]))"
    rf"(?P<unit>(?:(?:square|cubic|sq\.?|cu\.?)\s+)?{_WORD}(?:\s+(?:(?:of|per|in|for|on|to|an?|the)\s+){{0,2}}\(?{_WORD}\)?){{0,4}}{_POWER})$",
    re.DOTALL,
)
_MULTIPLIED = re.compile(r"(thousand|million|billion|trillion)\b\s*")
_MULTIPLIERS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_ANGLE = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)\b[^()+*/=,]*°$")  # the degrees belong to the function: `\tan 45°`
_TIMES = re.compile(r"\s*(thousand|million|billion|trillion)\b")
_ENDING = re.compile(r"\s*([A-Za-zµΩ°][A-Za-zµΩ°/^*² .-]{0,40}?\d?)(?=\s*(?:[,;!?)*]|\.\s|\.?\s*$|\n))", re.MULTILINE)
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?"
_AMOUNT = re.compile(rf"({_NUMBER})\s*({_KNOWN})\.?(?![A-Za-z])(?:\s*,?\s*and\b|\s*,)?\s*")
_FEET = re.compile(rf"(\d{{1,9}})\s*'\s*({_NUMBER})\s*(?:\"|'')")
_ARC = re.compile(rf"(\d{{1,9}})\s*°\s*({_NUMBER})\s*'(?:\s*({_NUMBER})\s*(?:\"|''))?")


def split_unit(text: str) -> tuple[str, str, bool] | None:
    """(value, unit, whether it is one for certain) of a cleaned text; None if it has no unit. The unit has one spelling
    if it is known; `3m` may be a length or a product, and so may `5 V`."""
    if len(text) > _SHORT:
        return None
    if prefix := _PREFIXED.match(text):
        value, unit = text[prefix.end() :], prefix[2]
        known = _known_unit(value)
        if known and (known[1] == unit or "^-" in known[1]):  # `$5 million dollars`, `$5 per hour`
            value, unit = known[0], unit if known[1] == unit else f"{unit}*{known[1]}"
        return prefix[1] + _scaled(value, "")[0], unit, True
    stripped = text.rstrip(" .")
    if stripped.endswith("°") and _ANGLE.search(stripped):
        return None
    for mark in "%°$€£¥₹":
        if stripped.endswith(mark) and stripped[:-1].strip():
            return *_scaled(stripped[:-1].strip(), mark), True
    if known := _known_unit(stripped):
        return known
    match = _TEXT_UNIT.match(stripped) or _PLAIN_UNIT.match(stripped)
    if match is None or not match["value"].strip():
        return None
    unit = match["unit"] + (match.groupdict().get("power") or "")
    return *_scaled(match["value"].strip(" ~"), spelling(unit)), True


def _known_unit(text: str) -> tuple[str, str, bool] | None:
    """The value and the longest unit made of known ones at the end of a text."""
    marked = "\\text" in text
    if marked:
        text = _TEXT.sub(r" \1 ", _FRACTION.sub(r" \1 / \2 ", text)).rstrip()
    for start in _START.finditer(text, max(0, len(text) - _LONGEST)):
        value, tail = text[: start.start()], text[start.end() :]
        scaled = _MULTIPLIED.match(tail)
        factors = _factors(tail[scaled.end() :] if scaled else tail)
        if factors:
            value, unit = _scaled(f"{value} {scaled[1]}" if scaled else value, _written(factors))
            return value.strip(" ~"), unit, marked or not _like_formula(factors, bool(start[0]))
    return None


def _like_formula(factors: Mapping[str, int], spaced: bool) -> bool:
    """Whether a unit may be a product of variables: `3m`, `3 V`, `3 g h`, `3 s^2`; but not `3 m`, `3 m^2`, `3 m/s`."""
    if not set(factors) <= _LIKE_VARIABLES | _LIKE_FACTORS:
        return False
    if not spaced or set(factors) <= _LIKE_FACTORS:
        return True
    divided = any(power < 0 for power in factors.values())
    return not divided and (len(factors) > 1 or any(power > 1 and name != "m" for name, power in factors.items()))


def _scaled(value: str, unit: str) -> tuple[str, str]:
    """`5 million` as 5*10^6; a multiplier may also be the first word of the unit."""
    if found := _MULTIPLIED.match(unit):
        return f"({value})*10^{{{_MULTIPLIERS[found[1]]}}}", unit[found.end() :]
    for name, zeros in _MULTIPLIERS.items():
        if value.rstrip("} ").endswith(name):
            number = _TEXT.sub(r" \1 ", value).strip().removesuffix(name).strip()
            return (f"({number})*10^{{{zeros}}}" if number else value), unit
    return value, unit


def _factors(text: str) -> Counter[str] | None:
    """The powers of known units in `kg m/s^2` or `meters per second squared`; None for anything else."""
    powers: Counter[str] = Counter()
    place, last, weight, sign, ahead = 0, "", 1, 1, 1
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return None
        place = token.end()
        if token["name"]:
            last = _named(token["name"])
            powers[last] += sign * ahead
            weight, sign, ahead = sign * ahead, 1, 1
        elif token["over"]:
            sign = -1
        elif token["before"]:
            ahead = _POWERS[token["before"]]
        elif token["power"] or token["after"]:
            if not last:
                return None
            power = _POWERS[token["after"]] if token["after"] else int(token[2] or token[3])
            powers[last] += weight * (power - 1)
            last = ""
    return powers if sign == ahead == 1 and any(powers.values()) else None


def _named(word: str) -> str:
    return _NAMES[re.sub(r"°\s*", "°", " ".join(word.split()))]


def _written(powers: Mapping[str, int]) -> str:
    return "*".join(name if power == 1 else f"{name}^{power}" for name, power in sorted(powers.items()) if power)


def spelling(unit: str) -> str:
    """One spelling of a unit; unknown units as they are."""
    bare = unit.strip(" .()").replace("\\", "")
    factors = _factors(bare) or _factors(bare.lower())
    return _written(factors) if factors else re.sub(r"\s*/\s*|\s+per\s+", "/", bare)


def factor(gold: str, answer: str) -> Fraction | None:
    """What an answer's number is multiplied by to be in the reference's unit; None if the units contradict each
    other. A unit that is missing or unknown contradicts nothing."""
    if gold == answer:
        return Fraction(1)
    first, second = _measure(gold), _measure(answer)
    if first is None or second is None:
        return Fraction(1)
    return second[0] / first[0] if first[1] == second[1] else None


@lru_cache(maxsize=512)
def _measure(unit: str) -> Unit | None:
    """A unit in base units; None if it is missing or unknown."""
    powers = _factors(unit) if unit else None
    return None if powers is None else _product(powers)


def _product(powers: Mapping[str, int]) -> Unit:
    scale, bases = Fraction(1), Counter[str]()
    for name, power in powers.items():
        if name in _MADE:
            count, of = _MADE[name]
            parts = _factors(of)
            assert parts is not None
            inner, inside = _product(parts)
            scale *= (count * inner) ** power
        else:
            inside = {name: 1}
        for base, times in inside.items():
            bases[base] += times * power
    return scale, {base: power for base, power in bases.items() if power}


def unit_at(text: str, place: int) -> str:
    """What belongs to a number before a place in prose: `million`, and the known unit that ends a sentence or its part,
    ` km/h` in `60 km/h.`, but none in `5 in all`."""
    scaled = _TIMES.match(text, place)
    found = _ENDING.match(text, scaled.end() if scaled else place, place + _LONGEST)
    unit = f" {found[1]}" if found and _factors(found[1]) else ""
    return f" {scaled[1]}{unit}" if scaled else unit


def without_unit(text: str) -> str:
    """A text up to the known unit at its end: what is left of `10 miles per gallon` is no prose."""
    known = _known_unit(text) if len(text) <= _LONGEST else None
    return known[0] if known else text


def amounts(text: str) -> tuple[Fraction, str] | None:
    """`3 ft 5 in`, `2 hours and 30 minutes`, `5'6"`, `30°15'` as a number of the first unit; None for anything else.
    The units fall in size and measure the same thing."""
    if len(text) > _LONGEST or not any(character.isdigit() for character in text[1:]):
        return None
    text = _TEXT.sub(r" \1 ", text).strip()
    if feet := _FEET.fullmatch(text):
        return Fraction(feet[1]) + Fraction(feet[2]) / 12, "ft"
    if arc := _ARC.fullmatch(text):
        return Fraction(arc[1]) + Fraction(arc[2]) / 60 + Fraction(arc[3] or 0) / 3600, "°"
    place, found = 0, []
    while match := _AMOUNT.match(text, place):
        found.append((Fraction(match[1]), _named(match[2])))
        place = match.end()
    if place < len(text) or len(found) < 2:
        return None
    steps = [factor(small, large) for (_, large), (_, small) in pairwise(found)]
    if any(step is None or step <= 1 for step in steps):
        return None
    first = found[0][1]
    return sum((number * (factor(first, unit) or 0) for number, unit in found), Fraction(0)), first
