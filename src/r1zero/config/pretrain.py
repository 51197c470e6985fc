"""The keys of `r1zero pretrain`."""

from __future__ import annotations

from pydantic import Field

from r1zero.base.device import DtypeName
from r1zero.config.optimization import PretrainTrainer
from r1zero.config.run import Logging, Run
from r1zero.config.section import Conflicts, FilledLocation, Section


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
