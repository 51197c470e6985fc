"""The table of all recipe keys, from the schema itself: `python -m r1zero.config.reference > docs/recipe-keys.md`."""

from __future__ import annotations

import json
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r1zero.config.prepare import PrepareRecipe
from r1zero.config.schema import PretrainRecipe, Recipe

_HEAD = """\
# Recipe keys

Made from the schema by `python -m r1zero.config.reference`; a test keeps it true. A key without a default must be
given. Any key can be set on the command line as `section.key=value`.
"""
_HEADER = "| key | type | default | meaning |\n|---|---|---|---|"


def reference() -> str:
    parts = [_HEAD, "## `r1zero train`, `demo`, `evaluate`\n", *_sections(Recipe)]
    parts += ["## `r1zero pretrain`\n", *_sections(PretrainRecipe)]
    parts += ["## `r1zero prepare`\n", _HEADER, "\n".join(_rows(PrepareRecipe, ""))]
    return "\n".join(parts).rstrip() + "\n"


def _sections(recipe: type[BaseModel]) -> list[str]:
    parts = []
    for name, field in recipe.model_fields.items():
        section = _model(field.annotation)
        assert section is not None
        optional = "" if field.is_required() else " (may be left out)"
        parts.append(f"### `{name}`{optional}\n\n{_HEADER}")
        parts.append("\n".join(_rows(section, "")) + "\n")
    return parts


def _rows(section: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in section.model_fields.items():
        inner = (
            field.annotation if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) else None
        )
        if inner is not None:
            rows += _rows(inner, f"{prefix}{name}.")
            continue
        default = "" if field.is_required() else f"`{json.dumps(field.default)}`"
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        rows.append(f"| `{prefix}{name}` | {_type(field)} | {default} | {meaning} |")
    return rows


def _model(annotation: Any) -> type[BaseModel] | None:
    options = (annotation, *get_args(annotation))
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    for noise in ("typing.", "r1zero.config.schema."):
        text = text.replace(noise, "")
    if text.startswith("Literal["):
        return " \\| ".join(f"`{choice}`" for choice in get_args(annotation))
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
