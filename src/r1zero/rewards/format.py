"""Verifiers of the response's layout, and the pieces of it that other verifiers look at."""

from __future__ import annotations

from r1zero.types import Problem, Score

_BOX = "\\boxed{"
_TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def strict_format(problem: Problem, text: str) -> Score:
    """1 for exactly one `<think>`, `</think>`, `<answer>`, `\\boxed{...}`, `</answer>`, in this order, the first and
    the last at the very ends of the response; -0.5 otherwise (MindSpeed-RL `strict_format`)."""
    once = all(text.count(tag) == 1 for tag in (*_TAGS, _BOX))
    framed = text.startswith("<think>") and text.endswith("</answer>")
    good = once and framed and last_box(text) is not None
    if good:
        places = [text.index(tag) for tag in ("<think>", "</think>", "<answer>", _BOX, "</answer>")]
        inside = text.index(_BOX) + len(_BOX) + len(last_box(text) or "") < places[-1]
        good = inside and places == sorted(places)
    return Score(value=1.0 if good else -0.5)


def boxed(problem: Problem, text: str) -> Score:
    """1 for exactly one `\\boxed{...}` that is closed and not empty, 0 otherwise: for prompts that ask for no tags."""
    return Score(value=1.0 if text.count(_BOX) == 1 and (last_box(text) or "").strip() else 0.0)


def think_then_boxed_answer(text: str) -> bool:
    """Whether the whole text matches `<think>.*</think>.*<answer>.*\\boxed{.*}.*</answer>` (dot matches all).

    Found by leftmost searches: the regular expression itself needs quintic time on hostile text.
    """
    if not text.startswith("<think>"):
        return False
    place = 0
    for piece in ("<think>", "</think>", "<answer>", _BOX, "}"):
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return text.endswith("</answer>") and len(text) - len("</answer>") >= place


def last_box(text: str) -> str | None:
    """What the last `\\boxed{...}` holds, its braces balanced; None if there is none or it is never closed."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth = 1
    for place in range(start + len(_BOX), len(text)):
        if text[place] == "{":
            depth += 1
        elif text[place] == "}":
            depth -= 1
            if depth == 0:
                return text[start + len(_BOX) : place]
    return None
