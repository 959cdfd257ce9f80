"""What the recipes' tables have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def split_names(value: object) -> object:
    """`a,b` on the command line stands for the list ["a", "b"]."""
    if not isinstance(value, str):
        return value
    names = []
    for part in value.split(","):
        name = part.strip()
        if name:
            names.append(name)
    return names


# The most that a recipe may ask for. More is a slip, and would fill the memory or never end.
MOST_BATCH = 2**16
MOST_EPOCHS = 10**6
MOST_IMAGES = 10**12  # shown in a training
MOST_MEASURED = 10**7  # images of which features are kept

# Names of run folders: no paths, and no characters that a terminal acts on.
RUN_NAME = r"^\w[\w.\- ]{0,99}$"
RunName = Annotated[str, Field(pattern=RUN_NAME)]
Names = Annotated[list[str], BeforeValidator(split_names)]


class Table(BaseModel):
    """Base of the recipe's tables: no unknown keys, no silent conversion between types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
