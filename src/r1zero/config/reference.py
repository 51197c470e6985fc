"""The table of all recipe keys, from the schema itself: `python -m r1zero.config.reference > docs/recipe-keys.md`."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from r1zero.config.curation import CurateRecipe
from r1zero.config.prepare import PrepareRecipe
from r1zero.config.pretrain import PretrainRecipe
from r1zero.config.rl import Recipe
from r1zero.config.tuning import TuningRecipe

_HEADER = "| key | type | default | meaning |\n|---|---|---|---|"
_HEAD = """\
# Recipe keys

Every key of every kind of recipe, with its type, default and meaning. Made from the schema by
`python -m r1zero.config.reference`; a test keeps it true. A key without a default must be given. Any key can be set on
the command line as `section.key=value`, in a list with the number of the entry: `data.sources.0.weight=2`. Where a key
holds text, the value is taken as written; elsewhere it is YAML.
"""


def reference() -> str:
    parts = [_HEAD, "## `r1zero train`, `demo`, `evaluate`\n", *_sections(Recipe)]
    parts += ["## `r1zero train` with an `objective`\n", *_sections(TuningRecipe)]
    parts += ["## `r1zero pretrain`\n", *_sections(PretrainRecipe)]
    parts += ["## `r1zero curate`\n", *_sections(CurateRecipe)]
    parts += ["## `r1zero prepare`\n", _table(PrepareRecipe)]
    return "\n".join(parts).rstrip() + "\n"


def _sections(recipe: type[BaseModel]) -> list[str]:
    parts = []
    for name, field in recipe.model_fields.items():
        models = _models(field.annotation)
        if len(models) > 1:
            parts.append(f"### `{name}`\n\nA list; `step` says which of these an entry is.\n")
            parts += [f"#### `step: {_tag(model)}`\n\n" + _table(model) for model in models]
            continue
        (section,) = models
        optional = "" if field.is_required() else " (may be left out)"
        listed = "[]" if get_origin(field.annotation) is tuple else ""
        parts.append(f"### `{name}{listed}`{optional}\n\n" + _table(section))
    return parts


def _rows(section: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in section.model_fields.items():
        entries = _models(field.annotation)
        if entries and get_origin(field.annotation) is not tuple:
            rows += _rows(entries[0], f"{prefix}{name}.")
            continue
        if entries:
            rows.append(f"| `{prefix}{name}` | list | {_default(field)} | {_meaning(field)} |")
            rows += _rows(entries[0], f"{prefix}{name}[].")
            continue
        if name == "step":
            continue
        rows.append(f"| `{prefix}{name}` | {_type(field)} | {_default(field)} | {_meaning(field)} |")
    return rows


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Classes in an annotation: of a section, an optional one, a list of them, or a list of one of several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _tag(model: type[BaseModel]) -> str:
    return get_args(model.model_fields["step"].annotation)[0]


def _table(section: type[BaseModel]) -> str:
    rows = _rows(section, "")
    return "\n".join([_HEADER, *rows] if rows else ["No further keys."]) + "\n"


def _default(field: FieldInfo) -> str:
    return "" if field.is_required() else f"`{json.dumps(field.default)}`"


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").split()).replace("|", "\\|")


def _type(field: FieldInfo) -> str:
    annotation = _without_bounds(field.annotation)
    text = annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    for noise in ("typing.", "r1zero.config.data.", "r1zero.config.rewards.", "r1zero.config.model."):
        text = text.replace(noise, "")
    if text.startswith("Literal["):
        return " \\| ".join(f"`{choice}`" for choice in get_args(annotation))
    return text.replace("|", "\\|")


def _without_bounds(annotation: Any) -> Any:
    """The type of a list whose entries have bounds, which the table does not show."""
    if get_origin(annotation) is Annotated:
        return get_args(annotation)[0]
    if get_origin(annotation) is tuple:
        return tuple[tuple(map(_without_bounds, get_args(annotation)))]
    return annotation


if __name__ == "__main__":
    print(reference(), end="")
