"""Open-R1's rewards that look at the text alone; its `accuracy` is `math`, its `reasoning_steps` is `step`, and those
that
need the length or the group are in `length.py`.

Mended: anchors mean the end of the text and not of a line; the judgement takes the reference first; a reference
answer that cannot be judged is a verdict and neither 0 nor 1."""

from __future__ import annotations

import re
from collections import Counter

from r1zero.rewards.answers import math
from r1zero.types import Problem, Score

_FORMAT = re.compile(r"<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>", re.DOTALL)
_SOFT_FORMAT = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
_TAGS = ("<think>\n", "\n</think>\n", "\n<answer>\n", "\n</answer>")
_CODE_BLOCK = re.compile(r"```([A-Za-z+#0-9]*)[^\n]*\n.*?```", re.DOTALL)
_LANGUAGES = {"py": "python", "python3": "python", "js": "javascript", "ts": "typescript", "c++": "cpp"}
_HIDDEN = re.compile(r"<[^<>]{1,40}>|```.*?```|\$\$.*?\$\$|\$[^$\n]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\[a-zA-Z]+", re.DOTALL)
_SCRIPTS = {  # language -> its letters
    "zh": re.compile(r"[\u3400-\u9fff]"),
    "ja": re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"),
    "ko": re.compile(r"[\uac00-\ud7af]"),
    "ru": re.compile(r"[\u0400-\u04ff]"),
    "ar": re.compile(r"[\u0600-\u06ff]"),
    "hi": re.compile(r"[\u0900-\u097f]"),
    "en": re.compile(r"[A-Za-z]"),
}


def think_accuracy(problem: Problem, text: str) -> Score:
    """The judgement of what follows the last `</think>`; 0 without one."""
    _, closed, answer = text.rpartition("</think>")
    return math(problem, answer if closed else "")


def think_format(problem: Problem, text: str) -> Score:
    """1 if a think block and an answer block, each tag on its own line, are the whole text; 0 otherwise."""
    return Score(value=float(_FORMAT.fullmatch(text) is not None))


def soft_format(problem: Problem, text: str) -> Score:
    """1 for one think block, then one answer block, with any white space; 0 otherwise."""
    once = all(text.count(tag) == 1 for tag in ("<think>", "</think>", "<answer>", "</answer>"))
    return Score(value=float(once and _SOFT_FORMAT.fullmatch(text) is not None))


def tag_count(problem: Problem, text: str) -> Score:
    """A quarter for each tag that occurs exactly once with its line breaks."""
    return Score(value=sum(0.25 for tag in _TAGS if text.count(tag) == 1))


def repetition_penalty(
    problem: Problem, text: str, *, n: int = 3, penalty: float = -1.0, language: str = "en"
) -> Score:
    """`penalty` times the share of n-grams that occurred before: words in lower case, or characters for `zh` and `ja`.
    0 for a text shorter than n. Raises ValueError for a positive penalty."""
    if penalty > 0 or n < 1:
        raise ValueError(f"repetition_penalty: n = {n}, penalty = {penalty}: n must be positive and penalty not")
    words = [*"".join(text.split())] if language in ("zh", "ja") else text.lower().split()
    grams = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    total = sum(grams.values())
    return Score(value=penalty * (1 - len(grams) / total) if total else 0.0)


def language_consistency(problem: Problem, text: str, *, language: str = "en") -> Score:
    """The share of letters that are written in the wanted language's script; tags, code and formulas do not count
    (DeepSeek-R1 section 2.3.2 takes the share of words). 1 for a text without letters."""
    if language not in _SCRIPTS:
        raise ValueError(f"language_consistency: language = '{language}': must be one of {', '.join(_SCRIPTS)}")
    prose = _HIDDEN.sub(" ", text)
    letters = sum(character.isalpha() for character in prose)
    return Score(value=len(_SCRIPTS[language].findall(prose)) / letters if letters else 1.0)


def code_format(problem: Problem, text: str, *, language: str = "python") -> Score:
    """1 for a think block and an answer block that holds a fenced block of the language; 0 otherwise."""
    layout = _SOFT_FORMAT.fullmatch(text) is not None
    languages = {
        _LANGUAGES.get(name.lower(), name.lower()) for name in _CODE_BLOCK.findall(text.rpartition("<answer>")[2])
    }
    return Score(value=float(layout and language in languages))
