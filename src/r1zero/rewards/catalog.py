"""The verifiers a recipe can name, and what each measures.

A name may carry arguments, `cosine(max_tokens=4096)`, and may point to a file of the user's own,
`my_rewards.py:polite`, whose functions register themselves by `@verifier_function`."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from r1zero.base import registry
from r1zero.base.errors import UsageError, suggest
from r1zero.rewards import answers, gym, length, mindspeed, open_r1, user_files
from r1zero.rewards import format as layout
from r1zero.types import Problem, Score

Verifier = Callable[..., Score]  # (problem, text, *, options of its own) -> Score
Measure = Literal["accuracy", "format", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A verifier, what its full mark means for the metrics, and that mark. `in_group` turns the verdicts (1 or 0) and
    lengths in tokens of a prompt's responses into the values of the group.

    Reference answers are tried before a run: `right` is a right response around `{answer}`, or empty if none can be
    made of the reference (a schema); `takes_numbers` says that a plain number is a good reference without trying.

    `seconds` replaces `rewards.timeout_seconds` for a verifier that limits its own work. One that `contains_itself`
    starts containers and evaluates nothing outside of them; a `foreign` one hands the text to another project's code,
    which is never done uncontained."""

    verify: Verifier
    measures: Measure
    full_mark: float = 1.0
    seconds: float = 0.0
    in_group: Callable[[Sequence[bool], Sequence[int]], list[float]] | None = None
    right: str = "<think></think><answer>\\boxed{{{answer}}}</answer>"
    takes_numbers: bool = True
    contains_itself: bool = False
    foreign: bool = False

    def right_response(self, problem: Problem) -> str:
        return self.right.format(answer=problem.answer)

    def accepts(self, score: Score) -> bool:
        """Whether the verdict on `right_response` says that the reference answer can be used."""
        return score.value >= self.full_mark if self.right else score.verdict == "graded"


def _by_a_model(problem: Problem, text: str) -> Score:
    """`grading/` answers for these names; a worker has no model."""
    raise RuntimeError("reward models score in the training process")


VERIFIERS: dict[str, Entry] = {  # `grading/code.py` adds those that run programs
    "math": Entry(answers.math, "accuracy"),
    "multiple_choice": Entry(answers.multiple_choice, "accuracy", takes_numbers=False),
    "numeric": Entry(answers.numeric, "accuracy"),
    "exact_match": Entry(answers.exact_match, "accuracy"),
    "json_schema": Entry(answers.json_schema, "accuracy", right="", takes_numbers=False),
    "reasoning_gym": Entry(gym.reasoning_gym, "accuracy", right="", takes_numbers=False, foreign=True),
    "orz": Entry(answers.orz, "accuracy"),
    # MindSpeed-RL
    "acc": Entry(mindspeed.acc, "accuracy"),
    "base_acc": Entry(mindspeed.base_acc, "accuracy"),
    "math_17k_acc": Entry(mindspeed.math_17k_acc, "accuracy"),
    "acc_for_ppo": Entry(mindspeed.math_17k_acc, "accuracy"),
    "acc_for_dapo": Entry(mindspeed.acc_for_dapo, "accuracy", right="Answer: {answer}"),
    "math_verify_reward": Entry(mindspeed.math_verify_reward, "accuracy"),
    "retool_reward": Entry(mindspeed.retool_reward, "accuracy", right="\\boxed{{{answer}}}"),
    "format": Entry(mindspeed.format, "format"),
    "strict_format": Entry(layout.strict_format, "format"),
    "step": Entry(mindspeed.step, "other"),
    # Open-R1
    "accuracy": Entry(answers.math, "accuracy"),
    "think_accuracy": Entry(open_r1.think_accuracy, "accuracy"),
    "think_format": Entry(open_r1.think_format, "format"),
    "soft_format": Entry(open_r1.soft_format, "format"),
    "code_format": Entry(open_r1.code_format, "format"),
    "tag_count": Entry(open_r1.tag_count, "format"),
    "reasoning_steps": Entry(mindspeed.step, "other"),
    "repetition_penalty": Entry(open_r1.repetition_penalty, "other"),
    "language_consistency": Entry(open_r1.language_consistency, "other"),
    "cosine": Entry(length.cosine, "other"),
    "length": Entry(answers.math, "other", in_group=length.group_lengths),
    "soft_overlong": Entry(length.soft_overlong, "other"),
    "boxed": Entry(layout.boxed, "format"),
    "reward_model": Entry(_by_a_model, "other"),
    "process_reward": Entry(_by_a_model, "other"),
}


def verifier_function(
    name: str = "", *, measures: Measure = "other", full_mark: float = 1.0
) -> Callable[[Verifier], Verifier]:
    """Decorator that makes a function (problem, text) -> Score a verifier under its own or another name. In a file of
    the user's own: `from r1zero.rewards.catalog import verifier_function`."""

    def register(function: Verifier) -> Verifier:
        chosen = name or getattr(function, "__name__", "")
        if chosen in VERIFIERS:
            raise UsageError(f"verifier '{chosen}': there is one of this name already; choose another")
        VERIFIERS[chosen] = Entry(function, measures, full_mark)
        return function

    return register


@lru_cache(maxsize=256)
def verifier(name: str, key: str = "rewards.verifier_function") -> Entry:
    """Look a verifier up by its name in a recipe, at `key`. Raises UsageError for an unknown name, file or argument."""
    called, options = _call(name, key)
    file, _, bare = called.rpartition(":")
    if file and not Path(file).expanduser().is_file():
        raise UsageError(f"{key} = '{name}': no such file")
    own = _load(file) if file else _install(bare)
    if bare not in VERIFIERS or (file and bare not in own):
        raise UsageError(f"{key} = '{name}': unknown verifier{suggest(bare, own if file else known_names())}")
    entry = VERIFIERS[bare]
    known = list(inspect.signature(entry.verify).parameters)[2:]
    for option in options:
        if option not in known:
            hint = suggest(option, known) if known else "; it takes none"
            raise UsageError(f"{key} = '{name}': unknown argument '{option}'{hint}")
    return replace(entry, verify=partial(entry.verify, **options)) if options else entry


def known_names() -> list[str]:
    """Verifiers of r1zero and of installed packages."""
    return [*VERIFIERS, *registry.declared("verifiers")]


def file_of(name: str) -> str:
    """The file of a verifier of the user's own, or nothing."""
    return _call(name, "verifier")[0].rpartition(":")[0]


def foreign(name: str) -> bool:
    """Whether code that is not r1zero's judges: a file of the user's own, another project's scorer."""
    return bool(file_of(name)) or verifier(name).foreign


def _call(name: str, key: str) -> tuple[str, dict[str, Any]]:
    """`cosine(max_tokens=4096)` as a name and literal arguments; nothing is evaluated."""
    called, bracket, rest = name.partition("(")
    if not bracket:
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        options = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
        assert math.isfinite(sum(abs(value) for value in options.values() if isinstance(value, float)))
        return called, options
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError):
        name = name if len(name) <= 200 else name[:200] + "..."
        example = "cosine(max_tokens=4096)"
        raise UsageError(f"{key} = '{name}': arguments are written like {example}, and finite") from None


def _install(name: str) -> tuple[str, ...]:
    """Have the package that adds a verifier of this name register it, if there is one: other people's code, so it is
    contained like a file of the user's own."""
    entry = registry.declared("verifiers").get(name)
    if entry is not None and name not in VERIFIERS:
        registry.loaded(entry)
        if name not in VERIFIERS:
            raise UsageError(
                f"verifier '{name}': entry point '{entry.value}' registers none of this name; put @verifier_function "
                f"over a function {name}"
            )
        VERIFIERS[name] = replace(VERIFIERS[name], foreign=True)
    return ()


@lru_cache(maxsize=64)
def _load(file: str) -> tuple[str, ...]:
    """Run a file of verifiers; the names it registered."""
    before = set(VERIFIERS)
    try:
        user_files.run(Path(file).expanduser())
    except Exception as error:
        for name in set(VERIFIERS) - before:
            del VERIFIERS[name]
        raise UsageError(f"{file}: cannot be loaded: {type(error).__name__}: {error}") from error
    return tuple(name for name in VERIFIERS if name not in before)
