"""What results call a model: its name and version, beside the hash that says which it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fauxlab.bundle.config import LONGEST_NAME
from fauxlab.io.text import printable

if TYPE_CHECKING:
    from fauxlab.bundle.config import DetectorConfig

# Names with this beginning are those of the models that come with the package. The config of a
# folder may claim one, and is not believed.
RESERVED = "fauxlab"


def name_model(config: DetectorConfig, model: str | Path | None = None) -> str:
    """The name of a model, which was opened by its name or by its folder, `model`.

    It is what the config says, else the last part of the folder's path. The rest of the path is
    nobody's business who reads the results. Of a model without a folder it is what the config says,
    else its architecture.
    """
    own_name = config.name
    fallback = config.architecture
    if model is not None:
        is_reserved = own_name.casefold().startswith(RESERVED)
        if is_reserved:
            own_name = ""
        # Not resolved: a link's own name is what the user gave.
        path = Path(os.path.abspath(model))
        fallback = path.name or fallback
    return printable((own_name or fallback)[:LONGEST_NAME])


def describe_model(name: str, version: str | None, model_hash: str) -> str:
    """Name, version and hash in a line, as "fauxlab 2.0, ccc813a3a9cb6f70"."""
    words = f"{name} {version}" if version else name
    return f"{words}, {model_hash}" if model_hash else words
