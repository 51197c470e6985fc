"""`import r1zero`: the page's examples run, and nothing is public that is not on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import r1zero
from r1zero.models.fetch import TINY

from .recipes import r1zero as command

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_examples_run(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    script = tmp_path / "notebook.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rewards, accuracy, texts, scores, error = done.stdout.strip().splitlines()
    assert len(json.loads(rewards)) == 2 and 0 <= float(accuracy) <= 1
    assert scores == "[(1.0, 'graded'), (0.0, 'graded')]" or scores == "[(1.0, 'graded'), (0.0, 'timeout')]"
    assert texts.startswith("[[") and "did you mean 'lr'" in error


def test_what_is_public_is_on_the_page() -> None:
    named = re.findall(r"\*\*`(\w+)`\*\*", PAGE.read_text())
    assert sorted(named) == sorted(r1zero.__all__) == sorted(set(dir(r1zero)) - {"__version__"})
    assert all(getattr(r1zero, name) is not None for name in named) and len(named) == 12
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        _ = r1zero.tune  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_it_is_cheap() -> None:
    code = "import sys, r1zero; sys.exit(any(name in sys.modules for name in ('torch', 'pydantic', 'r1zero.api')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_greedy_texts_are_those_of_transformers() -> None:
    model = r1zero.load_model("tiny", device="cpu", dtype="fp32")
    theirs = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    prompts = ["What is 12 + 30?", "What is 7 + 5?"]
    texts = model.generate(prompts, temperature=0, max_new_tokens=30)
    for prompt, (text,) in zip(prompts, texts, strict=True):
        ids = torch.tensor([model.tokenizer(prompt)["input_ids"]])
        found = theirs.generate(ids, do_sample=False, max_new_tokens=30)[0, ids.shape[1] :]
        assert text == model.tokenizer.decode(found, skip_special_tokens=True, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize(("arguments", "said"), [
    ({"prompts": "text"}, r"needs a list of prompts, not one text; write \[prompt\]"),
    ({"prompts": ["a"], "max_new_tokens": 0}, "max_new_tokens = 0: Input should be greater than or equal to 1"),
    ({"prompts": ["a"], "temperature": -1.0}, "temperature = -1.0: Input should be greater"),
    ({"prompts": ["a"], "n": 0}, "n = 0: must be at least 1"),
    ({"prompts": ["a", ""]}, "prompt 1 has no token; give it a text"),
])  # fmt: skip
def test_what_is_wrong_is_said(arguments: dict[str, object], said: str) -> None:
    model = r1zero.load_model("tiny", device="cpu", dtype="fp32")
    with pytest.raises(r1zero.UsageError, match=said):
        model.generate(**arguments)  # pyright: ignore[reportArgumentType]


def test_lists_of_unequal_length_are_refused() -> None:
    with pytest.raises(r1zero.UsageError, match="a list of responses and one of as many answers"):
        r1zero.grade(["a"], ["1", "2"])
    with pytest.raises(r1zero.UsageError, match="a list of responses"):
        r1zero.grade("a", ["1"])


def test_train_goes_on_where_it_was(tmp_path: Path) -> None:
    """The function and the command write the same folder."""
    changes = [f"run.dir={tmp_path}/run", "run.steps=1", "evaluation=null", "logging.tensorboard=false"]
    r1zero.train(r1zero.load_recipe("demo_tiny", *changes))
    command("train", "demo_tiny", *changes, "run.steps=2", "--resume")
    assert [record["step"] for record in r1zero.read_metrics(tmp_path / "run")] == [1, 2]


def test_arguments_of_the_wrong_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(r1zero.UsageError, match="needs a recipe, not 'demo_tiny'; write train"):
        r1zero.train("demo_tiny")  # pyright: ignore[reportArgumentType]
    with pytest.raises(r1zero.UsageError, match="there is no such file; give a run's folder"):
        r1zero.read_metrics(tmp_path)
    with pytest.raises(r1zero.UsageError, match="gpu"):
        r1zero.load_model("tiny", device="gpu")
    with pytest.raises(r1zero.UsageError, match="unknown verifier; did you mean 'math'"):
        r1zero.grade(["a"], ["1"], "maths")
