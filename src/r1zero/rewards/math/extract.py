"""Where in a text is its final answer?

In this order: after the reasoning, inside the last <answer>, in the last box (or boxes that belong together), after
GSM8K's `####`, the whole text if it is an answer, after the last "answer is", the last formula or number. A box that is
only mentioned (`put it in \\boxed{}`) is none. What a model adds after its
turn, and what it wrote while thinking, is not its answer. Every search is linear in the length of the text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from r1zero.rewards.math.compare import equal
from r1zero.rewards.math.notations import aside, labelled
from r1zero.rewards.math.structure import read
from r1zero.rewards.math.units import unit_at, without_unit
from r1zero.rewards.math.values import Formula, Text, Value, parts

_END_OF_TURN = (
    "</s>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
)
_BOX = re.compile(
    r"[\\\x08]\\*(?:boxed|fbox|framebox|oxed)\s*(\{|-?\d+(?:[.,]\d+)*|[A-Za-z](?=\s*(?:[$.,;:!?)\]}`*]|\n|\Z)))"
)
_NO_BOX = re.compile(r"[\\\x08]\\*(?:boxed|fbox|framebox)(?![A-Za-z])(?:\s*\{[^{}]{0,40}\})?")  # one that is mentioned
_MENTION = re.compile(  # what stands in a box that is only mentioned
    r"[\s.…_*#~-]*|(?:\\[lc]?dots?[a-z]?|\\cdot|[\s.…])+"
    r"|(?:(?:the|your|my|this|final|numerical?|correct)\s+)*(?:answer|result|solution|number|ans|content|value|expression)"
    r"(?:\s+here)?",
    re.IGNORECASE,
)
_BEFORE_MENTION = re.compile(r"\b(?:in|within|inside|into|using|use|with|by|the|an?)\s*[`\"'$*(]*\s*\Z", re.IGNORECASE)
_HASHES = re.compile(r"^[ \t]*####[ \t]*(\S.*)$", re.MULTILINE)
_HEADING = re.compile(r"\d+\s*[.):]\s+\S|.*:\s*$")  # `#### 1. Compute` and `#### Check:` begin a section
_APART = re.compile(
    r"\b(?:no|not|wait|but|actually|instead|sorry|oops|thus|hence|rather|correct\w*|wrong|maybe|else)\b", re.I
)
_BELONG = re.compile(r"[\s$,;&\\(\)\[\].~]*", re.ASCII)
_CONNECTED = re.compile(
    r"(?:\band\b|\bor\b|[,;、和或&])[\s$\\}{~]*(?:\w{1,2}\s*_?\s*\w?\s*=\s*|\\?(?:q?quad|text|[,;! ])|[\s${}])*$", re.I
)
_MARKUP = re.compile(r"\\(?:q?quad|text|mbox|mathrm|[,;! ])|[{}]")
_ANCHOR = re.compile(
    r"(?:final\s+answer|\banswers?\b|答案|réponse|respuesta|risposta|antwort|ответ|(?:^|\n)\s*A(?=\s*:))"
    r"(?:\s*(?:\*\*|__))?\s*(?:(?:is|are|equals|est|es|ist|è|lautet|为|是|就是)(?!\w)|[:=：])?\s*(?:\*\*|__)?\s*[:：]?",
    re.IGNORECASE,
)
_STOP = re.compile(r"\n\s*\n|\.?\s*I hope|<\||(?<=[\w$)}\]%])\s*[.!?](?=\s+[A-Z])")
_ASIDE = re.compile(
    r"(?<=[\w$)}\]%])[\s,;:(]+(?:because|since|not|rather than|instead of|where|which|so that|which)\b", re.I
)
_MATH = re.compile(r"\$\$(.{1,2000}?)\$\$|\$([^$\n]{1,1000})\$|\\\[(.{1,2000}?)\\\]|\\\((.{1,1000}?)\\\)", re.DOTALL)
_JOINT = re.compile(r"\s*(?:,|;|,?\s*(?:and|or))\s*")
_PERCENT = re.compile(r"\s*(?:\\?%|percent|pct)", re.IGNORECASE)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9.\\^_{])[-+]?[$€£¥]?\(?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
    r"(?:\s*[*/^×÷+-]\s*\(?-?(?:\d[\d,]*(?:\.\d+)?|\.\d+)\)?)*(?:\s*(?:%|percent\b|pct\b))?"
)
_TUPLE = re.compile(r"(?<![\w\\])[(\[]\s*-?[\d./]+(?:\s*,\s*-?[\d./]+)+\s*[)\]]")
_NEGATED = re.compile(r"(?:not|never|neither)\b|n't\b|不是", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<![\\{A-Za-z])[A-Za-z]{2,}[,.]?\s+[A-Za-z]{2,}[,.]?\s+[A-Za-z]+(?![^{]*\})")
_LONG_WORD = re.compile(r"[^\W\d_]{3,}")
_TAIL = 4_000  # characters in which prose is searched
_WHOLE = 300  # characters a bare answer may have
_NEAR = 70  # characters between boxes that belong together


@dataclass(frozen=True, slots=True)
class Found:
    """The final answer as text and as a value. `why` says what is missing if there is no value."""

    text: str = ""
    value: Value | None = None
    why: str = ""


def final_answer(text: str, *, gold: bool = False) -> Found:
    """The final answer of a response, or of a reference that may be a whole solution."""
    answer, why = after_reasoning(first_turn(text))
    if why:
        return Found(why=why)
    for candidate in _candidates(answer, gold):
        value = read(candidate, gold=gold)
        if value is not None:
            return Found(candidate.strip(), value)
    return Found(why="no answer found")


def boxes(text: str) -> list[str]:
    """The contents of the last boxes that belong together; [] without a closed one that is more than mentioned."""
    return _boxes(text) or []


def _boxes(text: str) -> list[str] | None:
    """The same; None if the last box is cut off."""
    found: list[tuple[int, int, str]] = []
    matches = list(_BOX.finditer(text))
    for match in reversed(matches):
        end, inside = _inside(text, match)
        if end < 0:
            if not found:
                return None
            break
        if _MENTION.fullmatch(_MARKUP.sub(" ", inside).strip()):
            continue
        if found and end > found[-1][0]:
            if match.start() <= found[-1][0] and end >= found[-1][1]:
                found[-1] = (match.start(), end, inside)  # a box in a box: the outer one
                continue
            break
        if found and not _together(text[end : found[-1][0]]):
            break
        found.append((match.start(), end, inside))
        if len(found) >= 20:
            break
    return _different([_unboxed(inside) for _, _, inside in reversed(found)])


def _different(contents: list[str]) -> list[str]:
    """Boxes without those that say the same again: `15\\frac{39}{40}, or \\frac{639}{40}`."""
    kept: list[tuple[str, Value | None]] = []
    for inside in contents:
        value = read(inside) if len(contents) > 1 else None
        for place, (_, other) in enumerate(kept):
            if value is not None and other is not None and equal(other, value):
                kept[place] = inside, value
                break
        else:
            kept.append((inside, value))
    return [inside for inside, _ in kept]


def first_turn(text: str) -> str:
    """The text up to the first end-of-turn marker: what a model adds after it is not its answer."""
    places = [place for token in _END_OF_TURN if (place := text.find(token)) > 0 and text[:place].strip()]
    return text[: min(places)] if places else text


def after_reasoning(text: str) -> tuple[str, str]:
    """The part of a response that is its answer, or why there is none."""
    if not text.strip():
        return "", "the response is empty"
    _, closed, after = text.rpartition("</think>")
    if closed:
        text = after
    elif "<think>" in text:
        return "", "the reasoning was cut off"
    opened = text.rfind("<answer>")
    if opened >= 0:
        text = text[opened + len("<answer>") :].partition("</answer>")[0]
    if not text.strip():
        return "", "nothing after the reasoning"
    return text, ""


def _candidates(text: str, gold: bool) -> Iterator[str]:
    if _BOX.search(text):
        contents = _boxes(text)
        if contents:
            yield ", ".join(contents)
        if contents or contents is None or not _only_mentions(text):
            return
    text = _NO_BOX.sub(" ", text)
    if (marked := _marked(text)) is not None:
        yield marked
        return
    short = text.strip()
    if (
        len(short) <= _WHOLE
        and (_in_one_piece(short) or not _several_words(without_unit(short)))
        and not _prose(read(short, gold=gold))
    ):
        yield short
        return
    for scope in _anchored(text):
        if _NEGATED.match(scope):  # says what the answer is not, and nothing else
            yield scope
            return
        if (_in_one_piece(scope) or not _several_words(scope)) and not _prose(read(scope, gold=gold)):
            yield scope
        yield from _last(scope, numbers=True)
        if len(scope) < 60 and len(scope.split()) <= 4:
            yield scope
    yield from _last(text[-_TAIL:], numbers=not gold)
    if gold and len(short.split()) <= 3:
        yield short


def _only_mentions(text: str) -> bool:
    """Whether every box without content is spoken of: `put it in \\boxed{}`, unlike `so it is \\boxed{}`."""
    return all(
        _BEFORE_MENTION.search(text[max(0, match.start() - 20) : match.start()]) for match in _NO_BOX.finditer(text)
    )


def _marked(text: str) -> str | None:
    """What follows the last `####`, as GSM8K marks its answers; None for headings, and where an answer is announced
    later on."""
    lines = list(_HASHES.finditer(text[-_TAIL * 4 :]))
    values = [None if _HEADING.match(line[1]) or _several_words(line[1]) else read(line[1]) for line in lines]
    if not lines or any(value is None or isinstance(value, Text) for value in values):
        return None
    return None if _ANCHOR.search(lines[-1].string, lines[-1].end()) else lines[-1][1]


def _in_one_piece(text: str) -> bool:
    """Whether words in a text are those of a unit in brackets, or of parts with labels."""
    found = aside(text)
    return labelled(text) is not None or (found is not None and not _several_words(found[0]))


def _several_words(text: str) -> bool:
    """Whether a text is prose at first sight: several lines, or three words in a row."""
    return ("\n" in text and "\\" not in text and not text.startswith("$$")) or _SENTENCE.search(text) is not None


def _inside(text: str, match: re.Match[str]) -> tuple[int, str]:
    """Where a box ends and what it holds; -1 if it is never closed."""
    if match[1] != "{":
        return match.end(), match[1]
    depth = 1
    for brace in re.compile(r"(?<!\\)[{}]").finditer(text, match.end()):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end(), text[match.end() : brace.start()]
    return -1, ""


def _unboxed(inside: str) -> str:
    match = _BOX.match(inside.strip())
    if match is None:
        return inside.strip()
    end, inner = _inside(inside.strip(), match)
    return inner if end == len(inside.strip()) else inside.strip()


def _together(between: str) -> bool:
    """Whether two boxes are parts of one answer: nothing between them, or a short text that ends in and, or, a
    comma."""
    if _BELONG.fullmatch(_MARKUP.sub(" ", between)):
        return True
    plain = _MARKUP.sub(" ", between)
    return len(between) <= _NEAR and not _APART.search(plain) and bool(_CONNECTED.search(plain))


def _anchored(text: str) -> Iterator[str]:
    """What follows the last announcement of an answer, to the end of its line or paragraph."""
    tail = text[-_TAIL * 4 :]
    last = _last_anchor(tail)
    if last is None:
        return
    scope = tail[last.end() : last.end() + _TAIL].lstrip()
    if stop := _STOP.search(scope):
        scope = scope[: stop.start()]
    lines = scope.split("\n")
    if len(lines) > 1 and not lines[0].lstrip().startswith(("$$", "\\[")):
        scope = lines[0]
    if (aside := _ASIDE.search(scope)) and re.search(r"\d|[$\\]", scope[: aside.start()]):
        scope = scope[: aside.start()]
    yield scope


def _last_anchor(text: str) -> re.Match[str] | None:
    """The last announcement, looked for line by line from the end, where it mostly is."""
    end = len(text)
    while end > 0:
        start = max(text.rfind("\n", 0, end), 0)
        found = [match.start() for match in _ANCHOR.finditer(text, start, end)]
        if found:
            return _ANCHOR.match(text, found[-1])
        end = start
    return None


def _last(text: str, numbers: bool) -> Iterator[str]:
    """The last formulas and numbers of prose, last first; a lone letter only if there is nothing else."""
    found: list[tuple[int, int, str]] = []
    for match in _MATH.finditer(text):
        inside = next(group for group in match.groups() if group is not None)
        value = read(inside)
        if value is None or _prose(value):
            continue
        end = match.end()
        if percent := _PERCENT.match(text, end):
            inside, end = inside + "%", percent.end()
        if found and _JOINT.fullmatch(text[found[-1][1] : match.start()]):
            start, _, before = found.pop()
            found.append((start, end, f"{before}, {inside}"))
        else:
            found.append((match.start(), end, inside))
    if numbers:
        for match in (*_TUPLE.finditer(text), *_NUMBER.finditer(text)):
            if not any(start <= match.start() < end for start, end, _ in found):
                number = match[0].strip(" ,")
                found.append((match.start(), match.end(), number + unit_at(text, match.end())))
    found.sort(reverse=True)
    letters = [item for item in found if _letter(item[2])]
    yield from (inside for _, _, inside in [*(item for item in found if item not in letters), *letters])


def _letter(text: str) -> bool:
    value = read(text)
    return isinstance(value, Formula) and value.node[0] == "variable" and value.node[1] not in ("π", "e", "∞")


def _prose(value: Value | None) -> bool:
    """Whether a value is a sentence, or holds one."""
    if value is None:
        return True
    if isinstance(value, Text):
        words = value.words
        named = any(character.isalpha() or character == "∅" for character in words) and not any(
            character.isdigit() for character in words
        )
        return not value.formal and (len(words.split()) > 1 or len(words) > 20 or not named)
    return any(_holds_sentence(part) for part in parts(value))


def _holds_sentence(value: Value) -> bool:
    if isinstance(value, Text):
        many = len(value.words.split()) > 2 and len(_LONG_WORD.findall(value.words)) > 1
        return not value.formal and (many or any(character.isdigit() for character in value.words))
    return any(_holds_sentence(part) for part in parts(value))
