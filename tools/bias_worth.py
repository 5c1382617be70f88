#!/usr/bin/env python3
"""How much could be gained at most by training biases of chosen convs in place of the last ones.

    [ESPALIER=build/release/espalier] tools/bias_worth.py PROFILE MODEL BUDGET_KIB...

Leaving out a bias frees four bytes an output channel in the analytic model of memory; the mask stays, for
gradients go on through it. What those bytes are worth elsewhere is the slope of the best sum of believed
gains around the budget; what the bias itself brings is the step of the curve of depths, a mean over five of
them against noise. Where the first is more than the second, the difference could be gained; their sum over
the plan's depth is the most that any choice could gain, by adding up.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

BYTES = 4  # a bias
STEP = 2.0  # KiB, over which the slope is taken
NEIGHBOURS = 2  # depths to either side in a mean


def run(folder: str, *arguments: str) -> dict:
    path = pathlib.Path(folder, "document.json")
    subprocess.run([os.environ.get("ESPALIER", "build/release/espalier"), *arguments, "--json", str(path),
                    "--quiet", "--force"], check=True)
    return json.loads(path.read_text())


def smooth(curve: list) -> list:
    def mean(at: int) -> float:
        known = [g for g in curve[max(0, at - NEIGHBOURS):at + NEIGHBOURS + 1] if g is not None]
        if not known:
            sys.exit(f"no bias depth near {at} was measured")
        return sum(known) / len(known)
    return [mean(at) for at in range(len(curve))]


def main(profile_path: str, model: str, *budgets: str) -> None:
    profile = json.loads(pathlib.Path(profile_path).read_text())
    with tempfile.TemporaryDirectory() as folder:
        convs = run(folder, "inspect", model)["convs"]
        ends = [f"{float(budget) + more:.2f}KiB" for budget in budgets for more in (0, STEP)]
        front = run(folder, "search", profile_path, "--model", model, "--budgets", ",".join(ends),
                    "--solver", "exact", "--gains", "believed")["front"]
    curve = [0.0] + [None] * len(convs)
    for row in profile["bias"]:
        if row["loss_gain"] is not None:
            curve[row["depth"]] = row["loss_gain"]["mean"]
    curve = smooth(curve)
    found = {round(point["budget_bytes"] / 1024, 2): point for point in front}
    print("| budget, KiB | biases, KiB | worth of a KiB, nats | to leave out, KiB | gained at most, nats | "
          "of the objective |")
    print("|---|---|---|---|---|---|")
    for budget in budgets:
        point = found.get(round(float(budget), 2))
        if point is None:
            sys.exit(f"{budget} KiB: not even the head fits")
        slope = (found[round(float(budget) + STEP, 2)]["objective"] - point["objective"]) / STEP
        biases = left_out = gained = 0.0
        for depth in range(1, point["plan"]["bias_depth"] + 1):
            kib = BYTES * convs[len(convs) - depth]["out"][-1] / 1024
            biases += kib
            more = slope * kib - max(0.0, curve[depth] - curve[depth - 1])
            if more > 0:
                left_out += kib
                gained += more
        share = f"{100 * gained / point['objective']:.1f} %" if point["objective"] > 0 else "-"
        print(f"| {budget} | {biases:.2f} | {slope:.4f} | {left_out:.2f} | {gained:.4f} | {share} |")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
