"""Does every damaged or hostile zip end as verdicts or a clear status, in bounded time and memory?

    .venv/bin/python -m benchmarks.safety.mutated_zips

Packs drawn faces into zips of ten kinds: stored and deflated, with the large records of zip64, with
a comment, with names of Windows, of macOS and in other scripts, and more. Each is damaged in one of
eleven ways: bits flipped, cut short, fields of the records overwritten, pieces moved, and so on.
Zips that were made to harm are added, such as a list of a million members. The packaged detector
scans each of them in another process, as `fauxlab scan ZIP` does.

At last `fauxlab scan` gets the folder of them all, with a sound zip as the last.

Writes benchmarks/results/mutated_zips.json: statuses by damage, crashes, hangs, memory, and
tracebacks.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import io
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.output import command_line, describe_machine, print_results, save_results
from benchmarks.safety.damages import DAMAGES
from benchmarks.safety.zips import HOSTILE, PACKINGS, draw_pictures, stored

SLOW = 5.0  # seconds of the process's own time
HANGS = 120  # seconds until a process is ended
MOST_MEMORY = 2**30  # bytes
SOUND = "zzz-sound.zip"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1100)
    parser.add_argument("--child", type=Path, nargs="+", help="scan these zips, and nothing else")
    options = parser.parse_args()
    if options.child:
        scan_in_this_process(options.child)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_zips(folder, options.n)
        zips = sorted(folder.glob("*.zip"))
        outcomes = scan_in_others(zips)
        result = summarise(outcomes) | {"folder": scan_folder(folder)}
    result |= {"command": command_line(), "environment": describe_machine()}
    save_results("mutated_zips.json", result)
    print_results(result)


def write_zips(folder: Path, count: int) -> None:
    """The damaged zips, the hostile ones and a sound one; a name begins with what was done."""
    rng = np.random.default_rng(0)
    pictures = draw_pictures()
    for number in range(count):
        pack = PACKINGS[number % len(PACKINGS)]
        damage = DAMAGES[number // len(PACKINGS) % len(DAMAGES)]
        data = damage(bytearray(pack(pictures)), rng)
        path = folder / f"{damage.__name__}-{pack.__name__}-{number:03}.zip"
        path.write_bytes(data)
    for hostile in HOSTILE:
        (folder / f"{hostile.__name__}.zip").write_bytes(hostile(pictures))
    (folder / SOUND).write_bytes(stored(pictures))


# --- scanning


def scan_in_this_process(zips: list[Path]) -> None:
    """Scan zips one by one. A line of JSON on stdout says what became of each."""
    from fauxlab.scan.paths import expand_paths
    from fauxlab.scan.scanner import Scanner

    scanner = Scanner.from_pretrained(crop="none")
    for path in zips:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        start = time.process_time()
        statuses: Counter[str] = Counter()
        traceback = ""
        try:
            for verdict in scanner.scan(expand_paths([str(path)])):
                statuses[verdict.status] += 1
                clear = verdict.message and len(verdict.message) < 1000
                assert verdict.status != "error" or clear, verdict
        except Exception as error:
            traceback = repr(error)
        outcome = {
            "name": path.name,
            "statuses": statuses or {"no picture": 1},
            "seconds": time.process_time() - start,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "traceback": traceback,
        }
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(outcome), flush=True)


def scan_in_others(zips: list[Path]) -> list[dict[str, Any]]:
    """What became of each zip. A process that crashes or hangs is followed by another."""
    outcomes: list[dict[str, Any]] = []
    while len(outcomes) < len(zips):
        waiting = zips[len(outcomes) :]
        # Memory is measured as a process's largest, so the largest zips have one each.
        is_hostile = waiting[0].stem in {hostile.__name__ for hostile in HOSTILE}
        part = waiting[:1] if is_hostile else waiting[:30]
        command = [sys.executable, "-m", "benchmarks.safety.mutated_zips", "--child"]
        done = subprocess.run([*command, *part], capture_output=True, text=True, check=False)
        outcomes.extend(map(json.loads, done.stdout.splitlines()))
        if done.returncode:
            failed = zips[len(outcomes)].name
            outcomes.append({"name": failed, "crash": done.stderr[-500:]})
    return outcomes


def scan_folder(folder: Path) -> dict[str, Any]:
    """`fauxlab scan` on all zips at once: its exit code, and what became of the sound zip."""
    for hostile in HOSTILE:
        (folder / f"{hostile.__name__}.zip").unlink()
    command = [sys.executable, "-m", "fauxlab", "scan", str(folder), "--crop", "none", "--csv"]
    done = subprocess.run(command, capture_output=True, check=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode())))
    sound = Counter(row["status"] for row in rows if SOUND in row["path"])
    return {
        "exit_code": done.returncode,
        "rows": len(rows),
        "sound_zip": dict(sound),
        "tracebacks": done.stderr.count(b"Traceback"),
        "control_characters": len(re.findall(rb"[\x00-\x09\x0b-\x1f]", done.stdout + done.stderr)),
    }


def summarise(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    by_damage: Counter[str] = Counter()
    finished = [outcome for outcome in outcomes if "crash" not in outcome]
    for outcome in finished:
        damage = re.split(r"[-.]", outcome["name"])[0]
        for status, count in outcome["statuses"].items():
            by_damage[f"{damage}: {status}"] += count
    slowest = max(finished, key=lambda outcome: outcome["seconds"])
    largest = max(finished, key=lambda outcome: outcome["memory"])
    return {
        "n": len(outcomes),
        "statuses": dict(sorted(by_damage.items())),
        "crashes": [outcome for outcome in outcomes if "crash" in outcome],
        "tracebacks": [outcome for outcome in finished if outcome["traceback"]],
        "above_5_seconds": [o["name"] for o in finished if o["seconds"] > SLOW],
        "above_1_gb": [o["name"] for o in finished if o["memory"] > MOST_MEMORY],
        "slowest": {"name": slowest["name"], "seconds": slowest["seconds"]},
        "largest": {"name": largest["name"], "mb": largest["memory"] / 2**20},
    }


if __name__ == "__main__":
    main()
