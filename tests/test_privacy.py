"""Nothing of fauxlab looks up a host, and nothing is written but what a command is told to write.

Commands run one after the other in a process with an empty home, below a library that notes each
look-up and each connection, and lets none through. A new command is a line in LIGHT or HEAVY.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import fauxlab
from fauxlab.privacy import NO_REPORTS, OWN_FOLDERS

SHIM = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static int note(const char *name)
{
    FILE *file = fopen(getenv("LOOKUPS"), "a");
    if (file) { fprintf(file, "%s\n", name ? name : "-"); fclose(file); }
    return -1;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **result)
{ note(name); return EAI_FAIL; }
struct hostent *gethostbyname(const char *name) { note(name); return 0; }
struct hostent *gethostbyname2(const char *name, int family) { note(name); return 0; }
int gethostbyname_r(const char *name, struct hostent *entry, char *buffer, size_t length,
                    struct hostent **result, int *error)
{ note(name); *result = 0; *error = HOST_NOT_FOUND; return 0; }
int getaddrinfo_a(int mode, struct gaicb *list[], int count, struct sigevent *event)
{ note("getaddrinfo_a"); return EAI_FAIL; }
int res_query(const char *name, int class, int type, unsigned char *answer, int length)
{ return note(name); }
int res_search(const char *name, int class, int type, unsigned char *answer, int length)
{ return note(name); }

static int leaves(const struct sockaddr *address)
{
    if (address && address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24 != 127;
    if (address && address->sa_family == AF_INET6)
        return !IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
    return 0;
}
int connect(int socket, const struct sockaddr *address, socklen_t length)
{
    if (leaves(address)) { errno = ENETUNREACH; return note("connect"); }
    int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
    return real(socket, address, length);
}
ssize_t sendto(int socket, const void *data, size_t size, int flags,
               const struct sockaddr *address, socklen_t length)
{
    if (leaves(address)) { errno = ENETUNREACH; return note("sendto"); }
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t)
        = dlsym(RTLD_NEXT, "sendto");
    return real(socket, data, size, flags, address, length);
}
"""

# Runs steps, a line of JSON each: exit code, or the message of an exception.
RUNNER = """
import json, sys, time
from fauxlab import cli
for words in json.loads(sys.argv[1]):
    sys.argv = words
    code = 0
    try:
        if words[0] == "python":
            exec(words[1])
        else:
            cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    print("STEP", json.dumps([words[1], code]), file=sys.stderr, flush=True)
time.sleep({wait})
"""


@dataclass(frozen=True)
class Step:
    """A command, or `python` and a program, and the names that it may write in its folder."""

    words: tuple[str, ...]
    writes: tuple[str, ...] = ()
    needs: str = ""  # a package beyond the light install
    code: int = 0


def command(line: str, *writes: str, needs: str = "", code: int = 0) -> Step:
    return Step(("fauxlab", *line.split()), writes, needs, code)


def program(text: str, *writes: str, needs: str = "") -> Step:
    return Step(("python", text), writes, needs)


TINY = "--set data.size=32 --set train.epochs=1 --set train.batch=8"
NETWORK = "{widths=[8,8,8,8]}"
TINY_GAN = (
    f"--set model.generator={NETWORK} --set model.discriminator={NETWORK} --set model.latent=8 "
    "--set train.batch=8 --set train.images=64 --set evaluate.every=64 --set evaluate.n=16 "
    "--set guard.every=64 --set guard.n=64"
)
LIGHT = [
    command("data toyfaces toy --n 60 --size 32", "toy"),
    command("data index toy --out m.csv --split .4,.1,.3,.2", "m.csv"),
    command("data toyfaces few --n 4 --size 64", "few"),
    command("scan few --crop none"),
    command("scan few/wiki --json"),
    command("scan few/wiki --crop none --csv --html v.html --explain maps", "v.html", "maps"),
    command("recipes list"),
    command("models list"),
    command("models fetch fauxlab-large --from none.whl", code=1),
    command("scan few --crop none --model fauxlab-large", code=1),
    program(
        "import fauxlab as fl; from pathlib import Path\n"
        "fl.Scanner.from_pretrained('fauxlab', 'none')(next(Path('few').rglob('*.jpg')))"
    ),
    program("import fauxlab as fl; fl.index('toy').split(seed=0).save('api.csv')", "api.csv"),
]
HEAVY = [
    command("doctor", needs="torch"),
    command("data audit m.csv", needs="torch"),
    command(f"detector train m.csv --recipe unified-joint --name d {TINY}", "runs", needs="torch"),
    command("detector eval runs/d/best m.csv --split all --json", needs="torch"),
    command("detector eval fauxlab m.csv --json", needs="torch"),
    command(
        "detector calibrate runs/d/best m.csv --fpr .4 --alpha .45 --out cal --figure r.png",
        "cal",
        "r.png",
        needs="torch",
    ),
    command("export runs/d/best --out onnx", "onnx", needs="onnx"),
    command("export runs/d/best --out int8 --int8 m.csv", "int8", needs="onnx"),
    command("scan few --crop none --json --model onnx", needs="onnx"),
    command("scan few --crop none --json --model runs/d/best", needs="torch"),
    command("compare runs/d runs/d/best --manifest m.csv --json", needs="torch"),
    command(f"gan train m.csv --recipe r3-32 --name g {TINY_GAN}", needs="torch"),
    command("gan sample runs/g/best --n 4 --interpolate 8", "samples", needs="torch"),
    command(
        "gan sample runs/g/best --n 8 --as-dataset own --name own --beside m.csv",
        "own",
        needs="torch",
    ),
    command("gan eval runs/g/best m.csv --n 16 --json", needs="torch"),
    program(
        "import fauxlab as fl; fl.evaluate(fl.Detector.from_pretrained('runs/d/best'), "
        "fl.Manifest.load('m.csv').test)",
        needs="torch",
    ),
]

LONG = [
    command(
        f"reproduce m.csv --only detector --no-extended --out rep {TINY}", "rep", needs="torch"
    ),
]


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("noting look-ups needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    library = folder / "shim.so"
    command = [compiler, "-shared", "-fPIC", "-w", "-o", library, folder / "shim.c", "-ldl"]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def outside(tmp_path: Path) -> dict[str, Path]:
    """Empty folders: a home, one for temporary files, and one to work in."""
    folders = {name: tmp_path / name for name in ("home", "tmp", "work")}
    for folder in folders.values():
        folder.mkdir()
    return folders


def run(
    shim: Path, outside: dict[str, Path], code: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """A program in these folders, and the hosts that it asked for."""
    lookups = shim.with_name("lookups")
    lookups.unlink(missing_ok=True)
    # Nothing is passed on that would keep a library quiet, such as CI or XDG_CACHE_HOME.
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(fauxlab.__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
        "HOME": str(outside["home"]),
        "TMPDIR": str(outside["tmp"]),
        "LOOKUPS": str(lookups),
        "LD_PRELOAD": str(shim),
    }
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=outside["work"],
        capture_output=True,
        text=True,
        check=False,
    )
    hosts = lookups.read_text().split() if lookups.exists() else []
    return process, hosts


def run_steps(shim: Path, outside: dict[str, Path], steps: list[Step], wait: float) -> None:
    """Run steps, and assert that they asked nobody, and wrote what they may write."""
    present = [step for step in steps if not step.needs or find_spec(step.needs)]
    code = RUNNER.replace("{wait}", str(wait))
    process, hosts = run(shim, outside, code, json.dumps([step.words for step in present]))
    lines = [line[5:] for line in process.stderr.splitlines() if line.startswith("STEP ")]
    done = [json.loads(line) for line in lines]
    assert done == [[step.words[1], step.code] for step in present], process.stderr
    assert process.returncode == 0, process.stderr
    assert hosts == []
    assert os.listdir(outside["tmp"]) == []
    told = {name for step in present for name in step.writes}
    assert set(os.listdir(outside["work"])) == told


def assert_cache_alone(home: Path) -> None:
    """The home holds nothing but fauxlab's cache folder, if that."""
    assert os.listdir(home) in ([], [".cache"])
    if (home / ".cache").exists():
        assert os.listdir(home / ".cache") == ["fauxlab"]


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "call",
    [
        "socket.getaddrinfo('example.org', 80)",
        "socket.gethostbyname('example.org')",
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 53))",
    ],
)
def test_the_shim_sees_what_leaves(shim: Path, outside: dict[str, Path], call: str) -> None:
    _, hosts = run(shim, outside, f"import socket; {call}")
    assert hosts


def test_scanning_asks_nobody_and_writes_nothing(shim: Path, outside: dict[str, Path]) -> None:
    run_steps(shim, outside, LIGHT, wait=1)
    assert list_files(outside["home"]) == []


def test_a_laboratory_writes_into_its_runs_and_one_cache(
    shim: Path, outside: dict[str, Path]
) -> None:
    run_steps(shim, outside, [*LIGHT[:3], *HEAVY], wait=1)
    assert_cache_alone(outside["home"])


def test_the_tower_is_asked_for_by_its_command_alone(shim: Path, outside: dict[str, Path]) -> None:
    """pip looks up its index, in vain here; nothing of the attempt stays."""
    if find_spec("pip") is None:
        pytest.skip("needs pip")
    steps = [("fauxlab", "models", "fetch", "fauxlab-large")]
    process, hosts = run(shim, outside, RUNNER.replace("{wait}", "0"), json.dumps(steps))
    assert hosts
    assert 'STEP ["models", 1]' in process.stderr, process.stderr
    assert "pip could not download" in process.stderr
    assert os.listdir(outside["tmp"]) == []
    assert os.listdir(outside["work"]) == []
    assert [name for name in list_files(outside["home"]) if name.endswith(("onnx", "whl"))] == []


@pytest.mark.slow
def test_nor_does_a_thread_that_waits(shim: Path, outside: dict[str, Path]) -> None:
    """Reports of use are sent by threads, up to half a minute later."""
    run_steps(shim, outside, [*LIGHT, *HEAVY, *LONG], wait=40)
    assert_cache_alone(outside["home"])


def settings(code: str = "", **environment: str) -> dict[str, str]:
    """The environment that `import fauxlab` makes of this one."""
    program = f"{code}\nimport os, json, fauxlab; print(json.dumps(dict(os.environ)))"
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(Path(fauxlab.__file__).parents[1]), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    made: dict[str, str] = json.loads(run.stdout)
    return made


def test_libraries_are_told_before_they_are_imported(tmp_path: Path) -> None:
    made = settings(HOME=str(tmp_path))
    cache = tmp_path / ".cache" / "fauxlab"
    assert made.items() >= NO_REPORTS.items()
    for name, place in OWN_FOLDERS.items():
        assert made[name] == str(cache / place)
    assert "MATPLOTLIBRC" not in made
    assert list_files(tmp_path) == [], "importing makes no folder"


def test_what_the_user_has_set_stays(tmp_path: Path) -> None:
    style = tmp_path / ".config" / "matplotlib" / "matplotlibrc"
    style.parent.mkdir(parents=True)
    style.write_text("font.size: 12")
    own = {"MPLCONFIGDIR": "/own", "ORT_DISABLE_TELEMETRY": "0"}
    made = settings(HOME=str(tmp_path), FAUXLAB_CACHE="/elsewhere", **own)
    assert made.items() >= own.items()
    assert made["TRITON_CACHE_DIR"] == "/elsewhere/torch/triton"
    assert "MATPLOTLIBRC" not in made
    made = settings(HOME=str(tmp_path))
    assert made["MATPLOTLIBRC"] == str(style), "the cache lies elsewhere, the style is the user's"


def test_without_a_home_fauxlab_can_still_be_imported() -> None:
    code = "import os; os.path.expanduser = lambda path: path"
    made = settings(code)
    assert made["ORT_DISABLE_TELEMETRY"] == "1"
    assert "MPLCONFIGDIR" not in made
