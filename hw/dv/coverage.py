#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures what the random programs in lockstep make happen in the core.

    hw/dv/coverage.py [--work DIR] [--programs N]

Builds the models with Verilator's --coverage and the cover points of esp_cover.sv, runs
espalier-lockstep with memories that are ready at once, at random and late, at once and at random
with esp.lwdota.b, too, and prints lines and toggles reached by module and the cover points, those that nothing reached by name. Fails when a
cover point is missed that HOLES does not explain, or one is reached that it calls unreachable.
Takes a few minutes, most of them for the models.
"""
import argparse
import collections
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HW = pathlib.Path(__file__).resolve().parents[1]
RUNS = [[], ["--random-wait", "1"], ["--flash-wait", "3", "--sram-wait", "1"],
        ["--load-dot"], ["--load-dot", "--random-wait", "1"]]

# Cover points that random programs cannot reach, and why.
HOLES = {
    "TrapInFirstOfHandler": "handlers of random programs begin with an instruction that cannot trap; "
                            "tests/hw/simulator_test.cpp has traps inside traps",
}

POINT = re.compile(r"C '(.*)' (\d+)$")


def points_of(text):
    """Kind, module, place or name, and count of each point."""
    for line in text.splitlines():
        match = POINT.match(line)
        if match is None:
            continue
        fields = dict(field.split("\2", 1) for field in match[1].split("\1") if "\2" in field)
        kind, _, module = fields["page"].partition("/")
        yield kind, module.split("__")[0], fields, int(match[2])


def measure(work, programs):
    build, data = work / "build", work / "data"
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir(parents=True)
    subprocess.run(["cmake", "-S", str(HW), "-B", str(build), "-G", "Ninja",
                    "-DESPALIER_HW_COVERAGE=ON"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", str(build), "-j2", "--target", "espalier-lockstep"],
                   check=True, stdout=subprocess.DEVNULL)
    environment = dict(os.environ, ESPALIER_HW_COVERAGE=str(data))
    for number, run in enumerate(RUNS):
        subprocess.run([str(build / "espalier-lockstep"), "--programs", str(programs),
                        "--seed", str(1 + number * programs), *run], check=True, env=environment)
    merged = work / "merged.dat"
    subprocess.run(["verilator_coverage", "--write", str(merged), *map(str, sorted(data.iterdir()))],
                   check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(data)
    return merged.read_text(errors="replace")


def share(counts):
    reached = sum(count > 0 for count in counts)
    return f"{reached:,} of {len(counts):,} | {100 * reached / max(1, len(counts)):.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", help="folder for the build; default: a temporary one")
    parser.add_argument("--programs", type=int, default=20, help="in each of the runs")
    arguments = parser.parse_args()
    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix="espalier-coverage-"))
    text = measure(work, arguments.programs)
    if arguments.work is None:
        shutil.rmtree(work)
    modules = collections.defaultdict(lambda: {"v_line": [], "v_branch": [], "v_toggle": []})
    covers = collections.Counter()
    for kind, module, fields, count in points_of(text):
        if kind == "v_user":
            covers[fields["o"]] += count
        elif module != "esp_cover" and kind in modules[module]:
            modules[module][kind].append(count)
    print("| module | lines and branches | | toggles | |\n|---|---|---|---|---|")
    everything = {"code": [], "toggles": []}
    for module, kinds in sorted(modules.items()):
        code, toggles = kinds["v_line"] + kinds["v_branch"], kinds["v_toggle"]
        everything["code"] += code
        everything["toggles"] += toggles
        print(f"| `{module}` | {share(code)} | {share(toggles)} |")
    print(f"| together | {share(everything['code'])} | {share(everything['toggles'])} |")
    missed = sorted(name for name, count in covers.items() if count == 0)
    print(f"\ncover points: {len(covers) - len(missed)} of {len(covers)}")
    for name in missed:
        print(f"missed: {name}: {HOLES.get(name, 'NOT EXPLAINED')}")
    wrong = [name for name in HOLES if name not in missed]
    for name in wrong:
        print(f"reached, or not there any more: {name}")
    return 1 if wrong or any(name not in HOLES for name in missed) else 0


if __name__ == "__main__":
    sys.exit(main())
