"""The rules of the layout: imports point downward, and some names have one home."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from .floors import LAYERS, PICTURE, SRC, picture

RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HOMES = {  # third party -> the only files that may import it
    "vllm": {"engine/vllm.py"},
    "ray": {"cluster.py"},
    "megatron": {"trainer/megatron.py"},
    "peft": {"models/adapters.py"},
    "bitsandbytes": {"models/quantize.py", "trainer/optimizer.py"},
    "datasketch": {"data/curation/duplicates.py"},
    "py3langid": {"data/curation/checks.py"},
    "plotly": {"report/page.py"},
    "typer": {"cli"},
    "starlette": {"grading/server.py"},
    "uvicorn": {"cli/serve_rewards.py"},
}
DEVICE_NAMES = re.compile(r"\b(cuda|npu|mps)\b")
FILES = sorted(SRC.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "r1zero":
            yield from (f"r1zero.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_point_downward(path: Path) -> None:
    file = path.relative_to(SRC)
    here = file.parts[0].removesuffix(".py")
    for name in _imports(path):
        top, _, rest = name.partition(".")
        assert {str(file), here} & HOMES.get(top, {here}), f"{file} may not import {top}"
        if top == "r1zero" and rest:
            there = rest.split(".")[0]
            assert there == here or RANK[there] < RANK[here], f"{file} imports {name}: wrong direction"


def test_no_file_imports_itself_in_a_circle() -> None:
    """Also not inside of functions."""
    modules = {".".join(("r1zero", *file.relative_to(SRC).with_suffix("").parts)): file for file in FILES}
    modules = {name.removesuffix(".__init__"): file for name, file in modules.items()}
    graph = {name: _modules(file, modules) - {name} for name, file in modules.items()}
    while leaves := [name for name, imported in graph.items() if not imported & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert not graph, f"circles among {sorted(graph)}"


def _modules(path: Path, known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in known else node.module)
    return found & set(known)


@pytest.mark.parametrize(("folder", "below"), [("read", ()), ("chat", ("read",)), ("curation", ())])
def test_folders_of_data_know_only_those_below(folder: str, below: tuple[str, ...]) -> None:
    allowed = tuple(f"r1zero.data.{name}" for name in (folder, *below))
    for path in (SRC / "data" / folder).glob("*.py"):
        found = [name for name in _imports(path) if name.startswith("r1zero.data")]
        assert all(name.startswith(allowed) for name in found), f"{path.name} imports {found}"


def test_only_device_py_names_devices() -> None:
    for path in FILES:
        if path.name == "device.py":
            continue
        code = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
        names |= {node.attr for node in ast.walk(code) if isinstance(node, ast.Attribute)}
        texts = [
            node.value for node in ast.walk(code) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        found = [name for name in names if DEVICE_NAMES.fullmatch(name)]
        found += [text for text in texts if DEVICE_NAMES.fullmatch(text)]
        assert not found, f"{path.relative_to(SRC)} names {found}: device names belong to device.py"


def test_grading_worker_needs_no_torch() -> None:
    """A worker is started for every killed one: it must not pay for torch."""
    import subprocess
    import sys

    code = "import sys, r1zero.grading.worker; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_the_picture_shows_the_floors() -> None:
    assert PICTURE.read_text(encoding="utf-8") == picture(), "run: python -m tests.floors"


def test_every_folder_is_on_a_floor() -> None:
    there = {path.stem for path in SRC.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert there <= RANK.keys(), f"put {sorted(there - RANK.keys())} on a floor in tests/floors.py"
