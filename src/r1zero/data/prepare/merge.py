"""Indexed datasets become one: MindSpeed's merge mode (`merge_group_keys`)."""

from __future__ import annotations

from pathlib import Path

from r1zero.base.errors import UsageError
from r1zero.config import PrepareRecipe
from r1zero.data.indexed import IndexedDataset, IndexedWriter


def merge(recipe: PrepareRecipe) -> dict[str, int]:
    """For each key, concatenate the datasets in the input folder whose names contain it, by name, as
    `{output_prefix}_{key}`. Returns the sequences of each. Raises UsageError."""
    folder = Path(recipe.input).expanduser()
    if not folder.is_dir():
        raise UsageError(
            f"input = '{recipe.input}': no such folder; merge_group_keys takes a folder of .bin and .idx files"
        )
    prefixes = sorted(file.with_name(file.name.removesuffix(".idx")) for file in folder.glob("*.idx"))
    output = Path(recipe.output_prefix).expanduser()
    output.parent.mkdir(parents=True, exist_ok=True)
    merged = {}
    for key in recipe.merge_group_keys or ():
        members = [prefix for prefix in prefixes if key in prefix.name]
        target = output.with_name(f"{output.name}_{key}")
        if not members:
            raise UsageError(f"merge_group_keys = '{key}': no dataset in {folder} has it in its name")
        if target.with_name(f"{target.name}.idx").exists() and not recipe.overwrite:
            raise UsageError(
                f"output_prefix = '{recipe.output_prefix}': {target.name}.idx is there already; set overwrite=true"
            )
        with IndexedWriter(target, IndexedDataset(members[0]).dtype) as writer:
            for member in members:
                writer.add_dataset(IndexedDataset(member))
            writer.finish()
            writer.publish()
            merged[key] = writer.sequences
    return merged
