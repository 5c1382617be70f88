#!/usr/bin/env python3
"""Espalier beside the strongest other programs at hand, on one network, taking turns.

  peers_bench.py ESPALIER_BENCH MODEL.onnx --out FOLDER [--data SPEC] [--threads 1 2]

Every program is a process that measures on demand: one after the other, round after round, so that
what else the machine does hits all alike. Printed are medians over the rounds, by processor time and
by the clock. Programs that are not installed are said and left out:
  PyTorch (python3-torch)   the simulation in fp32, maps channels first and channels last; quantised
                            int8 kernels of every engine it has; where the processor has the matrix
                            extension (AMX), oneDNN's also without, the faster form at small batches
  ONNX Runtime (npm)        the model as published, and with unsigned activations and integer inputs
Forward passes end at the published head's logits, and start from inputs in the form that the program
likes best. How far the logits of 512 pictures agree with Espalier's is printed as well.
"""

import argparse
import array
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TASKS = {"forward1": "forward, batch 1", "forward64": "forward, batch 64",
         "full": "training step of everything, batch 64",
         "plan": "training step of the 100 KB plan from its prefix, batch 64"}
WARM_UP = 0.2  # seconds


class Peer:
    """A process that answers 'TASK THREADS SECONDS'; usable once it has said 'ready'."""

    def __init__(self, name, command, logits, trains, environment=None):
        self.name, self.logits, self.trains = name, logits, trains
        self.process = subprocess.Popen(
            [str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **(environment or {})})
        self.ready = self.process.stdout.readline().strip() == "ready"
        if not self.ready:
            print(f"{name} does not run: left out", file=sys.stderr)
            self.close()

    def measure(self, task, threads, seconds):
        self.process.stdin.write(f"{task} {threads} {seconds}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"peers_bench.py: {self.name} ended during {task}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def has_amx():
    try:
        return "amx_int8" in pathlib.Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False


def pytorch_peers(python, dump, logits):
    """PyTorch's forms, empty where it is not installed."""
    script = HERE / "pytorch_peer.py"
    listed = subprocess.run([python, script, "--list"], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        print("PyTorch is not installed (python3-torch, python3-onnx): left out", file=sys.stderr)
        return None, []
    found = json.loads(listed.stdout)
    peers = []
    for form in found["forms"]:
        variants = [(form, None)]
        if form == "int8-onednn" and has_amx():
            variants.append((form + " without AMX", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}))
        for name, environment in variants:
            file = logits / f"pytorch-{name.replace(' ', '-')}.bin"
            peers.append(Peer(f"PyTorch {name}", [python, script, form, dump, "--logits", file],
                              file, form.startswith("fp32"), environment))
    return found["version"], peers


def modules_folder():
    """The node_modules folder with onnxruntime-node, or None."""
    given = os.environ.get("ESPALIER_ORT_MODULES")
    for folder in [pathlib.Path(given)] if given else [ROOT / "node_modules"]:
        if (folder / "onnxruntime-node" / "package.json").exists():
            return folder
    return None


def onnx_runtime_peers(python, model, dump, logits):
    folder = modules_folder()
    node = subprocess.run(["sh", "-c", "command -v node"], capture_output=True, check=False)
    tasks = json.loads((dump / "tasks.json").read_text())
    if folder is None or node.returncode != 0:
        print("ONNX Runtime is not installed (tools/setup.sh --slow): left out", file=sys.stderr)
        return None, []
    forms = {"published file": model}
    unsigned = dump / "unsigned.onnx"
    made = subprocess.run([python, HERE / "onnx_unsigned.py", model, unsigned],
                          capture_output=True, text=True, check=False)
    if made.returncode == 0:
        forms["unsigned copy"] = unsigned
    else:
        reason = made.stderr.strip().splitlines()[-1:] or ["no reason given"]
        print(f"no copy with unsigned activations: {reason[0]}", file=sys.stderr)
    peers = []
    for name, file in forms.items():
        out = logits / f"onnxruntime-{name.split()[0]}.bin"
        peers.append(Peer(f"ONNX Runtime, {name}",
                          ["node", HERE / "onnx_runtime_peer.mjs", folder, file, dump,
                           tasks["input_scale"], tasks["input_zero_point"], out], out, False))
    version = json.loads((folder / "onnxruntime-node" / "package.json").read_text())["version"]
    return version, peers


def rows_of(file, images):
    values = array.array("f", file.read_bytes())
    classes = len(values) // images
    return [values[i * classes:(i + 1) * classes] for i in range(images)]


def agreement(mine, other, images):
    """Share of pictures with the same largest logit, and the mean distance of logits."""
    same, distance, count = 0, 0.0, 0
    for a, b in zip(rows_of(mine, images), rows_of(other, images), strict=True):
        same += max(range(len(a)), key=a.__getitem__) == max(range(len(b)), key=b.__getitem__)
        distance += sum(abs(x - y) for x, y in zip(a, b, strict=True))
        count += len(a)
    return {"same_class": same / images, "mean_distance": distance / count}


def take_turns(peers, options):
    """Rates as {task: {threads: {peer: {key: [a value a round]}}}}."""
    results = {}
    for threads in options.threads:
        for task in options.tasks:
            able = [p for p in peers if task.startswith("forward") or p.trains]
            for peer in able:
                peer.measure(task, threads, WARM_UP)
            rounds = {p.name: {"images_per_second": [], "images_per_cpu_second": []} for p in able}
            for _ in range(options.rounds):
                for peer in able:
                    for key, value in peer.measure(task, threads, options.seconds).items():
                        rounds[peer.name][key].append(value)
            results.setdefault(task, {})[str(threads)] = rounds
    return results


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def print_table(name, results, threads):
    """A row a program and task, ratios of medians: Espalier's rate over the other's."""
    cpu = threads == 1
    basis = "of processor time" if cpu else "by the clock"
    print(f"\n| {name}, {threads} thread{'s' if threads > 1 else ''} | images/s {basis} | "
          "lowest, highest | Espalier's over it | by the clock |")
    print("|---|---|---|---|---|")
    summary = {}
    for task, by_threads in results.items():
        rounds = by_threads[str(threads)]
        median = {p: {k: statistics.median(v) for k, v in r.items()} for p, r in rounds.items()}
        key = "images_per_cpu_second" if cpu else "images_per_second"
        mine = median["Espalier"]
        print(f"| **{TASKS[task]}** | | | | |")
        for peer, values in median.items():
            ratio = mine[key] / values[key]
            clock = mine["images_per_second"] / values["images_per_second"]
            cells = ("", "") if peer == "Espalier" else (f"{ratio:.2f}", f"{clock:.2f}")
            low, high = min(rounds[peer][key]), max(rounds[peer][key])
            print(f"| {peer} | {number(values[key])} | {number(low)}, {number(high)} | "
                  f"{cells[0]} | {cells[1]} |")
            if peer != "Espalier":
                summary.setdefault(task, {})[peer] = {"ratio": ratio, "clock_ratio": clock}
    return summary


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path, help="espalier_bench")
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--data", help="dataset of espalier_bench, such as cifar10:FILE")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement")
    options = parser.parse_args()
    name = options.model.stem
    dump = options.out / f"peers-{name}"
    dump.mkdir(parents=True, exist_ok=True)
    data = ["--data", options.data] if options.data else []
    peers = [Peer("Espalier", [options.program, options.model, *data, "--serve", "--dump", dump],
                  dump / "logits.bin", True)]
    if not peers[0].ready:
        raise SystemExit(1)
    torch, found = pytorch_peers(sys.executable, dump, dump)
    runtime, more = onnx_runtime_peers(sys.executable, options.model.resolve(), dump, dump)
    peers += [p for p in found + more if p.ready]
    images = json.loads((dump / "tasks.json").read_text())["images"]
    agreements = {p.name: agreement(peers[0].logits, p.logits, images) for p in peers[1:]}
    results = take_turns(peers, options)
    for peer in peers:
        peer.close()
    ratios = {t: print_table(name, results, t) for t in options.threads}
    print(f"\nsame network, logits of {images} pictures against Espalier's: largest at the same "
          "class, mean distance")
    for peer, value in agreements.items():
        print(f"  {peer}: {100 * value['same_class']:.1f} %, {value['mean_distance']:.3f}")
    document = {"schema": "espalier.bench.peers/1", "model": name, "torch": torch,
                "onnxruntime": runtime, "rounds": options.rounds, "seconds": options.seconds,
                "ratios": ratios, "agreement": agreements, "rates": results}
    (options.out / f"peers-{name}.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
