"""The keys of a recipe. Every batch-like key says what it counts; a key exists only if two recipes differ on it.

Values are never written after construction; derived numbers are methods. Checks that need two keys are in `conflicts`,
which names keys and remedies, so that `load.py` can add the file and line.
"""

from __future__ import annotations

from pydantic import Field

from r1zero.base.device import DeviceKind, DtypeName
from r1zero.config.algorithm import Algorithm
from r1zero.config.model import Model
from r1zero.config.optimization import Critic, PretrainTrainer, Trainer
from r1zero.config.rewards import Rewards, named_twice
from r1zero.config.section import Conflicts, Filled, FilledLocation, Location, Section

SYNONYMS = {  # what users of TRL, verl, OpenRLHF and MindSpeed-RL call our keys: for the hint in an error
    "learning_rate": "lr",
    "num_generations": "group_size",
    "n_samples_per_prompt": "group_size",
    "beta": "kl",
    "init_kl_coef": "kl",
    "kl_loss_coef": "kl",
    "kl_penalty": "kl_estimator",
    "clip_ratio": "clip_low",
    "epsilon": "clip_low",
    "epsilon_high": "clip_high",
    "cliprange_value": "value_clip",
    "lam": "gae_lambda",
    "kl_ctrl_type": "kl_target",
    "loss_agg_mode": "loss_mean",
    "overlong_buffer_len": "overlong_tokens",
    "entropy_coeff": "entropy",
    "max_completion_length": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "max_prompt_length": "max_prompt_tokens",
    "prompt_type": "template",
    "prompt_type_path": "templates_file",
    "global_batch_size": "prompts_per_step",
    "train_batch_size": "prompts_per_step",
    "lr_decay_style": "schedule",
    "max_grad_norm": "clip_grad",
    "train_iters": "steps",
    "max_steps": "steps",
    "save_interval": "save_every",
    "save_steps": "save_every",
    "model_name_or_path": "path",
    "n": "samples",
}


class Run(Section):
    dir: FilledLocation
    """Run folder: everything the run leaves behind."""
    steps: int = Field(ge=0)
    """Training steps; an RL step is one batch of rollouts and its updates."""
    seed: int = Field(default=0, ge=0, le=2**63 - 1)
    save_every: int = Field(default=0, ge=0)
    """Steps between checkpoints; 0 saves only at the end (and on Ctrl-C)."""
    keep_checkpoints: int = Field(default=2, ge=1)
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0 evaluates only before the first and after the last step."""
    deterministic: bool = False
    """Same bits for the same seed, also across a kill and --resume; slower kernels on accelerators."""
    device: DeviceKind = "auto"
    accept_changed_data: bool = False
    """Resume although the rows are not those that the run began with."""
    threads: int = Field(default=0, ge=0, le=4096)
    """CPU threads of this process; 0 is one per usable physical core."""


class Columns(Section):
    question: str = "question"
    """Name of a column; `prompt.0.content` and `reward_model.ground_truth` are values inside of columns. A list of chat
    messages, also as JSON text, is a chat."""
    answer: str = "answer"


class Source(Section):
    path: FilledLocation
    """A file (.jsonl .json .csv .parquet .arrow .txt), a folder of them or a local copy of a hub repository,
    `reasoning-gym:TASK`, `r1zero:TASK`, `modelscope:OWNER/NAME`, or a Hugging Face dataset id."""
    split: str = "train"
    """Split of a Hugging Face dataset, of a folder, or of an `r1zero:` task; a single file is read whole."""
    subset: str = ""
    """Configuration of a Hugging Face dataset, or of a local copy of one, that has several."""
    columns: Columns = Columns()
    answer_after: str = ""
    """Keep only what follows the last occurrence of this marker in the answer column (GSM8K: '####')."""
    options: dict[str, int | float | str | bool] = Field(default={})
    """Arguments of a generated task."""
    limit: int = Field(default=0, ge=0)
    """Use the first so many problems; 0 uses all."""


class Example(Section):
    question: str
    answer: str


class TrainingSource(Source):
    """One of several sources."""

    weight: float | None = Field(default=None, ge=0)
    """Share of the prompts, relative to the other sources' weights; null for all is as many as each has problems."""
    verifiers: dict[str, float] = Field(default={})
    """Verifiers with their weights for problems of this source; empty is those of rewards."""


class Phase(Section):
    after_prompts: int = Field(ge=1)
    """Prompts drawn before these weights hold; a step draws trainer.prompts_per_step."""
    weights: tuple[float, ...]
    """One per source, in their order."""


class Data(Source):
    path: Location = ""
    """A file (.jsonl .json .csv .parquet .arrow .txt), a folder of them or a local copy of a hub repository,
    `reasoning-gym:TASK`, `r1zero:TASK`, `modelscope:OWNER/NAME`, or a Hugging Face dataset id; or give sources."""
    sources: tuple[TrainingSource, ...] = ()
    """Several sources, mixed by weight: in every stretch of prompts each has its share."""
    curriculum: tuple[Phase, ...] = ()
    """Other weights of the sources later on."""
    template: Filled
    """Name in the templates file, or `chat` for the tokenizer's own chat template."""
    templates_file: Location = ""
    """YAML file with further templates."""
    examples: tuple[Example, ...] = ()
    """Worked examples shown as earlier turns of the chat."""
    max_prompt_tokens: int = Field(ge=1)
    """Longer prompts are dropped, counted and reported."""
    shuffle: bool = True

    def mixed(self) -> tuple[TrainingSource, ...]:
        """The sources, also of recipes that give one path."""
        if self.sources:
            return self.sources
        return (TrainingSource(**{name: getattr(self, name) for name in Source.model_fields}),)

    def conflicts(self) -> Conflicts:
        found: Conflicts = []
        if not self.path and not self.sources:
            found.append(("data.path", "missing; give data.path or data.sources"))
        changed = [name for name in Source.model_fields if getattr(self, name) != Data.model_fields[name].default]
        if self.sources and changed:
            found.append((f"data.{changed[0]}", "belongs to a single source; move it into data.sources"))
        weights = [source.weight for source in self.sources if source.weight is not None]
        if weights and (len(weights) < len(self.sources) or not sum(weights)):
            found.append(("data.sources", "give a weight to all sources or to none, and not only zeros"))
        paths = [(source.path, source.split, source.subset, source.options) for source in self.sources]
        if any(paths.count(path) > 1 for path in paths):
            found.append(("data.sources", "names a source twice; raise its weight instead"))
        for number, source in enumerate(self.sources):
            if any(
                other.path == source.path and other.verifiers != source.verifiers for other in self.sources[:number]
            ):
                found.append((f"data.sources.{number}.verifiers", "differ from those of the same path above"))
        before = 0
        for number, phase in enumerate(self.curriculum):
            key = f"data.curriculum.{number}"
            if len(phase.weights) != len(self.sources) or min(phase.weights, default=0) < 0 or not sum(phase.weights):
                found.append((f"{key}.weights", f"must be {len(self.sources)} numbers >= 0, one per source"))
            if phase.after_prompts <= before:
                found.append((f"{key}.after_prompts", "must be larger than the phase before's"))
            before = phase.after_prompts
        return found


class Evaluation(Source):
    samples: int = Field(default=4, ge=1)
    """Samples per problem; accuracy is their mean (pass@1)."""
    temperature: float = Field(default=1.0, ge=1e-4)
    top_p: float = Field(default=1.0, gt=0, le=1)
    greedy: bool = True
    """Also answer every problem once at temperature 0."""
    ema: bool = False
    """Evaluate the average of trainer.ema in place of the newest weights."""


class Rollout(Section):
    engine: Filled = "native"
    """`native`, or one that an installed package adds."""
    temperature: float = Field(default=1.0, ge=1e-4)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    max_new_tokens: int = Field(ge=1)
    """Per rollout."""
    stop: tuple[Filled, ...] = ()
    """Stop strings beside the template's own, found in the text whatever tokens carry them. The token that completes
    one is the response's last and stays whole: the text that matched, and what the token holds after it."""
    kv_cache_gib: float = Field(default=2.0, gt=0)
    """Memory for keys and values; what does not fit waits its turn."""
    compile: bool = False
    """Run the model's layers through torch.compile while sampling: for accelerators. Needs Triton there, a C++ compiler
    on CPU, and seconds to minutes before the first token."""


class Logging(Section):
    tensorboard: bool = True
    sinks: tuple[Filled, ...] = ()
    """Further sinks of metrics, by the names that installed packages give them."""

    def named(self) -> tuple[str, ...]:
        """Every sink of the run but `metrics.jsonl`, which is always there."""
        return tuple(dict.fromkeys([*(("tensorboard",) if self.tensorboard else ()), *self.sinks]))


_FILTERS = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}  # of sampling, and what switches each off


class Recipe(Section):
    """Reinforcement learning: `r1zero train`."""

    run: Run
    model: Model
    data: Data
    evaluation: Evaluation | None = None
    rewards: Rewards = Rewards()
    algorithm: Algorithm
    rollout: Rollout
    trainer: Trainer
    critic: Critic | None = None
    logging: Logging = Logging()

    def updates_per_step(self) -> int:
        """Optimizer steps that one batch of rollouts feeds."""
        return self.trainer.minibatches * self.trainer.epochs

    def rollouts_per_step(self) -> int:
        return self.trainer.prompts_per_step * self.algorithm.group_size

    def arithmetic(self) -> str:
        prompts, group, updates = self.trainer.prompts_per_step, self.algorithm.group_size, self.updates_per_step()
        return (
            f"a step: {prompts} prompts x {group} samples = {self.rollouts_per_step()} rollouts, {updates} optimizer "
            f"step{'s' * (updates > 1)} of {self.rollouts_per_step() // self.trainer.minibatches} rollouts each"
        )

    def conflicts(self) -> Conflicts:
        return [
            *self.data.conflicts(),
            *self.model.conflicts("model"),
            *self.trainer.conflicts("trainer"),
            *(self.critic.conflicts("critic") if self.critic else ()),
            *self._batch_conflicts(),
            *self._reward_conflicts(),
            *self._algorithm_conflicts(),
        ]

    def _batch_conflicts(self) -> Conflicts:
        found: Conflicts = []
        prompts, minibatches = self.trainer.prompts_per_step, self.trainer.minibatches
        if prompts % minibatches:
            found.append(
                (
                    "trainer.minibatches",
                    f"does not divide trainer.prompts_per_step = {prompts}; choose one of {_divisors(prompts)}",
                )
            )
        if self.critic is not None and self.critic.minibatches > prompts:
            found.append(
                (
                    "critic.minibatches",
                    f"is more than trainer.prompts_per_step = {prompts}; a group is never cut, so lower it",
                )
            )
        longest = self.data.max_prompt_tokens + self.rollout.max_new_tokens
        for section, settings in (("trainer", self.trainer), ("critic", self.critic)):
            if settings is not None and settings.tokens_per_pack < longest:
                found.append(
                    (
                        f"{section}.tokens_per_pack",
                        f"cannot hold one rollout of data.max_prompt_tokens + rollout.max_new_tokens = {longest} "
                        f"tokens; set it to at least {longest}",
                    )
                )
        return found

    def _reward_conflicts(self) -> Conflicts:
        found: Conflicts = []
        names, weights = self.rewards.verifier_function, len(self.rewards.verifier_weight)
        if len(names) != weights:
            found.append(("rewards.verifier_weight", f"has {weights} values for {len(names)} verifiers; give one each"))
        found += named_twice("rewards.verifier_function", names)
        for number, source in enumerate(self.data.sources):
            found += named_twice(f"data.sources.{number}.verifiers", source.verifiers)
        named = {*names, *(name for source in self.data.sources for name in source.verifiers)}
        for name in ("reward_model", "process_reward"):
            used, described = name in named, getattr(self.rewards, name) is not None
            if used and not described:
                found.append(("rewards.verifier_function", f"names {name}; say which model as rewards.{name}.path"))
            if described and not used:
                found.append((f"rewards.{name}.path", f"is not used; add {name} to rewards.verifier_function"))
        process = self.rewards.process_reward
        if process is not None and bool(process.good_token) != bool(process.bad_token):
            found.append(("rewards.process_reward.good_token", "needs a bad_token to be compared with, and vice versa"))
        overlong, longest = self.rewards.overlong_tokens, self.rollout.max_new_tokens
        if overlong and self.rewards.truncated != "penalise":
            found.append(("rewards.overlong_tokens", "only works with rewards.truncated: penalise; set that or 0"))
        if overlong >= longest:
            found.append(("rewards.overlong_tokens", f"must be less than rollout.max_new_tokens = {longest}; lower it"))
        filter_by = self.algorithm.filter_by
        if filter_by not in ("reward", *names):
            found.append(("algorithm.filter_by", f"is not 'reward' or one of {list(names)}; choose one of them"))
        for number, source in enumerate(self.data.sources):
            if source.verifiers and filter_by not in ("reward", *source.verifiers):
                found.append(
                    (
                        "algorithm.filter_by",
                        f"is not among data.sources.{number}.verifiers; add it there (its "
                        f"weight may be 0), or set reward",
                    )
                )
        return found

    def _algorithm_conflicts(self) -> Conflicts:
        found: Conflicts = []
        settings = self.algorithm
        if self.evaluation is not None and self.evaluation.ema and self.trainer.ema is None:
            found.append(("evaluation.ema", "there is no average; set trainer.ema, for example 0.99"))
        if settings.kl_target is not None and not settings.kl:
            found.append(("algorithm.kl_target", "needs a coefficient to start from; set algorithm.kl above 0"))
        if settings.kl_in == "loss" and settings.kl_estimator == "k1" and settings.kl:
            found.append(
                (
                    "algorithm.kl_estimator",
                    "k1 in the loss has an expected gradient of zero and penalises nothing; choose k2 or k3, or set "
                    "algorithm.kl_in: reward",
                )
            )
        filters = [name for name, off in _FILTERS.items() if getattr(self.rollout, name) != off]
        if settings.correction.level != "none" and filters:
            found.append(
                (
                    "algorithm.correction.level",
                    f"needs the probabilities that were sampled from, which rollout.{filters[0]} changes; switch the "
                    f"filter off, or set none",
                )
            )
        if settings.kl_in == "reward" and settings.kl is None:
            found.append(("algorithm.kl_in", "needs a coefficient; set algorithm.kl"))
        if settings.correction.low > settings.correction.high:
            found.append(
                (
                    "algorithm.correction.low",
                    f"is above algorithm.correction.high = {settings.correction.high:g}; swap them",
                )
            )
        return found


class NewModel(Section):
    """A model made from scratch."""

    architecture: dict[str, int | float | str | bool]
    """A transformers config, `model_type` among it; the vocabulary's size comes from the tokenizer."""
    vocabulary: int = Field(ge=257)
    """Tokens of the byte-pair tokenizer trained on the corpus, before `tokens`."""
    tokens: tuple[str, ...] = ()
    """Texts that are one token each."""
    dtype: DtypeName = "auto"


class Corpus(Section):
    path: FilledLocation
    """`r1zero:TASK` that yields documents, or a .jsonl file with a `text` column."""
    options: dict[str, int | float | str | bool] = Field(default={})
    max_document_tokens: int = Field(ge=2)
    """Longer documents are dropped, counted and reported."""


class PretrainRecipe(Section):
    """Next-token pretraining from scratch: `r1zero pretrain`."""

    run: Run
    model: NewModel
    data: Corpus
    trainer: PretrainTrainer
    logging: Logging = Logging()

    def conflicts(self) -> Conflicts:
        found = self.trainer.conflicts("trainer")
        if self.trainer.tokens_per_pack < self.data.max_document_tokens:
            longest = self.data.max_document_tokens
            found.append(("trainer.tokens_per_pack", f"cannot hold one document of {longest} tokens; raise it"))
        return found


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
