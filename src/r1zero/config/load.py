"""YAML recipes: composition by `defaults`, `a.b=c` overrides, and errors that name file, line, key and value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from r1zero.base.errors import UsageError, suggest
from r1zero.config import overrides as overrides_
from r1zero.config.curation import CurateRecipe
from r1zero.config.prepare import PrepareRecipe
from r1zero.config.pretrain import PretrainRecipe
from r1zero.config.rl import Recipe
from r1zero.config.synonyms import SYNONYMS
from r1zero.config.tree import Key, Origins, Tree, dotted, merge, parse, unusable
from r1zero.config.tuning import TuningRecipe

R = TypeVar("R", Recipe, TuningRecipe, PretrainRecipe, CurateRecipe, PrepareRecipe)

_SHOWN = 500  # characters of a value in an error
_PACKAGE = Path(__file__).parent.parent
RECIPES = next(folder for folder in (_PACKAGE / "recipes", _PACKAGE.parent.parent / "recipes") if folder.is_dir())


def load(schema: type[R], path: str | Path, overrides: Sequence[str] = ()) -> R:
    """Read a recipe file, apply overrides, and check everything. Raises UsageError with all mistakes found."""
    tree, origins = _compose(find_recipe(path), ())
    for override in overrides:
        overrides_.apply(override, schema, tree, origins)
    if strange := [_line(origins, *found) for found in unusable(tree)]:
        raise UsageError("\n".join(strange))
    try:
        recipe = schema.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        entries = [dict(entry) for entry in error.errors()]
        lines = [_explain(schema, entry, origins, str(path)) for entry in entries if not _follows(entry, entries)]
        raise UsageError("\n".join(lines)) from None
    if conflicts := recipe.conflicts():
        lines = [_line(origins, overrides_.key_of(name), _value(recipe, name), why) for name, why in conflicts]
        raise UsageError("\n".join(lines))
    return recipe


def load_training(path: str | Path, overrides: Sequence[str] = ()) -> Recipe | TuningRecipe:
    """A recipe of `r1zero train`: one with an `objective` section trains on rows, any other by reinforcement learning.
    Raises UsageError as `load`."""
    tree, _ = _compose(find_recipe(path), ())
    sections = {*tree, *(override.split(".")[0] for override in overrides)}
    return load(TuningRecipe, path, overrides) if "objective" in sections else load(Recipe, path, overrides)


def dump(recipe: BaseModel) -> str:
    """The resolved recipe as YAML that `load` accepts."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def find_recipe(path: str | Path) -> Path:
    """A recipe's file: the path as given, or the name of one that comes with r1zero."""
    given = Path(path)
    if given.is_dir() and (given / "config.yaml").exists():
        return given / "config.yaml"
    for candidate in (given, RECIPES / f"{given}.yaml", RECIPES / given, RECIPES / given.name):
        if candidate.is_file():
            return candidate
    names = [str(file.relative_to(RECIPES).with_suffix("")) for file in RECIPES.rglob("*.yaml")]
    word = given.stem if given.is_absolute() else str(given.with_suffix(""))
    raise UsageError(f"recipe '{path}': no such file{suggest(word, names)}")


def _compose(path: Path, seen: tuple[Path, ...]) -> tuple[Tree, Origins]:
    if path in seen:
        chain = " -> ".join(str(file) for file in (*seen, path))
        raise UsageError(f"{path}: defaults go round in a circle: {chain}")
    tree, origins = _read(path)
    defaults = tree.pop("defaults", [])
    if not isinstance(defaults, list):
        raise UsageError(f"{path}: defaults = {defaults!r}: must be a list of recipe names")
    base: Tree = {}
    base_origins: Origins = {}
    for name in defaults:
        beside = path.parent / f"{name}.yaml"
        part, part_origins = _compose(beside if beside.is_file() else find_recipe(str(name)), (*seen, path))
        merge(base, base_origins, part, part_origins)
    merge(base, base_origins, tree, origins)
    return base, base_origins


def _read(path: Path) -> tuple[Tree, Origins]:
    try:
        tree, origins = parse(path.read_text(encoding="utf-8"), (), lambda line: f"{path}:{line}")
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML: {error}") from None
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: a recipe is a mapping of sections, found {type(tree).__name__}")
    return tree, origins


def _explain(schema: type[BaseModel], entry: dict[str, Any], origins: Origins, recipe: str) -> str:
    key, section = _place(schema, entry["loc"])
    if entry["type"] == "missing":
        in_list = any(isinstance(name, int) for name in key)
        return f"{_origin(origins, key, recipe) if in_list else recipe}: {dotted(key)}: missing; add it"
    if entry["type"] == "union_tag_invalid":
        tag, known = entry["ctx"]["tag"], entry["ctx"]["expected_tags"].replace("'", "").split(", ")
        return _line(origins, (*key, "step"), tag, f"unknown step{suggest(tag, known)}")
    if entry["type"] == "union_tag_not_found":
        return f"{_origin(origins, key, recipe)}: {dotted(key)}.step: missing; add it"
    if entry["type"] == "extra_forbidden":
        known = list(section.model_fields) if section else []
        theirs = SYNONYMS.get(str(key[-1]))
        hint = f"; here it is '{theirs}'" if theirs in known else suggest(str(key[-1]), known)
        return _line(origins, key, entry["input"], f"unknown key{hint}")
    if entry["type"] == "string_type" and isinstance(entry["input"], int | float):
        return _line(origins, key, entry["input"], "must be text; put it in quotes")
    if entry["type"] == "string_too_short":
        return _line(origins, key, entry["input"], "must not be empty")
    return _line(origins, key, entry["input"], entry["msg"][0].lower() + entry["msg"][1:])


def _line(origins: Origins, key: Key, value: object, why: str) -> str:
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
    return f"{_origin(origins, key, 'default')}: {dotted(key)} = {shown}: {why}"


def _origin(origins: Origins, key: Key, otherwise: str) -> str:
    return next((origins[key[:size]] for size in range(len(key), 0, -1) if key[:size] in origins), otherwise)


def _follows(entry: dict[str, Any], entries: list[dict[str, Any]]) -> bool:
    """Whether an error only says that a list is too short, because an entry of it has an error of its own."""
    place = entry["loc"]
    return entry["type"] == "too_short" and any(
        other["loc"][: len(place)] == place and len(other["loc"]) > len(place) for other in entries
    )


def _place(schema: type[BaseModel], location: Key) -> tuple[Key, type[BaseModel] | None]:
    """Where pydantic's location is in the file, and the class that holds its last key. Of entries that may be one of
    several classes pydantic also names the class, which no file does."""
    key: list[str | int] = []
    holder: type[BaseModel] | None = schema
    options: list[Any] = [schema]
    for name in location:
        classes = [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
        tagged = [option for option in classes if get_args(option.model_fields.get("step", _ANY).annotation) == (name,)]
        if tagged and len(classes) > 1:
            options = tagged
            continue
        key.append(name)
        holder = classes[0] if classes else None
        if isinstance(name, int) or holder is None or name not in holder.model_fields:
            continue
        options = _options(holder.model_fields[name].annotation)
    return tuple(key), holder


_ANY = FieldInfo(annotation=object)


def _options(annotation: Any) -> list[Any]:
    """The classes that a value may have: through `X | None`, tuples and `Annotated`."""
    inner = [argument for argument in get_args(annotation) if argument not in (None, type(None), Ellipsis)]
    return [option for argument in inner for option in _options(argument)] if inner else [annotation]


def _value(recipe: BaseModel, written: str) -> object:
    value: object = recipe
    for name in overrides_.key_of(written):
        value = value[name] if isinstance(name, int) else getattr(value, name)  # pyright: ignore[reportIndexIssue]
    return value
