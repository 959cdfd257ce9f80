"""Files of the Hugging Face hub: listed with the hashes that it states, fetched, continued, and
checked against them.

A file bears its name only once its SHA-256 is the stated one. Until then it grows beside it, under
a name that holds that hash, so that an interrupted transfer goes on where it stopped and two
versions never mix.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fauxlab.errors import LabError
from fauxlab.io.text import hash_file, printable

AGAIN = "run the same command again, it goes on where it stopped"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a data set at one revision; `part` is what the pattern that found it caught."""

    repo: str
    revision: str
    name: str
    part: str
    size: int
    sha256: str

    @property
    def base(self) -> str:
        """Its name without folders."""
        return self.name.rpartition("/")[2]


def data_page(repo: str) -> str:
    """Where people read about a data set."""
    return f"https://huggingface.co/datasets/{repo}"


def list_files(repo: str, pattern: str, parts: Sequence[str]) -> list[HubFile]:
    """The files of a data set's newest revision whose whole name fits, sorted by part, then name.

    The pattern's first group is a file's part. Raises LabError where the hub cannot be asked, or
    has no file of a part.
    """
    from huggingface_hub import HfApi

    with _plain_faults(repo, repo):
        info = HfApi().dataset_info(repo, files_metadata=True, timeout=30)
    files = []
    for sibling in info.siblings or []:
        match = re.fullmatch(pattern, sibling.rfilename)
        if not match or match[1] not in parts:
            continue
        if (
            sibling.lfs is None
            or info.sha is None
            or not re.fullmatch("[0-9a-f]{64}", sibling.lfs.sha256)
        ):
            raise LabError(
                f"the hub states no SHA-256 of {printable(sibling.rfilename)}, so it could not be checked; "
                f"see {data_page(repo)}"
            )
        files.append(
            HubFile(
                repo, info.sha, sibling.rfilename, match[1], sibling.lfs.size, sibling.lfs.sha256
            )
        )
    if missing := [part for part in parts if part not in {file.part for file in files}]:
        raise LabError(
            f"{repo} has no file of {', '.join(missing)} any more; see {data_page(repo)}"
        )
    return sorted(files, key=lambda file: (parts.index(file.part), file.name))


def obtain(file: HubFile, path: Path, *, ours: bool) -> None:
    """See to it that `path` is the hub's file: checked where it is there, else fetched, from where
    it stopped.

    Only the transfer of huggingface_hub is used: its downloads start anew after an interruption (as
    of version 2.4). Raises LabError where that fails, or where another file is there that is not
    `ours` to replace.
    """
    if path.exists():
        if hash_file(path) == file.sha256:
            return
        if not ours:
            raise LabError(
                f"{printable(path)} is not the file of the hub; move it away or choose another folder with --out"
            )
    part = _partial(path, file)
    have = _size(part)
    if have > file.size:
        part.unlink()
        have = 0
    if have < file.size:
        _transfer(file, part, have)
    if (found := hash_file(part)) != file.sha256:
        part.unlink()
        raise LabError(
            f"{file.name} came with SHA-256 {found[:12]}…, the hub states {file.sha256[:12]}…; what came was deleted, "
            "run the same command again"
        )
    os.replace(part, path)


def count_present(file: HubFile, path: Path) -> int:
    """Bytes of the file that are on the disk already."""
    return min(max(_size(path), _size(_partial(path, file))), file.size)


def _partial(path: Path, file: HubFile) -> Path:
    return path.with_name(f".{path.name}.{file.sha256[:16]}.part")


def _transfer(file: HubFile, part: Path, have: int) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with _plain_faults(file.repo, file.name):
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("ab") as stream:
            http_get(
                hf_hub_url(file.repo, file.name, repo_type="dataset", revision=file.revision),
                stream,
                resume_size=have,
                # ranges are of the file's own bytes
                headers={**build_hf_headers(), "Accept-Encoding": "identity"},
                expected_size=file.size,
                displayed_filename=file.base,
            )


@contextmanager
def _plain_faults(repo: str, what: str) -> Iterator[None]:
    """Whatever goes wrong on the way to the hub becomes one line; the hub's own remarks are kept
    back meanwhile.
    """
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    # huggingface_hub has changed the HTTP library below it, and with it what is raised
    except Exception as error:
        raise LabError(_explain(error, repo, what)) from error
    finally:
        logger.setLevel(level)


def _explain(error: Exception, repo: str, what: str) -> str:
    from huggingface_hub import constants

    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"{what} is closed to you ({status}): it wants a login or its terms accepted, or is gone; see "
            f"{data_page(repo)}, log in with `hf auth login`, and run the same command again"
        )
    if status == 404:
        return f"{what} is not on the hub (404); see {data_page(repo)} for what became of it"
    if status is not None:
        return f"the hub answered {status} for {what}; try later: {AGAIN}"
    # What HTTP libraries raise can be an OSError too; the disk's come from Python itself.
    local = type(error).__module__ == "builtins" and not isinstance(
        error, ConnectionError | TimeoutError
    )
    if isinstance(error, OSError) and error.errno and local:
        return f"cannot write {what}: {error.strerror}; make room or choose another folder, then {AGAIN}"
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"cannot get {what} from {constants.ENDPOINT}: {reason:.200}; check the connection, then {AGAIN}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
