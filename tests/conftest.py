"""Small models and small recipes. Nothing here leaves the machine, and nothing depends on what a test ran before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tokenizers import AddedToken

from r1zero.base import device
from r1zero.models import dropout
from r1zero.models.load import check_forward
from r1zero.types import Problem, Prompt, Sample

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    device.select("cpu", "fp32", threads=1)


def small_config(kind: str, **changes: Any) -> Any:
    """The transformers config of a model with 2 layers and a vocabulary of 97."""
    from transformers import AutoConfig

    sizes = {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        **changes,
    }
    return AutoConfig.for_model(kind, **sizes)


def small_model(
    kind: str = "qwen2",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    spread: float = 3.0,
    longest: int = 0,
    **changes: Any,
) -> Any:
    """A random transformers model with 2 layers and a vocabulary of 97, attending by our plans, for sequences of up to
    `longest` tokens.

    `spread` scales the initial weights, which are so small that every model looks alike.
    """
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    config = small_config(kind, **changes)
    dropout.switch_off(config, kind)
    model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(spread)
    check_forward(model, kind, longest=longest)
    return model


def save_tokenizer(folder: Path) -> None:
    """A tokenizer of as many words as `small_model` has."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({f"w{number}": number for number in range(97)}, unk_token="w0")
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), unk_token="w0").save_pretrained(folder)


@pytest.fixture
def model() -> Any:
    return small_model()


def prompt_of(ids: list[int], answer: str = "0") -> Prompt:
    problem = Problem(id=f"test:{ids}", question=str(ids), answer=answer, source="test")
    return Prompt(problem=problem, token_ids=np.array(ids, dtype=np.int32))


def random_prompts(lengths: list[int], seed: int = 0) -> list[Prompt]:
    rng = np.random.default_rng(seed)
    return [prompt_of(rng.integers(3, 97, length).tolist()) for length in lengths]


def random_samples(shape: list[tuple[int, list[int]]], seed: int = 0, masked: bool = False) -> list[Sample]:
    """Samples from (prompt length, response lengths) pairs."""
    rng = np.random.default_rng(seed)
    samples = []
    for prompt_length, lengths in shape:
        prompt_ids = rng.integers(3, 97, prompt_length).astype(np.int32)
        for length in lengths:
            samples.append(
                Sample(
                    prompt_ids=prompt_ids,
                    response_ids=rng.integers(3, 97, length).astype(np.int32),
                    mask=rng.random(length) < 0.7 if masked else np.ones(length, dtype=bool),
                    advantages=np.full(length, rng.normal(), dtype=np.float32),
                    behaviour_logprobs=rng.normal(-4, 1, length).astype(np.float32),
                )
            )
    return samples


class ByteTokenizer:
    """The few things r1zero asks of a transformers tokenizer, on bytes."""

    bos_token = None
    eos_token = "\x02"
    eos_token_id = 2
    pad_token = unk_token = chat_template = None
    all_special_tokens = ("\x02",)
    added_tokens_decoder: ClassVar[dict[int, AddedToken]] = {2: AddedToken("\x02", special=True)}

    def get_vocab(self) -> dict[str, int]:
        """As many as `small_model` has."""
        return {chr(number): number for number in range(97)}

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}

    def decode(self, ids: Any, skip_special_tokens: bool = False, clean_up_tokenization_spaces: bool = False) -> str:
        kept = [int(token) for token in ids if not (skip_special_tokens and token == self.eos_token_id)]
        return bytes(kept).decode(errors="replace")
