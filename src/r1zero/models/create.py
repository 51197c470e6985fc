"""Models from scratch: a byte-pair tokenizer trained on a corpus, and random weights in a transformers architecture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from r1zero.base.errors import UsageError
from r1zero.config import NewModel

END = "<|endoftext|>"


def new_tokenizer(corpus: Iterable[str], settings: NewModel) -> Any:
    """A byte-level BPE tokenizer that can spell any text. Digits stay single, so that numbers look alike everywhere."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in settings.tokens])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END)


def new_model(settings: NewModel, tokenizer: Any, *, dtype: torch.dtype, device: torch.device) -> Any:
    """A causal LM with random weights from torch's generator, attending by our plans."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from r1zero.models import dropout
    from r1zero.models.load import check_forward

    architecture = dict(settings.architecture)
    kind = str(architecture.pop("model_type", ""))
    if not kind:
        raise UsageError("model.architecture: model_type is missing; add it, for example qwen2")
    end = tokenizer.eos_token_id
    try:
        config = AutoConfig.for_model(
            kind, vocab_size=len(tokenizer), eos_token_id=end, bos_token_id=end, pad_token_id=end, **architecture
        )
    except ValueError as error:
        raise UsageError(f"model.architecture.model_type = '{kind}': {str(error).splitlines()[0][:200]}") from None
    dropout.switch_off(config, "model.architecture")
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).to(device)
    check_forward(model, kind)
    return model
