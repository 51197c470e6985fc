"""What every section of a recipe is: a frozen value that refuses unknown keys and wrong types."""

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

Conflicts: TypeAlias = list[tuple[str, str]]  # (key, what is wrong and how to mend it)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)
