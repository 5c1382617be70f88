#!/usr/bin/env python3
"""Prints espalier_bench's and pytorch_bench.py's results side by side, with their ratios, and makes
one document of all that bench.sh measured."""

import argparse
import json
import pathlib


def rate(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def kind(entry):
    """Name of a kernel for the summary: its direction and the sort of convolution."""
    shape = entry["shape"]
    if "depthwise" in shape:
        sort = "depthwise"
    elif "1x1" in shape:
        sort = "1x1"
    else:
        sort = "stem"
    return f"{sort} {entry['kernel'].replace('_', ' ')}"


def print_kernels(ours, models):
    """Rates over the shapes of each network, and how far they are from what registers alone do."""
    peak = ours["peak"]["1"]
    integer = ours["instruction_set"] in ("avxvnni", "avx512vnni", "avx512amx", "neondot")
    print("\n| kernel, 1 thread | " + " | ".join(f"{m}: mean, best GMAC/s" for m in models) +
          " | of the peak |")
    print("|---|" + "---|" * (len(models) + 1))
    kinds = {}
    for model in models:
        for entry in ours["kernels"][model]:
            if entry["threads"] == 1 and entry.get("gmacs_per_second"):
                kinds.setdefault(kind(entry), {}).setdefault(model, []).append(entry)
    for name, by_model in sorted(kinds.items()):
        cells, mean, best = [], [], []
        for model in models:
            entries = by_model.get(model, [])
            # Seconds and MACs of one image through every shape once.
            seconds = sum(1 / e["images_per_second"] for e in entries)
            macs = sum(e["gmacs_per_second"] / e["images_per_second"] for e in entries)
            if not entries:
                cells.append("-")
                continue
            mean.append(macs / seconds)
            best.append(max(e["gmacs_per_second"] for e in entries))
            cells.append(f"{mean[-1]:.0f}, {best[-1]:.0f}")
        int8 = name.endswith("forward") and integer
        top = peak["int8_gmacs_per_second" if int8 else "float_gmacs_per_second"]
        share = f"{100 * min(mean) / top:.0f}-{100 * max(best) / top:.0f} %"
        print(f"| {name} | " + " | ".join(cells) + f" | {share} ({'int8' if int8 else 'float'}) |")
    print(f"\npeak of one core, GMAC/s: {peak['float_gmacs_per_second']:.0f} float, "
          f"{peak['int8_gmacs_per_second']:.0f} int8; reads {peak['read_gb_per_second']:.0f} GB/s")


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def print_engine(ours, theirs):
    """(a) to (d) with ratios, and the rates of kernels. Returns the ratios."""
    threads = str(theirs.get("threads", max(map(int, ours["forward"]))))
    if threads not in ours["forward"]:
        raise SystemExit(f"compare.py: espalier_bench did not measure {threads} threads")

    rows, ratios = [], {}

    def row(key, name, mine, other, unit, cpu_ratio, required):
        ratio = None
        if other is not None:
            ratio = mine / other if unit != "s" else other / mine
            ratios[key] = {"ratio": ratio, "cpu_ratio": cpu_ratio, "required": required}
        rows.append((name, f"{rate(mine)} {unit}", "-" if other is None else f"{rate(other)} {unit}",
                     "-" if ratio is None else f"{ratio:.1f}",
                     "-" if ratio is None else f"{cpu_ratio:.1f}", "-" if required is None else f">= {required}"))

    for key, name, required in [("forward", "(a) forward, whole network", 8),
                                ("full", "(b) training step, everything", 6),
                                ("plan", "(c) training step, 100 KB plan, cached prefix", 4)]:
        mine, other = ours[key][threads], theirs.get(key)
        row(key, name, mine["images_per_second"], other and other["images_per_second"], "images/s",
            other and mine["images_per_cpu_second"] / other["images_per_cpu_second"], required)
    mine = ours["analysis"][threads]
    for key, name, required in [("analysis_published", "(d) 24 trials; PyTorch: whole network", 28),
                                ("analysis_whole", "(d) 24 trials; PyTorch: backward ends early", None),
                                ("analysis_cached", "(d) 24 trials; PyTorch: cached prefixes", 4)]:
        other = theirs.get(key)
        row(key, name, mine["seconds"], other and other["seconds"], "s",
            other and other["cpu_seconds"] / mine["cpu_seconds"], required)

    header = (f"{threads} threads", "Espalier", "PyTorch", "ratio", "of CPU time", "wanted")
    print("| " + " | ".join(header) + " |")
    print("|---|---|---|---|---|---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")
    if "1" in ours["forward"] and threads != "1":
        scaling = {key: ours[key][threads]["images_per_second"] / ours[key]["1"]["images_per_second"]
                   for key in ("forward", "full", "plan")}
        scaling["analysis"] = ours["analysis"]["1"]["seconds"] / ours["analysis"][threads]["seconds"]
        print(f"\n{threads} threads against one: " +
              ", ".join(f"{key} {value:.2f}x" for key, value in scaling.items()))
    if "search" in ours:
        search = ours["search"]
        print(f"\nmemory of a plan: {search['analytic_evaluations_per_second']:,.0f} analytic, "
              f"{search['planned_evaluations_per_second']:,.0f} planned evaluations/s")
    if "kernels" in ours and "peak" in ours:
        print_kernels(ours, list(ours["kernels"]))
    for name, check in theirs.get("check", {}).items():
        print(f"\nsame arithmetic, one step of '{name}': loss "
              f"{check['espalier_loss_before']:.4f} -> {check['espalier_loss_after']:.4f} here, "
              f"{check['loss_before']:.4f} -> {check['loss_after']:.4f} in PyTorch")
    return {"threads": int(threads), "ratios": ratios}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path, help="where bench.sh put its documents")
    parser.add_argument("--json", type=pathlib.Path, help="also write all of them here, as one")
    options = parser.parse_args()
    ours, theirs = read(options.folder / "espalier.json"), read(options.folder / "pytorch.json")
    document = {"schema": "espalier.bench.ratios/2"}
    if ours:
        document |= print_engine(ours, theirs) | {"espalier": ours, "pytorch": theirs}
    document["peers"] = [read(p) for p in sorted(options.folder.glob("peers-*.json"))]
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
