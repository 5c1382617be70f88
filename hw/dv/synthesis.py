#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Synthesises the core with Yosys in every configuration and prints its size and its longest path.

    hw/dv/synthesis.py [--modules] [--check PAGE]

Cells are Yosys's generic gates after `synth`, flip-flops included, each counted once whatever its
width would be in a library. A path is counted in gates between registers, ports being registers
too; it says which logic is deepest, not what clock a part would reach. `--modules` adds a table by
module for every configuration. `--check` compares what would be printed with the page that quotes
it, if the page was made with the same Yosys, and fails if they differ. Latches and combinational
loops always fail. Takes about two minutes; exit status 77 without Yosys.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import tempfile

HW = pathlib.Path(__file__).resolve().parents[1]
CONFIGURATIONS = [
    ("with F and `pm4adda.b`", {"Float": 1, "Dot": 1}),
    ("with `pm4adda.b`", {"Float": 0, "Dot": 1}),
    ("with F", {"Float": 1, "Dot": 0}),
    ("with neither", {"Float": 0, "Dot": 0}),
    ("with F, `pm4adda.b` and `esp.lwdota.b`", {"Float": 1, "Dot": 1, "LoadDot": 1}),
    ("with `pm4adda.b` and `esp.lwdota.b`", {"Float": 0, "Dot": 1, "LoadDot": 1}),
]
SKIPPED = 77

Module = collections.namedtuple("Module", "name cells flops gates")
Core = collections.namedtuple("Core", "modules cells flops path")


def sources():
    """The core's files in the order of the build: all of the list up to the core itself."""
    files = re.findall(r"rtl/\w+\.sv", (HW / "CMakeLists.txt").read_text())
    return files[:files.index("rtl/esp_core.sv") + 1]


def yosys(script, work):
    path = work / "script.ys"
    path.write_text("\n".join(script) + "\n")
    done = subprocess.run(["yosys", "-q", "-s", str(path)], cwd=HW, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit("yosys failed:\n" + done.stderr[-4000:])
    return done.stdout + done.stderr


def module_name(name):
    """Parameters make names such as $paramod$0123abcd\\esp_csr."""
    return re.search(r"esp_\w+", name).group(0)


def statistics(text):
    """Of every module of `stat`: its name and a dictionary from kind of cell to number."""
    for name, body in re.findall(r"=== ([^\n]+) ===\n(.*?)(?==== |\Z)", text, re.DOTALL):
        if name != "design hierarchy":
            yield name, {kind: int(n) for kind, n in re.findall(r"(\$_\w+)\s+(\d+)", body)}


def count(cells):
    """Cells and flip-flops of one module, instances of other modules left out."""
    latches = sum(n for kind, n in cells.items() if "LATCH" in kind)
    if latches:
        sys.exit(f"{latches} latches")
    return sum(cells.values()), sum(n for kind, n in cells.items() if "DFF" in kind)


def instance(name):
    """The instance that a cell or net of the flattened core belongs to: u_fpu.u_fma."""
    return ".".join(re.findall(r"\bu_\w+", name)) or "esp_core"


def path_of(text):
    """The longest path of a flattened core, as a list of (instance, gates) in its order."""
    steps = [instance(line.split("(via")[1]) for line in text.splitlines() if "(via" in line]
    path = []
    for step in steps:
        if path and path[-1][0] == step:
            path[-1][1] += 1
        else:
            path.append([step, 1])
    return path


def synthesise(parameters):
    with tempfile.TemporaryDirectory(prefix="espalier-synthesis-") as name:
        work = pathlib.Path(name)
        settings = " ".join(f"-set {key} 1'b{value}" for key, value in parameters.items())
        said = yosys([
            "read_verilog -sv " + " ".join(sources()),
            f"chparam {settings} esp_core",
            "synth -top esp_core",
            f"tee -q -o {work}/modules.txt stat",
            f"tee -q -o {work}/depths.txt ltp -noff w:* t:$_*",
            "flatten",
            "opt_clean",
            f"tee -q -o {work}/core.txt stat",
            f"tee -q -o {work}/path.txt ltp -noff",
        ], work)
        if "loop" in said:
            sys.exit("combinational loop:\n" + said)
        depths = dict(re.findall(r"Longest topological path in (\S+) \(length=(-?\d+)\)",
                                 (work / "depths.txt").read_text()))
        modules = [Module(module_name(name), *count(cells), int(depths[name]))
                   for name, cells in statistics((work / "modules.txt").read_text())]
        [(_, cells)] = statistics((work / "core.txt").read_text())
        path = path_of((work / "path.txt").read_text())
    return Core(sorted(modules, key=lambda m: -m.cells), *count(cells), path)


def tables(cores, by_module):
    lines = ["| core | cells | flip-flops | longest path | gates |", "|---|---|---|---|---|"]
    for (name, _), core in zip(CONFIGURATIONS, cores):
        # A step of a gate or two between larger ones says nothing.
        route = [place for place, gates in core.path if gates > 2]
        lines.append(f"| {name} | {core.cells:,} | {core.flops:,} | `{'`, `'.join(route)}` | "
                     f"{sum(gates for _, gates in core.path)} |")
    for (name, _), core in zip(CONFIGURATIONS if by_module else CONFIGURATIONS[:1], cores):
        lines += ["", f"| module, {name} | cells | flip-flops | longest path inside, gates |",
                  "|---|---|---|---|"]
        lines += [f"| `{m.name}` | {m.cells:,} | {m.flops:,} | {m.gates} |" for m in core.modules]
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", action="store_true", help="modules of every configuration")
    parser.add_argument("--check", metavar="PAGE", help="page that quotes the tables")
    arguments = parser.parse_args()
    try:
        version = subprocess.run(["yosys", "-V"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        print("skipped: yosys is not installed (Debian's package yosys)")
        return SKIPPED
    version = "Yosys " + version.split()[1]
    cores = [synthesise(parameters) for _, parameters in CONFIGURATIONS]
    lines = tables(cores, arguments.modules)
    print(version + "\n")
    print("\n".join(lines))
    if arguments.check is None:
        return 0
    page = pathlib.Path(arguments.check).read_text()
    if version not in page:
        print(f"\n{arguments.check} was made with another Yosys; not compared")
        return 0
    missing = [line for line in lines if line not in page.splitlines()]
    for line in missing:
        print(f"\n{arguments.check} does not have: {line}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
