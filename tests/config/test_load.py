"""Recipes: composition, overrides, and errors that say where and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from r1zero.base.errors import UsageError
from r1zero.config import (
    CurateRecipe,
    PrepareRecipe,
    PretrainRecipe,
    Recipe,
    Rollout,
    TuningRecipe,
    dump,
    load,
    load_training,
)
from r1zero.config.load import RECIPES

MINIMAL = """\
run: {dir: runs/x, steps: 3}
model: {path: tiny}
data:
  path: train.jsonl
  template: plain
  max_prompt_tokens: 16
algorithm: {name: grpo, group_size: 4}
rollout: {max_new_tokens: 8}
trainer:
  prompts_per_step: 6
  lr: 1e-6
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(MINIMAL)
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(UsageError) as caught:
        load(Recipe, path, overrides)
    return str(caught.value).replace(str(path), "recipe.yaml")


def test_scientific_notation_is_a_number(recipe: Path) -> None:
    assert load(Recipe, recipe).trainer.lr == 1e-6


def test_overrides_win_and_are_typed(recipe: Path) -> None:
    loaded = load(Recipe, recipe, ["trainer.lr=2e-5", "rewards.verifier_function=[acc]", "run.dir=runs/y z"])
    assert (loaded.trainer.lr, loaded.rewards.verifier_function, loaded.run.dir) == (2e-5, ("acc",), "runs/y z")


def test_defaults_compose_section_by_section(recipe: Path) -> None:
    child = recipe.with_name("child.yaml")
    child.write_text("defaults: [recipe]\nrun: {steps: 7}\nrollout: {temperature: 0.8}\n")
    loaded = load(Recipe, child)
    assert (loaded.run.steps, loaded.run.dir, loaded.rollout.max_new_tokens) == (7, "runs/x", 8)


def test_defaults_in_a_circle(recipe: Path) -> None:
    recipe.write_text("defaults: [recipe]\n" + MINIMAL)
    assert message(recipe) == "recipe.yaml: defaults go round in a circle: recipe.yaml -> recipe.yaml"


def test_dump_loads_to_the_same_recipe(recipe: Path) -> None:
    loaded = load(Recipe, recipe, ["algorithm.kl=0.001"])
    again = recipe.with_name("again.yaml")
    again.write_text(dump(loaded))
    assert load(Recipe, again) == loaded


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(RECIPES)))
def test_shipped_recipes_load(path: Path) -> None:
    schema = {"tiny_base": PretrainRecipe, "curate_math": CurateRecipe}.get(path.stem)
    recipe = load(schema, path) if schema else load_training(path)
    if isinstance(recipe, Recipe):
        assert "truncated" in recipe.rewards.model_fields_set, "a recipe says what truncated responses count for"


def test_a_recipe_in_a_folder_of_recipes_is_found_by_its_name() -> None:
    assert load(Recipe, "algorithms/ppo").critic is not None
    assert load(Recipe, "algorithms/ppo.yaml").trainer == load(Recipe, "demo_tiny").trainer
    with pytest.raises(UsageError, match="recipe 'algorithms/poo': no such file; did you mean 'algorithms/ppo'?"):
        load(Recipe, "algorithms/poo")


def test_open_reasoner_zero_to_the_number() -> None:
    """arXiv 2503.24290, appendix, and its playground scripts."""
    orz = load(Recipe, "orz_ppo_7b")
    assert orz.critic is not None
    assert (orz.trainer.lr, orz.critic.lr) == (1e-6, 5e-6)
    assert (orz.trainer.prompts_per_step, orz.algorithm.group_size) == (128, 64)
    assert (orz.updates_per_step(), orz.critic.minibatches * orz.critic.epochs) == (1, 12)
    assert (orz.algorithm.gamma, orz.algorithm.gae_lambda, orz.algorithm.kl) == (1.0, 1.0, None)
    assert (orz.algorithm.clip_low, orz.algorithm.clip_high, orz.critic.value_clip) == (0.2, 0.2, 0.2)
    assert orz.rewards.truncated == "zero" and orz.algorithm.entropy == 0
    for optimization in (orz.trainer, orz.critic):
        assert (optimization.betas, optimization.weight_decay, optimization.warmup_steps) == ((0.9, 0.95), 0.0, 50)


def test_settings_that_contradict_each_other(recipe: Path) -> None:
    for overrides, expected in (
        (
            ["rewards.overlong_tokens=4"],
            "rewards.overlong_tokens = 4: only works with rewards.truncated: penalise; set that or 0",
        ),
        (
            ["rewards.overlong_tokens=8", "rewards.truncated=penalise"],
            "rewards.overlong_tokens = 8: must be less than rollout.max_new_tokens = 8; lower it",
        ),
        (
            ["algorithm.filter_by=accuracy"],
            "algorithm.filter_by = 'accuracy': is not 'reward' or one of ['acc']; choose one of them",
        ),
        (
            ["algorithm.kl_target=0.1"],
            "algorithm.kl_target = 0.1: needs a coefficient to start from; set algorithm.kl above 0",
        ),
        (["algorithm.kl_in=reward"], "algorithm.kl_in = 'reward': needs a coefficient; set algorithm.kl"),
        (
            ["algorithm.kl=0.01", "algorithm.kl_estimator=k1"],
            "algorithm.kl_estimator = 'k1': k1 in the loss has an expected gradient of zero and penalises nothing; "
            "choose k2 or k3, or set algorithm.kl_in: reward",
        ),
        (
            ["algorithm.correction.level=token", "rollout.top_p=0.9"],
            "algorithm.correction.level = 'token': needs the probabilities that were sampled from, which rollout.top_p "
            "changes; switch the filter off, or set none",
        ),
        (
            ["algorithm.correction.low=3"],
            "algorithm.correction.low = 3.0: is above algorithm.correction.high = 2; swap them",
        ),
        (
            ["critic.lr=1e-3", "critic.minibatches=7"],
            "critic.minibatches = 7: is more than trainer.prompts_per_step = 6; a group is never cut, so lower it",
        ),
        (
            ["critic.lr=1e-3", "critic.tokens_per_pack=20"],
            "critic.tokens_per_pack = 20: cannot hold one rollout of data.max_prompt_tokens + rollout.max_new_tokens = "
            "24 tokens; set it to at least 24",
        ),
    ):
        assert message(recipe, *overrides) == f"command line: {expected}"


def test_groups_are_filtered_by_what_every_source_measures(recipe: Path) -> None:
    own = "  sources: [{path: a.jsonl, verifiers: {boxed: 1.0}}, {path: b.jsonl}]"
    recipe.write_text("\n".join(own if "path: train" in line else line for line in MINIMAL.splitlines()))
    load(Recipe, recipe)
    assert message(recipe, "algorithm.filter_by=acc") == (
        "command line: algorithm.filter_by = 'acc': is not among data.sources.0.verifiers; add it there (its weight "
        "may be 0), or set reward"
    )


def test_k1_may_be_measured_or_enter_the_reward(recipe: Path) -> None:
    load(Recipe, recipe, ["algorithm.kl=0", "algorithm.kl_estimator=k1"])
    load(Recipe, recipe, ["algorithm.kl=0.01", "algorithm.kl_estimator=k1", "algorithm.kl_in=reward"])


def test_unknown_key(recipe: Path) -> None:
    recipe.write_text(MINIMAL.replace("lr: 1e-6", "learning_rate: 1e-6\n  prompts_per_stp: 4"))
    assert message(recipe).splitlines() == [
        "recipe.yaml: trainer.lr: missing; add it",
        "recipe.yaml:11: trainer.learning_rate = 1e-06: unknown key; here it is 'lr'",
        "recipe.yaml:12: trainer.prompts_per_stp = 4: unknown key; did you mean 'prompts_per_step'?",
    ]


def test_unknown_section_and_unknown_override(recipe: Path) -> None:
    assert message(recipe, "traner.lr=1e-6") == (
        "command line: traner = {'lr': 1e-06}: unknown key; did you mean 'trainer'?"
    )
    assert message(recipe, "rollout.temprature=1") == (
        "command line: rollout.temprature = 1: unknown key; did you mean 'temperature'?"
    )


def test_wrong_type(recipe: Path) -> None:
    assert message(recipe, "rollout.temperature=hot") == (
        "command line: rollout.temperature = 'hot': input should be a valid number"
    )
    recipe.write_text(MINIMAL.replace("steps: 3", "steps: 3.5"))
    assert message(recipe).startswith("recipe.yaml:1: run.steps = 3.5: input should be a valid integer")


def test_value_out_of_range(recipe: Path) -> None:
    assert message(recipe, "rollout.top_p=1.5") == (
        "command line: rollout.top_p = 1.5: input should be less than or equal to 1"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(".inf", "inf"), ("-.inf", "-inf"), (".nan", "nan"), ("1e999", "inf"), ("1e39", "1e+39")],
)
@pytest.mark.parametrize(
    "key",
    [
        "trainer.lr",
        "algorithm.entropy",
        "rollout.temperature",
        "data.options.x",
        "rewards.truncated_penalty",
        "run.seed",
    ],
)
def test_numbers_without_end_are_refused_anywhere(recipe: Path, key: str, value: str, shown: str) -> None:
    assert message(recipe, f"{key}={value}") == (
        f"command line: {key} = {shown}: must be a finite number that single precision can hold"
    )


def test_numbers_without_end_in_a_file_and_in_a_list(recipe: Path) -> None:
    recipe.write_text(MINIMAL + "  weight_decay: .inf\n  betas: [0.9, .nan]\n")
    assert message(recipe).splitlines() == [
        "recipe.yaml:12: trainer.weight_decay = inf: must be a finite number that single precision can hold",
        "recipe.yaml:13: trainer.betas.1 = nan: must be a finite number that single precision can hold",
    ]
    for schema in (PretrainRecipe, CurateRecipe, PrepareRecipe, TuningRecipe):
        with pytest.raises(UsageError, match="12: trainer.weight_decay = inf: must be a finite number"):
            load(schema, recipe)
    with pytest.raises(ValidationError, match="finite number"):  # a section that no file describes
        Rollout(max_new_tokens=1, kv_cache_gib=float("inf"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.betas=[0.9, 2]", "trainer.betas.1 = 2: input should be less than 1"),
        ("trainer.betas=[-0.1, 0.9]", "trainer.betas.0 = -0.1: input should be greater than or equal to 0"),
        ("run.seed=9223372036854775808", "run.seed = 9223372036854775808: has more than 63 bits; choose a smaller"),
        ("run.threads=5000000000", "run.threads = 5000000000: input should be less than or equal to 4096"),
        (
            "rewards.timeout_seconds=1e30",
            "rewards.timeout_seconds = 1e+30: input should be less than or equal to 86400",
        ),
        ("rollout.temperature=1e-30", "rollout.temperature = 1e-30: input should be greater than or equal to 0.0001"),
        ("run.dir=''", "run.dir = '': must not be empty"),
        ("model.path=''", "model.path = '': must not be empty"),
        ("evaluation.path=''", "evaluation.path = '': must not be empty"),
        ("data.template=''", "data.template = '': must not be empty"),
        ("trainer.lr=!!binary aGk=", "trainer.lr = b'hi': is of YAML's type bytes; write it as text or a number"),
        ("data.options={? [a]: 1}", "data.options: a key must be text"),
        ("run={dir: x, dir: y}", "run.dir: given twice; remove one"),
    ],
)
def test_values_beyond_their_bounds(recipe: Path, override: str, expected: str) -> None:
    assert message(recipe, override).startswith(f"command line: {expected}")
    assert load(Recipe, recipe, ["run.seed=9223372036854775807", "run.dir=2024-13-01"]).run.dir == "2024-13-01"


def test_an_override_answers_for_what_it_replaces(recipe: Path) -> None:
    recipe.write_text(MINIMAL + "  betas: [0.9, 0.95]\n")
    assert message(recipe, "trainer.betas=[0.9, 1]") == "command line: trainer.betas.1 = 1: input should be less than 1"
    child = recipe.with_name("child.yaml")
    child.write_text("defaults: [recipe]\ntrainer:\n  betas: [2, 0.9]\n")
    with pytest.raises(UsageError, match=r"child.yaml:3: trainer.betas.0 = 2: input should be less than 1$"):
        load(Recipe, child)


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ("[acc, acc]", "acc"),
        ("[acc, acc()]", "acc"),
        ("[cosine(max_tokens=9), 'cosine(max_tokens = 9)']", "cosine(max_"),
    ],
)
def test_a_verifier_named_twice(recipe: Path, names: str, shown: str) -> None:
    """The second weight would stand for both, or both would be added up."""
    rewards = ["rewards.verifier_weight=[1.0, 0.2]", f"rewards.verifier_function={names}"]
    assert f": names '{shown}" in message(recipe, *rewards)
    assert "more than once; give it once, with the sum of the weights" in message(recipe, *rewards)
    recipe.write_text(SOURCES)
    assert message(recipe, "data.sources.1.verifiers={acc: 1, 'acc()': 0.2}").startswith(
        "command line: data.sources.1.verifiers = {'acc': 1.0, 'acc()': 0.2}: names 'acc' more than once"
    )
    assert message(recipe, "data.sources.1.verifiers={acc: 1, acc: 0.2}") == (
        "command line: data.sources.1.verifiers.acc: given twice; remove one"
    )


def test_an_empty_stop_string(recipe: Path) -> None:
    recipe.write_text(MINIMAL.replace("max_new_tokens: 8", "max_new_tokens: 8, stop: [x, '']"))
    assert message(recipe) == "recipe.yaml:8: rollout.stop.1 = '': must not be empty"


def test_impossible_batch_arithmetic(recipe: Path) -> None:
    recipe.write_text(MINIMAL + "  minibatches: 4\n")
    assert message(recipe) == (
        "recipe.yaml:12: trainer.minibatches = 4: does not divide trainer.prompts_per_step = 6; "
        "choose one of [1, 2, 3, 6]"
    )
    assert message(recipe, "trainer.minibatches=3", "trainer.tokens_per_pack=20") == (
        "command line: trainer.tokens_per_pack = 20: cannot hold one rollout of data.max_prompt_tokens + "
        "rollout.max_new_tokens = 24 tokens; set it to at least 24"
    )


def test_one_weight_per_verifier(recipe: Path) -> None:
    assert message(recipe, "rewards.verifier_function=[acc, strict_format]") == (
        "command line: rewards.verifier_weight = (1.0,): has 1 values for 2 verifiers; give one each"
    )


SOURCES = MINIMAL.replace("  path: train.jsonl\n", "  sources:\n    - {path: a.jsonl}\n    - {path: b.jsonl}\n")


def test_several_sources(recipe: Path) -> None:
    recipe.write_text(SOURCES)
    loaded = load(Recipe, recipe, ["data.sources.1.columns.question=problem"])
    assert [source.path for source in loaded.data.mixed()] == ["a.jsonl", "b.jsonl"]
    assert loaded.data.sources[1].columns.question == "problem" and loaded.data.sources[1].weight is None
    assert message(recipe, "data.sources.2.weight=1") == (
        "override 'data.sources.2.weight=1': the list has 2 entries, numbered from 0"
    )
    assert message(recipe, "data.sources.1.wieght=1") == (
        "command line: data.sources.1.wieght = 1: unknown key; did you mean 'weight'?"
    )


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["data.path=c.jsonl"], "data.path = 'c.jsonl': belongs to a single source; move it into data.sources"),
        (["data.sources.0.weight=1"], "give a weight to all sources or to none, and not only zeros"),
        (["data.sources.1.path=a.jsonl"], "names a source twice; raise its weight instead"),
        (
            ["data.sources.1.path=a.jsonl", "data.sources.1.split=test", "data.sources.1.verifiers={acc: 1}"],
            "data.sources.1.verifiers = {'acc': 1.0}: differ from those of the same path above",
        ),
        (
            ["data.curriculum=[{after_prompts: 5, weights: [1]}]"],
            "data.curriculum.0.weights = (1.0,): must be 2 numbers >= 0, one per source",
        ),
        (
            ["data.curriculum=[{after_prompts: 5, weights: [1, 0]}, {after_prompts: 5, weights: [1, 1]}]"],
            "data.curriculum.1.after_prompts = 5: must be larger than the phase before's",
        ),
    ],
)
def test_impossible_sources(recipe: Path, overrides: list[str], expected: str) -> None:
    recipe.write_text(SOURCES)
    assert expected in message(recipe, *overrides)


def test_no_source_at_all(recipe: Path) -> None:
    recipe.write_text(MINIMAL.replace("  path: train.jsonl\n", ""))
    assert "data.path = '': missing; give data.path or data.sources" in message(recipe)


def test_a_key_given_twice(recipe: Path) -> None:
    recipe.write_text(MINIMAL + "  lr: 2e-6\n")
    assert message(recipe) == "recipe.yaml:12: trainer.lr: given twice; remove one"


def test_not_yaml_and_not_a_mapping(recipe: Path) -> None:
    recipe.write_text("run: [")
    assert message(recipe).startswith("recipe.yaml: not valid YAML: ")
    for text, why in (
        ("run: &here {x: *here}", "it is nested too deeply, or holds itself"),
        ("run: " + "[" * 3000, "it is nested too deeply, or holds itself"),
        ("run: " + "9" * 5000, "a number of too many digits"),
        ("run: \x01", "unacceptable character #x0001"),
        ("run: \udcff", "'utf-8' codec can't decode byte 0xff"),
    ):
        recipe.write_bytes(text.encode(errors="surrogateescape"))
        assert message(recipe).startswith(f"recipe.yaml: not valid YAML: {why}") and "\n" not in message(recipe)
    recipe.write_text("- 1\n")
    assert message(recipe) == "recipe.yaml: a recipe is a mapping of sections, found list"


def test_no_such_recipe() -> None:
    with pytest.raises(UsageError, match="recipe 'demo_tinny.yaml': no such file; did you mean 'demo_tiny'?"):
        load(Recipe, "demo_tinny.yaml")


def test_malformed_override(recipe: Path) -> None:
    assert message(recipe, "trainer.lr") == "override 'trainer.lr': write it as section.key=value"


def test_arithmetic_in_words(recipe: Path) -> None:
    assert load(Recipe, recipe, ["trainer.minibatches=2", "trainer.epochs=2"]).arithmetic() == (
        "a step: 6 prompts x 4 samples = 24 rollouts, 4 optimizer steps of 12 rollouts each"
    )


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("run.dir=2024-11-26", "2024-11-26"),
        ("run.dir=12:30", "12:30"),
        ("run.dir=010", "010"),
        ("run.dir=yes", "yes"),
        ("run.dir=a #b", "a #b"),
        ("run.dir= a ", "a"),
        ("run.dir=' a '", " a "),
        ("run.dir=null", "null"),
        ("data.answer_after=####", "####"),
        ("data.answer_after='####'", "####"),
        ('data.answer_after="\\n"', "\n"),
        ("data.answer_after=@x: [", "@x: ["),
        ("data.answer_after=", ""),
        ("rewards.truncated=zero", "zero"),
    ],
)
def test_an_override_of_a_text_is_what_was_written(recipe: Path, override: str, value: str) -> None:
    loaded: Any = load(Recipe, recipe, [override])
    for name in override.partition("=")[0].split("."):
        loaded = getattr(loaded, name)
    assert loaded == value


def test_text_inside_of_lists_and_sections(recipe: Path) -> None:
    loaded = load(Recipe, recipe, ["rollout.stop=['#', 12:30, '</answer>']"])
    assert loaded.rollout.stop == ("#", "12:30", "</answer>")
    (recipe.parent / "sources.yaml").write_text(
        "defaults: [recipe]\ndata: {path: '', sources: [{path: a}, {path: b}]}\n"
    )
    loaded = load(Recipe, recipe.parent / "sources.yaml", ["data.sources.1.answer_after=#### "])
    assert loaded.data.sources[1].answer_after == "####"


def test_what_yaml_takes_for_a_comment_is_refused(recipe: Path) -> None:
    assert message(recipe, "rollout.stop=[a, #b]") == (
        "override 'rollout.stop=[a, #b]': what follows # is a comment in YAML; put it in quotes"
    )


def test_numbers_are_those_of_yaml_1_2(recipe: Path) -> None:
    assert message(recipe, "run.seed=12:30") == "command line: run.seed = '12:30': input should be a valid integer"
    assert message(recipe, "run.seed=010") == "command line: run.seed = '010': input should be a valid integer"
    assert load(Recipe, recipe, ["run.seed=0x10", "trainer.lr=1e-5"]).run.seed == 16


def test_a_number_where_a_text_belongs(recipe: Path) -> None:
    recipe.write_text(MINIMAL.replace("runs/x", "2024"))
    assert message(recipe).endswith("run.dir = 2024: must be text; put it in quotes")


def test_the_home_folder(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    loaded = load(Recipe, recipe, ["run.dir=~/x", "model.path=~/y", "data.path=~/z", "data.templates_file=a~"])
    assert (loaded.run.dir, loaded.model.path, loaded.data.path) == ("/home/ada/x", "/home/ada/y", "/home/ada/z")
    assert loaded.data.templates_file == "a~"
