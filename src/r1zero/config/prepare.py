"""The keys of `r1zero prepare`: those of MindSpeed-RL's dataset YAML, so that its files run as they are.

Keys of theirs that have no meaning here are accepted and named in the log; what cannot be done is refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from r1zero.config.section import Conflicts, FilledLocation, Location, Section

_NO_EFFECT = (  # theirs, without effect here
    "tokenizer_type",
    "tokenizer_not_use_fast",
    "cache_dir",
    "overwrite_cache",
    "log_interval",
    "n_subs",
    "streaming",
    "dataset_impl",
    "make_vocab_size_divisible_by",
    "pad_vocab_size_to",
    "seed",
    "script_data_dir",
    "keep_newlines",
    "vocab_file",
    "merge_file",
)


class PrepareRecipe(Section):
    """Raw files to tokenised training data: `r1zero prepare`."""

    input: str
    """A file (.jsonl .json .csv .parquet .arrow .txt), a folder of them, a Hugging Face dataset id, `modelscope:ID`;
    or several, separated by commas. With merge_group_keys, a folder of .bin and .idx files."""
    output_prefix: FilledLocation
    """Beginning of every output's path: `{prefix}_packed_{field}_document.bin` and so on."""
    handler_name: str = ""
    """What a row is for; docs/data.md lists the handlers."""
    tokenizer_name_or_path: Location = ""
    """A folder, a Hugging Face id, or a name `r1zero model list` shows."""
    prompt_type: str = "empty"
    """Chat format by name; docs/data.md lists them."""
    prompt_type_path: Location = ""
    """A templates.json with further chat formats."""
    map_keys: dict[str, Any] | None = None
    """Where a row's parts are: {prompt, query, response, history, system, chosen, rejected} of Alpaca rows, {messages,
    system, tools, tags} of ShareGPT rows -> column; "" switches one off."""
    dataset_additional_keys: tuple[str, ...] = ()
    """Columns that RL prompts carry as tokens; `labels` is the reference answer."""
    json_keys: tuple[str, ...] = ("text",)
    """Columns of pretraining text; each becomes a field."""
    seq_length: int | None = Field(default=None, ge=2)
    """Rows with a field of so many tokens or more are dropped, counted and listed; with pack, the length of a pack."""
    pack: bool = False
    """Fill packs of exactly seq_length tokens with several rows."""
    neat_pack: bool = False
    """With pack: attention_mask numbers the rows of a pack from 1, padding is 0."""
    enable_thinking: bool | None = None
    """For formats with thoughts. true: answers without a thought learn an empty one; false: thoughts are cut out."""
    append_eod: bool = False
    """Put the end token after every text."""
    placeholder_token: str = "ки"
    """Process reward: the token that is followed by a label."""
    reward_tokens: tuple[str, ...] = ()
    """Process reward: the labels there are; none accepts any."""
    merge_group_keys: tuple[str, ...] | None = None
    """Instead of preparing, concatenate the datasets in the input folder whose names contain each key."""
    split: str = "train"
    """Split of a Hugging Face dataset or a folder; a single file is read whole."""
    subset: str = ""
    """Configuration of a Hugging Face dataset, or of a local copy of one, that has several."""
    output_format: Literal["megatron", "parquet", "arrow"] = "megatron"
    """Megatron indexed datasets, one per field; or one table with a column per field."""
    workers: int = Field(default=0, ge=0, le=4096)
    """Processes that tokenise; 0 is one per usable core. The output does not depend on it."""
    max_bad_fraction: float = Field(default=0.05, ge=0, le=1)
    """More bad rows than this share stop the run, and nothing is written."""
    max_samples: int = Field(default=0, ge=0)
    """Read the first so many rows; 0 reads all."""
    overwrite: bool = False
    """Replace an output of other settings or inputs."""
    trust_remote_code: bool = False
    """Run Python code that comes with the tokenizer. Only for ones you trust."""
    tokenizer_type: str | None = None
    """No effect, as for all further keys: MindSpeed's."""
    tokenizer_not_use_fast: bool | None = None
    cache_dir: str | None = None
    overwrite_cache: bool | None = None
    log_interval: int | None = None
    n_subs: int | None = None
    streaming: bool | None = None
    dataset_impl: str | None = None
    make_vocab_size_divisible_by: int | None = None
    pad_vocab_size_to: int | None = None
    seed: int | None = None
    script_data_dir: str | None = None
    keep_newlines: bool | None = None
    vocab_file: str | None = None
    merge_file: str | None = None
    split_sentences: bool = False
    interleave_probs: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _dashes(cls, tree: Any) -> Any:
        """MindSpeed writes keys with dashes or underscores. Lists become the tuples that strict checks want."""
        if not isinstance(tree, dict):
            return tree
        return {
            str(key).replace("-", "_"): tuple(value) if isinstance(value, list) else value
            for key, value in tree.items()
        }

    def inputs(self) -> list[str]:
        return [part.strip() for part in self.input.split(",") if part.strip()]

    def without_effect(self) -> list[str]:
        """Keys that were given and have no effect."""
        return [name for name in _NO_EFFECT if getattr(self, name) is not None]

    def conflicts(self) -> Conflicts:
        found: Conflicts = []
        if not self.inputs():
            found.append(("input", "names no file; give one"))
        if self.merge_group_keys is None and not self.handler_name:
            found.append(("handler_name", "missing; name the handler that says what a row is for (docs/data.md)"))
        if self.merge_group_keys is None and not self.tokenizer_name_or_path:
            found.append(("tokenizer_name_or_path", "missing; give a folder, a Hugging Face id or smollm2-135m"))
        if self.pack and self.seq_length is None:
            found.append(("pack", "needs a length of packs; set seq_length"))
        if self.neat_pack and not self.pack:
            found.append(("neat_pack", "numbers the rows of a pack; set pack=true too"))
        if (
            self.pack
            and "InstructionHandler" in self.handler_name
            and self.handler_name.startswith(("R1", "PPO", "Math"))
        ):
            found.append(("pack", "prompts for RL cannot be packed; leave it out"))
        if self.pack and ("Pretrain" in self.handler_name or "Pairwise" in self.handler_name):
            found.append(("pack", f"{self.handler_name} is not packed here; leave it out"))
        if self.split_sentences:
            found.append(("split_sentences", "splitting into sentences is not done here; leave it out"))
        if self.interleave_probs:
            found.append(("interleave_probs", "sources are mixed when training, not here; leave it out"))
        return found
