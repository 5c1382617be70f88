#!/usr/bin/env python3
"""Fits the cycles of a training step on the simulated core, for a target, and writes the model.

    tools/fit_cycles.py TARGET [--numerics LIST] [--models FOLDER] [--work FOLDER]

Compiles the published networks and the embedded default under a few plans, without rows, so that
every node is one call of a kernel; counts the cycles of every node on the core; and fits, for each form
of a kernel, cycles = a sum of non-negative coefficients times what a node has to do (AMOUNTS). Squares of
errors are divided by the cycles, so that large layers do not decide alone. Plans that are held out,
compiled as they are deployed, say how far off whole steps are. Measurements are kept in the work folder
and taken from there again. Writes profiles/cycles/TARGET.json.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
ESPALIER = ROOT / "build/release/espalier"
AMOUNTS = ("macs", "weight_macs", "inputs", "outputs", "masks", "weights", "merged", "calls")
NETWORKS = ("mcunet-5fps", "mbv2-w0.35", "proxyless-w0.3")
DEFAULT = "fmnist-mbv2"
# Plans by name: arguments of `plan make`, none for the published plan; and networks.
FITTED = {"full": (["--full"], (DEFAULT, "mcunet-5fps")),
          "published": (None, ("mbv2-w0.35", "proxyless-w0.3"))}
HELD_OUT = {"last 12": (["--last", "12"], (DEFAULT, "mbv2-w0.35", "mcunet-5fps"))}


def run(*command):
    subprocess.run([str(word) for word in command], check=True)


def device(work):
    """The core with room for every plan."""
    core = json.loads((ROOT / "profiles/devices/espalier-core.json").read_text())
    core.update(name="wide-core", sram_bytes=4 << 20, flash_bytes=4 << 20)
    core.pop("sram_regions", None)
    path = work / "wide-core.json"
    path.write_text(json.dumps(core))
    return path


def measure(work, model, network, name, arguments, target, numerics, rows):
    """Work and cycles of a step, node by node or, with `rows`, as it is deployed."""
    key = f"{network}-{name}-{target}-{numerics}{'-rows' if rows else ''}".replace(" ", "")
    plan, folder = work / f"{key}.plan.json", work / key
    compiled, checked = work / f"{key}.compile.json", work / f"{key}.check.json"
    common = ["--quiet", "--force"]
    if arguments is None:
        run(ESPALIER, "plan", "import", model, "--published", ROOT / f"profiles/published/{network}.json",
            "--out", plan, *common)
    else:
        run(ESPALIER, "plan", "make", model, *arguments, "--out", plan, *common)
    compile_ = [ESPALIER, "compile", model, "--plan", plan, "--numerics", numerics, "--target", target,
                "--classes", 10 if network in NETWORKS else 5, *common]
    whole = ["--disable-pass", "stream"]
    run(*compile_, *whole, "--json", compiled)
    if not checked.exists():
        run(*compile_, *([] if rows else whole), "--out", folder)
        run(ESPALIER, "check", folder, "--device", device(work), "--no-nodes", "--steps", 1, "--json",
            checked, *common, *([] if rows else ["--node-cycles"]))
    check = json.loads(checked.read_text())
    return json.loads(compiled.read_text())["work"], check


def solve(matrix, right):
    """Gaussian elimination with pivots; None when singular."""
    size = len(right)
    rows = [list(row) + [right[i]] for i, row in enumerate(matrix)]
    for i in range(size):
        pivot = max(range(i, size), key=lambda k: abs(rows[k][i]))
        if abs(rows[pivot][i]) < 1e-9 * abs(matrix[i][i] or 1):
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for k in range(size):
            if k != i:
                factor = rows[k][i] / rows[i][i]
                rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i])]
    return [rows[i][size] / rows[i][i] for i in range(size)]


def fit(points):
    """Non-negative least squares over all subsets of amounts, of which there are few."""
    best = None
    for size in range(1, len(AMOUNTS) + 1):
        for subset in itertools.combinations(range(len(AMOUNTS)), size):
            if len(subset) > len({tuple(x[i] for i in subset) for x, _ in points}):
                continue
            matrix = [[sum(x[i] * x[k] / y for x, y in points) for k in subset] for i in subset]
            found = solve(matrix, [sum(x[i] for x, _ in points) for i in subset])
            if found is None or min(found) < 0:
                continue
            error = sum((sum(c * x[i] for c, i in zip(found, subset)) - y) ** 2 / y for x, y in points)
            if best is None or error < best[0] * (1 - 1e-6):
                best = (error, [found[subset.index(i)] if i in subset else 0.0 for i in range(len(AMOUNTS))])
    return best[1]


def predict(forms, work):
    return sum(sum(forms[w["form"]][a] * w[a] for a in AMOUNTS) for w in work)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("target")
    parser.add_argument("--numerics", default="device,integer")
    parser.add_argument("--models", default=os.environ.get("ESPALIER_SHARED", ".") + "/data/models")
    parser.add_argument("--work", help="folder of measurements [a temporary one]")
    args = parser.parse_args()
    work = pathlib.Path(args.work or tempfile.mkdtemp())
    work.mkdir(parents=True, exist_ok=True)
    models = {n: pathlib.Path(args.models) / f"{n}.onnx" for n in NETWORKS}
    models[DEFAULT] = ROOT / f"profiles/models/{DEFAULT}/{DEFAULT}.onnx"

    def runs(plans, rows):
        for numerics in args.numerics.split(","):
            for name, (arguments, networks) in plans.items():
                for network in networks:
                    yield (f"{network}, {name}, {numerics}", *measure(
                        work, models[network], network, name, arguments, args.target, numerics, rows))

    points, held, total = {}, [], 0
    for _, works, check in runs(FITTED, False):
        if len(works) != len(check["nodes"]):
            sys.exit("nodes of compile and check differ")
        for node, spent in zip(works, check["nodes"]):
            points.setdefault(node["form"], []).append(([node[a] for a in AMOUNTS], spent["cycles"]))
            total += 1
    forms, figures = {}, {}
    # For windows that were not measured: all of the kernel's.
    for form in [f for f in points if " " in f]:
        points.setdefault(form.split()[0], []).extend(points[form])
    for form, known in sorted(points.items()):
        coefficients = fit(known)
        off = [(sum(c * v for c, v in zip(coefficients, x)) - y, y) for x, y in known]
        forms[form] = dict(zip(AMOUNTS, coefficients))
        figures[form] = {"nodes": len(known), "error": sum(abs(e) for e, _ in off) / sum(y for _, y in off)}
    for what, works, check in runs(HELD_OUT, True):
        held.append({"step": what, "measured": check["cycles_per_step"],
                     "predicted": round(predict(forms, works))})
    for step in held:
        step["error"] = round(step["predicted"] / step["measured"] - 1, 4)
    model = {"schema": "espalier.cycles/1", "target": args.target,
             "made_by": f"tools/fit_cycles.py {args.target} --numerics {args.numerics}", "nodes": total,
             "forms": {f: {**{a: float(f"{v:.6g}") for a, v in c.items() if v}, "nodes": figures[f]["nodes"],
                           "error": round(figures[f]["error"], 4)} for f, c in forms.items()},
             "steps": held, "error": round(max(abs(s["error"]) for s in held), 4)}
    out = ROOT / "profiles/cycles" / f"{args.target}.json"
    out.parent.mkdir(exist_ok=True)
    lines = json.dumps(model, indent=1)
    out.write_text(lines + "\n")
    for form, row in model["forms"].items():
        print(f"{form:<44} {row['nodes']:>4} nodes {100 * row['error']:6.2f} %")
    for step in held:
        print(f"{step['step']:<40} {step['measured']:>12.0f} {100 * step['error']:+6.2f} %")


if __name__ == "__main__":
    main()
