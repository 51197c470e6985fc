"""What every section of a recipe is: a frozen value that refuses unknown keys, wrong types, and numbers without end."""

import os
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Conflicts: TypeAlias = list[tuple[str, str]]  # (key, what is wrong and how to mend it)

Filled: TypeAlias = Annotated[str, Field(min_length=1)]
# `~` is the user's home, as in a shell
Location: TypeAlias = Annotated[str, AfterValidator(os.path.expanduser)]
FilledLocation: TypeAlias = Annotated[Filled, AfterValidator(os.path.expanduser)]


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
