"""The keys of a recipe. Every batch-like key says what it counts; a key exists only if two recipes differ on it.

Values are never written after construction; derived numbers are methods. Checks that need two keys are in `conflicts`,
which names keys and remedies, so that `load.py` can add the file and line.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from r1zero.device import DeviceKind, DtypeName

Conflicts: TypeAlias = list[tuple[str, str]]  # (key, what is wrong and how to mend it)

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


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Run(Section):
    dir: str
    """Run folder: everything the run leaves behind."""
    steps: int = Field(ge=0)
    """Training steps; an RL step is one batch of rollouts and its updates."""
    seed: int = Field(default=0, ge=0)
    save_every: int = Field(default=0, ge=0)
    """Steps between checkpoints; 0 saves only at the end (and on Ctrl-C)."""
    keep_checkpoints: int = Field(default=2, ge=1)
    evaluate_every: int = Field(default=0, ge=0)
    """Steps between evaluations; 0 evaluates only before the first and after the last step."""
    deterministic: bool = False
    """Same bits for the same seed, also across a kill and --resume; slower kernels on accelerators."""
    device: DeviceKind = "auto"
    threads: int = Field(default=0, ge=0)
    """CPU threads of this process; 0 is one per usable physical core."""


class Model(Section):
    path: str
    """A folder, a Hugging Face id, or a name `r1zero model list` shows."""
    dtype: DtypeName = "auto"
    """Compute dtype; auto measures. Master weights are always fp32."""
    gradient_checkpointing: bool = False
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for models you trust."""


class Columns(Section):
    question: str = "question"
    answer: str = "answer"


class Source(Section):
    path: str
    """A file (.jsonl .json .csv .parquet), `reasoning-gym:TASK`, `r1zero:TASK`, or a Hugging Face dataset id."""
    split: str = "train"
    """Split of a Hugging Face dataset, or of an `r1zero:` task."""
    subset: str = ""
    """Configuration of a Hugging Face dataset that has several."""
    columns: Columns = Columns()
    answer_after: str = ""
    """Keep only what follows the last occurrence of this marker in the answer column (GSM8K: '####')."""
    options: dict[str, int | float | str | bool] = {}
    """Arguments of a generated task."""
    limit: int = Field(default=0, ge=0)
    """Use the first so many problems; 0 uses all."""


class Example(Section):
    question: str
    answer: str


class Data(Source):
    template: str
    """Name in the templates file, or `chat` for the tokenizer's own chat template."""
    templates_file: str = ""
    """YAML file with further templates."""
    examples: tuple[Example, ...] = ()
    """Worked examples shown as earlier turns of the chat."""
    max_prompt_tokens: int = Field(ge=1)
    """Longer prompts are dropped, counted and reported."""
    shuffle: bool = True


class Evaluation(Source):
    samples: int = Field(default=4, ge=1)
    """Samples per problem; accuracy is their mean (pass@1)."""
    temperature: float = Field(default=1.0, gt=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    greedy: bool = True
    """Also answer every problem once at temperature 0."""


class RewardModel(Section):
    path: str
    """A sequence-classification model with one label (its logit is the reward) or two (the second's probability)."""
    max_tokens: int = Field(default=4096, ge=1)
    """Of a longer question and response the end is scored."""
    batch_size: int = Field(default=8, ge=1)
    """Responses of one forward pass; a deterministic run takes them one by one."""
    sigmoid: bool = False
    """Squash the logit to 0..1."""


class ProcessReward(Section):
    path: str
    """A token-classification model; with good_token a causal one."""
    max_tokens: int = Field(default=4096, ge=1)
    """A longer question and response is an error."""
    batch_size: int = Field(default=8, ge=1)
    step_separator: str = "\n\n"
    """What divides a response into steps."""
    step_mark: str = ""
    """What the model was trained to see after a step, if not the separator."""
    good_token: str = ""
    """Next token of a causal model that says a step is good."""
    bad_token: str = ""
    aggregate: Literal["min", "mean", "product", "last"] = "min"
    """How the steps' probabilities make the response's reward."""


class Judge(Section):
    model: str
    """Name at the endpoint; without one, a model to load here."""
    url: str = ""
    """OpenAI-compatible endpoint up to /v1; its key is the environment variable R1ZERO_JUDGE_KEY."""
    cache: str = ""
    """File that keeps judgements across runs."""
    max_new_tokens: int = Field(default=512, ge=1)
    kv_cache_gib: float = Field(default=1.0, gt=0)
    """Memory for a model loaded here."""


class Verifiers(Section):
    verifier_function: tuple[str, ...] = ("acc",)
    """Names of docs/rewards.md, with arguments if need be: `cosine(max_tokens=4096)`; `my_file.py:name` is one of
    your own."""
    verifier_weight: tuple[float, ...] = (1.0,)
    """The reward is the sum of weight x value."""


class Rewards(Verifiers):
    per_source: dict[str, Verifiers] = {}
    """Other verifiers for the problems of one source, by its path."""
    timeout_seconds: float = Field(default=5.0, gt=0)
    """Wall-clock limit of one verdict; the worker is killed and replaced."""
    cpu_seconds: float = Field(default=0.0, ge=0)
    """Processor time of one verdict; 0 is timeout_seconds. On a crowded machine: raise timeout_seconds, set this."""
    memory_mib: int = Field(default=1024, ge=256)
    """Address space of a worker process."""
    workers: int = Field(default=0, ge=0)
    """Worker processes; 0 is one per usable core, at most 8."""
    remote: str = ""
    """URL of `r1zero serve-rewards`, which runs the verifiers with limits of its own; empty runs them here."""
    reward_model: RewardModel | None = None
    """Scores for the verifier `reward_model`."""
    process_reward: ProcessReward | None = None
    """Scores for the verifier `process_reward`."""
    judge: Judge | None = None
    """Re-checks what the accuracy verifiers reject."""

    def of_source(self, source: str) -> Rewards:
        """The rewards of a source's problems."""
        own = self.per_source.get(source)
        if own is None:
            return self
        return self.model_copy(
            update={"verifier_function": own.verifier_function, "verifier_weight": own.verifier_weight}
        )

    def names(self) -> tuple[str, ...]:
        """Every verifier of every source, each once."""
        named = [*self.verifier_function, *(name for own in self.per_source.values() for name in own.verifier_function)]
        return tuple(dict.fromkeys(named))


class Algorithm(Section):
    name: str = "grpo"
    group_size: int = Field(ge=1)
    """Rollouts per prompt."""
    kl: float | None = Field(default=None, ge=0)
    """Coefficient of the KL loss against the frozen start weights; 0 only measures it; null loads no reference."""
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    clip_high: float = Field(default=0.2, ge=0)
    entropy: float = 0.0
    """Coefficient of the entropy bonus."""
    loss_mean: Literal["token", "sequence", "constant"] = "token"
    """What the loss is a mean over, always over the whole optimizer step: its tokens; its sequences, each the mean of
    its tokens; or its sequences, each the sum of its tokens over rollout.max_new_tokens (Dr. GRPO)."""


class Rollout(Section):
    engine: Literal["native"] = "native"
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    max_new_tokens: int = Field(ge=1)
    """Per rollout."""
    stop: tuple[str, ...] = ()
    """Stop strings beside the template's own; the text that matched stays in the response."""
    kv_cache_gib: float = Field(default=2.0, gt=0)
    """Memory for keys and values; what does not fit waits its turn."""


class Optimization(Section):
    tokens_per_pack: int = Field(default=4096, ge=2)
    """Tokens of one forward-backward pass, per device."""
    lr: float = Field(gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After warm-up: hold, or fall to min_lr_ratio at the last step."""
    warmup_steps: int = Field(default=0, ge=0)
    """Optimizer steps of linear warm-up."""
    min_lr_ratio: float = Field(default=0.0, ge=0, le=1)
    weight_decay: float = Field(default=0.0, ge=0)
    """On matrices only."""
    betas: tuple[float, float] = (0.9, 0.999)
    clip_grad: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient."""


class Trainer(Optimization):
    prompts_per_step: int = Field(ge=1)
    """Prompts per RL step, global; times algorithm.group_size is the number of rollouts."""
    minibatches: int = Field(default=1, ge=1)
    """Optimizer steps per pass over a step's rollouts."""
    epochs: int = Field(default=1, ge=1)
    """Passes over a step's rollouts."""


class PretrainTrainer(Optimization):
    samples_per_step: int = Field(ge=1)
    """Documents per optimizer step, global."""


class Logging(Section):
    tensorboard: bool = True


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
        found: Conflicts = []
        prompts, minibatches = self.trainer.prompts_per_step, self.trainer.minibatches
        if prompts % minibatches:
            found.append(
                (
                    "trainer.minibatches",
                    f"does not divide trainer.prompts_per_step = {prompts}; choose one of {_divisors(prompts)}",
                )
            )
        longest = self.data.max_prompt_tokens + self.rollout.max_new_tokens
        if self.trainer.tokens_per_pack < longest:
            found.append(
                (
                    "trainer.tokens_per_pack",
                    f"cannot hold one rollout of data.max_prompt_tokens + rollout.max_new_tokens = {longest} tokens; "
                    f"set it to at least {longest}",
                )
            )
        for name in ("reward_model", "process_reward"):
            used, described = name in self.rewards.verifier_function, getattr(self.rewards, name) is not None
            if used and not described:
                found.append(("rewards.verifier_function", f"names {name}; say which model as rewards.{name}.path"))
            if described and not used:
                found.append((f"rewards.{name}.path", f"is not used; add {name} to rewards.verifier_function"))
        process = self.rewards.process_reward
        if process is not None and bool(process.good_token) != bool(process.bad_token):
            found.append(("rewards.process_reward.good_token", "needs a bad_token to be compared with, and vice versa"))
        names, weights = len(self.rewards.verifier_function), len(self.rewards.verifier_weight)
        if names != weights:
            found.append(("rewards.verifier_weight", f"has {weights} values for {names} verifiers; give one each"))
        for source, own in self.rewards.per_source.items():
            names, weights = len(own.verifier_function), len(own.verifier_weight)
            if names != weights:
                found.append(
                    ("rewards.per_source", f"'{source}' has {weights} weights for {names} verifiers; give one each")
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
    path: str
    """`r1zero:TASK` that yields documents, or a .jsonl file with a `text` column."""
    options: dict[str, int | float | str | bool] = {}
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
        if self.trainer.tokens_per_pack < self.data.max_document_tokens:
            longest = self.data.max_document_tokens
            return [("trainer.tokens_per_pack", f"cannot hold one document of {longest} tokens; raise it")]
        return []


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]
