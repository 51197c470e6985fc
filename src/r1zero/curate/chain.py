"""From raw files to a data set to train on: a chain of named steps that say what they take out and why.

run.dir/curated/    published whole or not at all, with a manifest of sizes and SHA-256
  NAME.jsonl          a file per source, or per source and difficulty bucket
  sources.yaml        these files with weights and verifiers, for `defaults` of a training recipe
  report.json         inputs, steps, counts, reasons, examples, outputs; report.txt is its table, report.html its page
  removed/NN_STEP.jsonl  every problem a step took out, with reason, evidence and the problem it was compared with
run.dir/samples/    samples of pass-rate steps
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from r1zero.base import device
from r1zero.base.errors import UsageError
from r1zero.base.log import log
from r1zero.config import CurateRecipe, Rewards, Source, dump
from r1zero.config import curation as settings
from r1zero.curate import passrate, report
from r1zero.curate.card import card
from r1zero.data.card import render
from r1zero.data.curation import answers, checks, decontaminate, difficulty, duplicates
from r1zero.data.curation.removal import Outcome
from r1zero.data.problems import Rejected, read_problems
from r1zero.grading.pool import ScorerPool
from r1zero.grading.reference import unusable_answers
from r1zero.rewards.catalog import verifier
from r1zero.run import store
from r1zero.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What steps may need beside the problems and their own settings."""

    recipe: CurateRecipe
    check: Callable[[], None]


def curate(recipe: CurateRecipe, check: Callable[[], None] = lambda: None) -> Path:
    """Run the chain and publish its result; returns the folder. `check` is called now and then and may raise to stop.

    Raises UsageError when the folder holds a result already, a source has too many bad rows, or no problem is left.
    """
    target = Path(recipe.run.dir) / "curated"
    if target.exists():
        raise UsageError(f"run.dir = '{recipe.run.dir}': holds a curated data set already; choose another folder")
    _check_names(recipe)
    problems, rejected, inputs = _read(recipe)
    steps: list[report.Step] = []
    for number, step in enumerate(recipe.steps, start=1):
        check()
        start = time.monotonic()
        before = len(problems)
        try:
            outcome = STEPS[type(step)](problems, step, Context(recipe=recipe, check=check))
        except UsageError as error:
            raise UsageError(f"steps.{number - 1} ({step.step}): {error}") from None
        seconds = time.monotonic() - start
        steps.append(report.Step(number=number, settings=step, before=before, outcome=outcome, seconds=seconds))
        problems = outcome.kept
        log.info(f"{number}. {step.step}: {before} -> {len(problems)}  ({seconds:.1f} s)")
        if not problems:
            reasons = ", ".join(f"{count} {reason}" for reason, count in report.reasons(outcome).items())
            raise UsageError(f"steps.{number - 1} ({step.step}): no problem is left; it took out: {reasons}")
    _publish(target, recipe, problems, rejected, inputs, steps)
    return target


def _check_names(recipe: CurateRecipe) -> None:
    """Verifiers that a recipe names exist."""
    for number, source in enumerate(recipe.sources):
        for name in source.verifiers:
            verifier(name, f"sources.{number}.verifiers")
    for number, step in enumerate(recipe.steps):
        if isinstance(step, settings.Verifiable):
            verifier(step.verifier, f"steps.{number}.verifier")


def _read(recipe: CurateRecipe) -> tuple[list[Problem], list[Rejected], list[dict[str, Any]]]:
    """The problems of all sources with ids of their own, unreadable rows, and what the report says of each source."""
    problems: list[Problem] = []
    rejected: list[Rejected] = []
    inputs = []
    for number, source in enumerate(recipe.sources):
        good, bad = read_problems(source, f"sources.{number}")
        share = len(bad) / (len(good) + len(bad))
        if share > recipe.run.max_bad_fraction:
            raise UsageError(
                f"sources.{number}.path = '{source.path}': {len(bad)} of {len(good) + len(bad)} rows cannot be read, "
                f"more than run.max_bad_fraction = {recipe.run.max_bad_fraction:g}; line {bad[0].line}: {bad[0].reason}"
            )
        # the number of the source goes before the id, so that equal file names do not meet
        problems += [replace(problem, id=f"{number}/{problem.id}") for problem in good]
        rejected += bad
        inputs.append(report.input_entry(source, len(good), bad))
    return problems, rejected, inputs


def _evaluation_sets(against: tuple[Source, ...]) -> dict[str, list[Problem]]:
    """Problems by a short name of their set. A row that cannot be read would not be looked for, so it is an error."""
    sets: dict[str, list[Problem]] = {}
    for number, source in enumerate(against):
        problems, rejected = read_problems(source, f"against.{number}")
        if rejected:
            raise UsageError(
                f"against.{number}.path = '{source.path}': row {rejected[0].line} cannot be read: {rejected[0].reason}"
                f"; mend it or leave it out"
            )
        name = Path(source.path).stem
        sets[name if name not in sets else f"{name}-{number}"] = problems
    return sets


def _schema(problems: list[Problem], step: settings.Schema, context: Context) -> Outcome:
    return checks.schema(
        problems,
        min_characters=step.min_characters,
        max_characters=step.max_characters,
        max_answer_characters=step.max_answer_characters,
        figures=step.figures,
    )


def _language(problems: list[Problem], step: settings.Language, context: Context) -> Outcome:
    return checks.language(problems, languages=step.languages, confidence=step.confidence)


def _verifiable(problems: list[Problem], step: settings.Verifiable, context: Context) -> Outcome:
    limits = Rewards(timeout_seconds=step.timeout_seconds, memory_mib=step.memory_mib, workers=step.workers)
    with ScorerPool.of(limits) as pool:
        return answers.unverifiable(problems, lambda left: unusable_answers(left, lambda _: step.verifier, pool))


def _exact(problems: list[Problem], step: settings.ExactDuplicates, context: Context) -> Outcome:
    return duplicates.exact(problems)


def _near(problems: list[Problem], step: settings.NearDuplicates, context: Context) -> Outcome:
    return duplicates.near(problems, threshold=step.threshold, ngram=step.ngram)


def _similar(problems: list[Problem], step: settings.Similar, context: Context) -> Outcome:
    from r1zero.models.embed import Embedder

    embed = Embedder(step.model, device.select("auto", "fp32").torch_device)
    return duplicates.similar(problems, embed, threshold=step.threshold)


def _decontaminate(problems: list[Problem], step: settings.Decontaminate, context: Context) -> Outcome:
    sets = _evaluation_sets(step.against)
    if step.mode == "open_r1":
        return decontaminate.open_r1(problems, sets, step.ngram)
    return decontaminate.strict(problems, sets)


def _pass_rate(problems: list[Problem], step: settings.PassRate, context: Context) -> Outcome:
    run = context.recipe.run
    samples = Path(step.samples_dir) if step.samples_dir else Path(run.dir) / "samples"
    return passrate.filtered(problems, step, samples=samples, seed=run.seed, check=context.check)


def _difficulty(problems: list[Problem], step: settings.Difficulty, context: Context) -> Outcome:
    return difficulty.bucketed(problems, column=step.column, edges=step.edges, names=step.names)


STEPS: dict[type, Callable[[list[Problem], Any, Context], Outcome]] = {
    settings.Schema: _schema,
    settings.Language: _language,
    settings.Verifiable: _verifiable,
    settings.ExactDuplicates: _exact,
    settings.NearDuplicates: _near,
    settings.Similar: _similar,
    settings.Decontaminate: _decontaminate,
    settings.PassRate: _pass_rate,
    settings.Difficulty: _difficulty,
}


def _publish(
    target: Path,
    recipe: CurateRecipe,
    problems: list[Problem],
    rejected: list[Rejected],
    inputs: list[dict[str, Any]],
    steps: list[report.Step],
) -> None:
    files = report.output_files(recipe, problems)

    def fill(folder: Path) -> None:
        outputs = report.write_data(folder, target, files)
        (folder / "recipe.yaml").write_text(dump(recipe), encoding="utf-8")
        report.write_removed(folder, rejected, steps)
        tree = report.tree(recipe, inputs, steps, outputs)
        report.write_report(folder, tree)
        page = render(card(f"{Path(recipe.run.dir).name}: curated", tree, files))
        (folder / "report.html").write_text(page, encoding="utf-8", errors="replace")

    target.parent.mkdir(parents=True, exist_ok=True)
    store.publish(target, fill)
