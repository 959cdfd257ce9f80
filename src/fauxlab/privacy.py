"""What the libraries below fauxlab may send and where they may write, set before their import.

`import fauxlab` sets it, so it holds for the command line, for programs, and for every process that
loads a part of fauxlab. A library that a program imports before fauxlab has made its choice. What
the user has set stays.
"""

from __future__ import annotations

import os
from pathlib import Path

from fauxlab.errors import LabError

# Reports of use, which onnxruntime and the hub's library would send over the network.
NO_REPORTS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
# Files that libraries keep from one run to the next, as folders below `cache_folder()`.
OWN_FOLDERS = {
    "MPLCONFIGDIR": "matplotlib",  # the list of fonts
    "TORCHINDUCTOR_CACHE_DIR": "torch/inductor",  # made by torch's optimisers, even if empty
    "TRITON_CACHE_DIR": "torch/triton",
    "PYTORCH_KERNEL_CACHE_PATH": "torch/kernels",  # kernels that torch compiles on a GPU
}


def cache_folder() -> Path:
    """`$FAUXLAB_CACHE`, else `$XDG_CACHE_HOME/fauxlab`, else `~/.cache/fauxlab`.

    Raises LabError where neither is set and the user has no home.
    """
    own = os.environ.get("FAUXLAB_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    if shared:
        return Path(shared) / "fauxlab"
    home = os.path.expanduser("~")
    if not os.path.isabs(home):
        raise LabError("this user has no home folder; set FAUXLAB_CACHE to a folder for the cache")
    return Path(home, ".cache", "fauxlab")


def restrain_libraries() -> None:
    """Set NO_REPORTS, and let the libraries keep their files in fauxlab's cache folder."""
    for name, value in NO_REPORTS.items():
        os.environ.setdefault(name, value)
    try:
        folder = cache_folder().absolute()
    except (LabError, OSError):
        return
    if "MPLCONFIGDIR" not in os.environ:
        _keep_style()
    for name, place in OWN_FOLDERS.items():
        os.environ.setdefault(name, str(folder / place))


def _keep_style() -> None:
    """Let matplotlib find the user's own style, which it would look for in MPLCONFIGDIR."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    style = os.path.join(folder, "matplotlib", "matplotlibrc")
    if os.path.isfile(style):
        os.environ.setdefault("MATPLOTLIBRC", style)
