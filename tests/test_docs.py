"""The pages are true: every command runs as it stands there, every recipe loads, every file and target is there.

Commands run on small data under the names they use, and the miniature stands for a model that would be downloaded.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1zero.config import PrepareRecipe, Recipe, load
from r1zero.models.fetch import TINY

from .conftest import small_model
from .recipes import r1zero

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *ROOT.glob("CONTRIBUTING.md")]
FENCED = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
MORE = {  # what a recipe of a page is given beside its own settings, so that it takes seconds
    "r1_zero_smollm2_gsm8k": ("run.steps=1", "rollout.max_new_tokens=16"),
    "lora_smollm2_gsm8k": ("run.steps=1", "rollout.max_new_tokens=16"),
    "sft_smollm2_gsm8k": ("run.evaluate_every=0",),
    "demo_tiny": (
        *("run.steps=1", "run.evaluate_every=0", "evaluation.limit=8"),
        *("trainer.prompts_per_step=4", "algorithm.group_size=4"),
    ),
}
ELSEWHERE = {  # commands that need what is not here, and what that is
    "serve-rewards": "does not end: tests/grading/test_remote.py starts it",
    "rewards.remote=": "needs that server",
    "curate curate_math": "reads MATH and four evaluation sets: tests/curate",
    "recipes/mine.yaml": "is a recipe of the reader's own",
    "train algorithms/ppo": "is one of several algorithms: tests/rl/test_algorithms.py trains by each",
    "train sft_smollm2_gsm8k": "downloads GSM8K",
}
PLACEHOLDERS = {
    "RUN_FOLDER": "runs/demo",
    "RECIPE": "demo_tiny",
    "FILE": "answers.jsonl",
    "FOLDER": "my-model",
    "RUN": "runs/ema",
}


def commands() -> list[tuple[str, str]]:
    """(page, command) of every `r1zero ...` in a block or a line, without comments."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = [
            line for kind, block in FENCED.findall(text) if kind in ("", "bash", "sh") for line in block.splitlines()
        ]
        lines = blocks + re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
        for line in lines:
            command = re.sub(r"^(?:\w+=\S+\s+)*", "", line.partition(" #")[0].strip())
            if re.match(r"r1zero [a-z-]+ \S", command) and "..." not in command and "[" not in command:
                found.append((page.name, command))
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with what the pages name: data, a run, models."""
    folder = tmp_path_factory.mktemp("docs")
    questions = [
        {"question": f"What is {n} plus {n}?", "answer": f"{n} + {n} = {2 * n}\n#### {2 * n}"} for n in range(24)
    ]
    problems = [{"problem": f"What is {n} times {n}?", "answer": str(n * n)} for n in range(24)]
    for name, rows in {
        "gsm8k_train": questions[:20],
        "gsm8k_test": questions[20:],
        "dataset/deepscaler": problems,
    }.items():
        path = folder / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "dataset/deepscaler.json").write_text(json.dumps(problems))
    (folder / "answers.jsonl").write_text(json.dumps({"gold": "4", "answer": "4", "expected": True}) + "\n")
    _model(folder / "home" / "models" / "smollm2-135m")
    _model(folder / "model_from_hf" / "qwen25-7b")
    (block,) = (
        block for kind, block in FENCED.findall((ROOT / "docs/data.md").read_text()) if "tokenizer_name" in block
    )
    (folder / "deepscaler.yaml").write_text(block)
    return folder


def _model(folder: Path) -> None:
    """A small random model with a long context, and the miniature's tokenizer with a chat template."""
    small_model("llama", vocab_size=266, max_position_embeddings=4096).save_pretrained(folder)
    for file in TINY.glob("tokenizer*"):
        shutil.copy(file, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"} if "qwen" in folder.name else {}
    settings["chat_template"] = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("R1ZERO_HOME", str(place / "home"))
    shutil.rmtree("my-model", ignore_errors=True)
    if not Path("runs/demo").exists():
        for name, settings in {"demo": (), "demo-tiny": (), "ema": ("trainer.ema=0.9",)}.items():
            r1zero("train", "demo_tiny", f"run.dir=runs/{name}", *MORE["demo_tiny"], *settings)
        data = ("data.path=gsm8k_train.jsonl", "run.dir=runs/mine")
        r1zero("train", "lora_smollm2_gsm8k", *data, *MORE["lora_smollm2_gsm8k"])
        Path("runs/mine/checkpoints/step_000001").rename("runs/mine/checkpoints/step_000100")
    return place


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_runs(here: Path, page: str, command: str) -> None:
    """Literally, but for placeholders and the size."""
    if reason := next((why for part, why in ELSEWHERE.items() if part in command and "data.path" not in command), ""):
        pytest.skip(reason)
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)[1:]]
    more = next((settings for name, settings in MORE.items() if name in words[1:2]), ())
    r1zero(*words, *(more if words[0] in ("train", "evaluate") else ()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_targets_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"(?:python |`)((?:benchmarks|tests|recipes|src)/[\w./-]+)", text):
        assert (ROOT / path).exists(), path
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    spoken = re.findall(r"`([^`\n]+)`", FENCED.sub("", text))
    spoken += [line for _, block in FENCED.findall(text) for line in block.splitlines()]
    named = {found[1] for line in spoken if (found := re.match(r"make ([a-z][\w-]*)", line))}
    assert named <= set(targets)


def test_the_recipes_of_the_pages_load(tmp_path: Path) -> None:
    """Whole ones as they are, parts over a recipe that comes with r1zero."""
    loaded = 0
    for page in PAGES:
        for kind, block in FENCED.findall(page.read_text(encoding="utf-8")):
            tree: Any = yaml.safe_load(block) if kind == "yaml" else None
            if not isinstance(tree, dict):
                continue
            path = tmp_path / "recipe.yaml"
            if "handler_name" in tree:
                path.write_text(block)
                load(PrepareRecipe, path)
            else:
                whole = {"run", "algorithm", "rollout"} <= set(tree)
                sources = "sources" in tree.get("data", {})
                base = "" if whole else f"defaults: [{'mixed' if sources else 'demo_tiny'}]\n"
                (tmp_path / "mixed.yaml").write_text(MIXED)
                path.write_text(base + block)
                load(Recipe, path)
            loaded += 1
    assert loaded > 6


MIXED = """
run: {dir: runs/x, steps: 1}
model: {path: tiny}
data: {template: plain, max_prompt_tokens: 64}
algorithm: {name: grpo, group_size: 4}
rollout: {max_new_tokens: 8}
trainer: {prompts_per_step: 2, lr: 1.0e-6}
"""


def test_the_loop_in_the_readme_is_the_loop() -> None:
    file = (ROOT / "src" / "r1zero" / "rl" / "loop.py").read_text()
    start = "for step in session.steps():"
    loop = start + file.split(f"    {start}")[1].replace("\n    ", "\n")
    shown = start + (ROOT / "README.md").read_text().split(f"```python\n{start}")[1].split("```")[0]
    assert ast.unparse(ast.parse(loop)) == ast.unparse(ast.parse(shown)), "put the loop into README.md as it is"
    assert file.count("\n") < 80
