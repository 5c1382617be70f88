#!/usr/bin/env python3
"""How well short trainings of plans say what the plans reach with the recipe that they are for; the
steps of tools/compare_recipes.sh.

    recipes.py plans ESPALIER MODEL FILE CONFIG COUNT
                                     COUNT plans of one memory, as JSON: the smallest that CONFIG
                                     publishes of the network MODEL, whose file is FILE, and others
                                     drawn at random
    recipes.py config MODEL PLANS RECIPE SEEDS
                                     the sweep that trains the plans of file PLANS with a recipe
    recipes.py figures FOLDER RECIPES...
                                     all figures, from FOLDER/plans.json and the sweeps
                                     FOLDER/RECIPE/, as JSON
    recipes.py table FILE            tables of those figures

A RECIPE is `reference`, or IMAGESxEPOCHS such as 2500x10, with -headN behind it where the first N of
the epochs train the head alone, and -lrRATE for another rate than 0.1. `figures` takes `reference` first.
"""

import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

RATIOS = (0.125, 0.25, 0.5, 1.0)
DEPTHS = (12, 28)  # of drawn plans, both included
MOST_CONVS = 5
TOLERANCE = 0.03  # of the memory
DRAWS = 1_000_000
SEED = 20_240_601
REFERENCE = {"images": 5000, "epochs": 10, "head_epochs": 1}
CLIP = 3
REFERENCE_SEEDS = (100, 101, 102)
LOOKUP = pathlib.Path(__file__).resolve().parent.parent / "profiles/models/mcunetv3_input_lut.txt"
# What judges a plan in the short training, and in the reference's.
PAIRS = (("loss", "loss"), ("accuracy", "accuracy"), ("loss", "accuracy"))


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def read_config(path):
    """With comments on lines of their own."""
    lines = pathlib.Path(path).read_text().splitlines()
    return json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))


# ---- Statistics. A table has a row for each plan and a column for each seed. ----------------------


def mean(values) -> float:
    return sum(values) / len(values)


def columns(table):
    return [list(column) for column in zip(*table)]


def row_means(table):
    return [mean(row) for row in table]


def pearson(a, b):
    """None where one of them does not vary."""
    of_a, of_b = mean(a), mean(b)
    products = sum((x - of_a) * (y - of_b) for x, y in zip(a, b))
    squares = sum((x - of_a) ** 2 for x in a) * sum((y - of_b) ** 2 for y in b)
    return products / math.sqrt(squares) if squares > 0 else None


def ranks(values):
    """From 1; equal values share the mean of their ranks."""
    return [sum(other < value for other in values) + (1 + sum(other == value for other in values)) / 2
            for value in values]


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def components(table):
    """Variances between plans and of a training: the seed's effect on all plans is in neither.

    Of two-way analysis of variance without repetitions: what is left behind the means of rows and of
    columns is a training's own, and the rows' means hold a share of it. Needs two plans and seeds.
    """
    plans, seeds = len(table), len(table[0])
    of_plan, of_seed = row_means(table), row_means(columns(table))
    grand = mean(of_plan)
    left = sum((table[p][s] - of_plan[p] - of_seed[s] + grand) ** 2
               for p in range(plans) for s in range(seeds)) / ((plans - 1) * (seeds - 1))
    between = sum((value - grand) ** 2 for value in of_plan) / (plans - 1)
    return max(0.0, between - left / seeds), left


def reliability(between: float, within: float, trainings: float):
    """Share of the variance of means of so many trainings, whole or not, that lies between plans
    (Spearman-Brown); None where nothing varies."""
    total = between + within / trainings
    return between / total if total > 0 else None


def mean_correlation(correlation, table, target):
    """Of one training, in the mean over the seeds; None where a seed has none."""
    all_seeds = [correlation(column, target) for column in columns(table)]
    return None if None in all_seeds else mean(all_seeds)


def divided_by_root(value, share):
    """None without one of them, or where the share is 0."""
    return None if value is None or not share else value / math.sqrt(share)


def agreement(correlation, short, reference):
    """(correlation of one training of `short` with the reference's mean over its seeds, the same
    without the reference's noise). Above 1 where noise is overestimated."""
    measured = mean_correlation(correlation, short, row_means(reference))
    return measured, divided_by_root(
        measured, reliability(*components(reference), len(reference[0])))


def agreement_of_reference(correlation, short, reference):
    """agreement() of the reference's own trainings, each with the mean of the others; `short` may be
    another figure of the same trainings. Needs two seeds."""
    seeds = len(reference[0])
    all_seeds = []
    for s in range(seeds):
        others = [[value for i, value in enumerate(row) if i != s] for row in reference]
        all_seeds.append(correlation([row[s] for row in short], row_means(others)))
    measured = None if None in all_seeds else mean(all_seeds)
    return measured, divided_by_root(measured, reliability(*components(reference), seeds - 1))


def of_the_mean(corrected, short, trainings: float):
    """What agreement() becomes, without the reference's noise, for means of so many trainings."""
    between, within = components(short)
    single = divided_by_root(corrected, reliability(between, within, 1))
    return None if single is None else single * math.sqrt(reliability(between, within, trainings))


def jackknife_error(statistic, *tables):
    """Standard error of a statistic of tables, from leaving each plan out; None with fewer than four
    plans, or where the statistic has no value."""
    plans = len(tables[0])
    if plans < 4:
        return None
    values = [statistic(*(table[:p] + table[p + 1:] for table in tables)) for p in range(plans)]
    if None in values:
        return None
    centre = mean(values)
    return math.sqrt((plans - 1) / plans * sum((value - centre) ** 2 for value in values))


def compare(short, reference, trainings: float, own: bool):
    """All figures of a recipe beside the reference, from tables of the same plans: `trainings` fit in
    the time of one of the reference. `own`: `short` is of the reference's own trainings."""
    agree = agreement_of_reference if own else agreement
    between, within = components(short)
    figures = {"between_plans": math.sqrt(between), "between_seeds": math.sqrt(within),
               "reliability": reliability(between, within, 1), "trainings_in_time": trainings}
    for name, correlation in (("pearson", pearson), ("spearman", spearman)):
        def in_time(a, b, correlation=correlation):
            return of_the_mean(agree(correlation, a, b)[1], a, trainings)

        measured, corrected = agree(correlation, short, reference)
        figures[name] = {"one": measured, "one_corrected": corrected,
                         "in_time": in_time(short, reference),
                         "in_time_error": jackknife_error(in_time, short, reference),
                         "all_seeds": None if own else
                         correlation(row_means(short), row_means(reference))}
    return figures


# ---- Plans. ---------------------------------------------------------------------------------------


class Memory:
    """Analytic memory in bits, as a sum of terms: of the head, of the bias of each conv by its place
    from the end, and of weights by conv and ratio."""

    def __init__(self, documents):
        """From a document of `plan show` for each ratio, of plans that train all convs of DEPTHS."""
        first = next(iter(documents.values()))["analytic_bits"]
        self.head = first["head"]
        self.bias = {row["conv"]: row["bias_bits"] + row["mask_bits"] for row in first["convs"]}
        self.weights = {}  # without ratios that keep no channel
        for ratio, document in documents.items():
            for row in document["analytic_bits"]["convs"]:
                if row["weight_bits"] > 0:
                    self.weights[row["conv"], ratio] = row["weight_bits"] + row["input_bits"]
        self.convs = max(self.bias) + 1

    def bytes(self, depth: int, weights) -> int:
        """Of the biases of the last `depth` convs and `weights`, pairs of conv and ratio."""
        bits = self.head + sum(self.bias[conv] for conv in range(self.convs - depth, self.convs))
        return -(-(bits + sum(self.weights[pair] for pair in weights)) // 8)


class Draws:
    """Of a linear congruential generator, the same on every Python."""

    def __init__(self, seed: int):
        self.state = seed

    def below(self, count: int) -> int:
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) * count >> 31


def draw(memory: Memory, target: int, draws: Draws):
    """A plan of `target` bytes, to within TOLERANCE: (depth, [(conv, ratio)] ascending)."""
    low, high = DEPTHS[0], min(DEPTHS[1], len(memory.bias))
    for _ in range(DRAWS):
        depth = low + draws.below(high - low + 1)
        count = 1 + draws.below(min(MOST_CONVS, depth))
        convs = set()
        while len(convs) < count:
            convs.add(memory.convs - 1 - draws.below(depth))
        weights = [(conv, RATIOS[draws.below(len(RATIOS))]) for conv in sorted(convs)]
        if any(pair not in memory.weights for pair in weights):
            continue
        if abs(memory.bytes(depth, weights) / target - 1) <= TOLERANCE:
            return depth, weights
    sys.exit(f"no plan of {target} bytes among {DRAWS} drawn ones")


def notation_of(depth: int, weights):
    return {"n_bias_update": depth, "manual_weight_idx": [conv for conv, _ in weights],
            "weight_update_ratio": [ratio for _, ratio in weights]}


def plans(espalier: str, model: str, file: str, config: str, count: str) -> None:
    published = [plan for plan in read_config(config)["plans"]["published"] if plan["model"] == model]
    if not published:
        sys.exit(f"{config} publishes no plan of {model}")
    with tempfile.TemporaryDirectory() as work:
        plan_file, shown = pathlib.Path(work, "plan.json"), pathlib.Path(work, "shown.json")

        def imported(notation):
            subprocess.run([espalier, "plan", "import", file, "--published", json.dumps(notation),
                            "--out", plan_file, "--force", "--quiet"], check=True)
            return read(plan_file)

        def bytes_of(notation) -> int:
            return imported(notation)["memory_bytes"]["analytic"]

        def show():
            subprocess.run([espalier, "plan", "show", plan_file, "--model", file, "--json", shown,
                            "--force", "--quiet"], check=True)
            return read(shown)

        convs = imported({"n_bias_update": "all", "manual_weight_idx": []})["bias_depth"]
        depth = min(DEPTHS[1], convs)
        documents = {}
        for ratio in RATIOS:
            imported(notation_of(depth, [(conv, ratio) for conv in range(convs - depth, convs)]))
            documents[ratio] = show()
        memory = Memory(documents)

        notations = [{key: value for key, value in plan.items() if key not in ("name", "model")}
                     for plan in published]
        sizes = [bytes_of(notation) for notation in notations]
        target = min(sizes)
        first = sizes.index(target)
        chosen = [{"name": published[first]["name"], "bytes": target} | notations[first]]
        draws = Draws(SEED)
        while len(chosen) < int(count):
            plan = draw(memory, target, draws)
            notation = notation_of(*plan)
            if any(other | notation == other for other in chosen):
                continue
            measured = bytes_of(notation)
            if measured != memory.bytes(*plan):
                sys.exit(f"{notation} takes {measured} bytes, not {memory.bytes(*plan)}")
            chosen.append({"name": f"drawn-{len(chosen)}", "bytes": measured} | notation)
    print(json.dumps(chosen, indent=1))


# ---- Sweeps. --------------------------------------------------------------------------------------


def recipe_of(name: str):
    if name == "reference":
        return dict(REFERENCE)
    parts = re.fullmatch(r"(\d+)x(\d+)(?:-head(\d+))?(?:-lr(\d+(?:\.\d+)?))?", name)
    if parts is None:
        sys.exit(f"{name}: a recipe is IMAGESxEPOCHS, with -headN or -lrRATE or both behind it")
    recipe = {"images": int(parts[1]), "epochs": int(parts[2]), "head_epochs": int(parts[3] or 0)}
    return recipe | ({"learning_rate": float(parts[4])} if parts[4] else {})


def sweep_config(model: str, chosen, name: str, seeds: int):
    """The head alone trains, too: plans gain over it, seed by seed."""
    recipe = recipe_of(name)
    trained = {key: value for key, value in recipe.items() if key != "images" and value}
    entries = [{key: value for key, value in plan.items() if key != "bytes"} | {"model": model}
               for plan in chosen]
    return {
        "schema": "espalier.sweep/1",
        "name": name,
        "models": [{"name": model, "file": f"${{ESPALIER_SHARED}}/data/models/{model}.onnx"}],
        "datasets": [{"name": "cifar10",
                      "train": "cifar10:${ESPALIER_SPLIT}/recipes-train.bin",
                      "test": "cifar10:${ESPALIER_SPLIT}/recipes-validation.bin",
                      "preprocess": f"lut={LOOKUP}"}],
        "plans": {"head_only": True, "published": entries},
        "training": {"limit_train": recipe["images"],
                     "seeds": (list(REFERENCE_SEEDS[:seeds]) if name == "reference"
                               else list(range(seeds))),
                     "recipe": trained | {"clip": CLIP}}}


def config(model: str, plans_file: str, name: str, seeds: str) -> None:
    print(json.dumps(sweep_config(model, read(plans_file), name, int(seeds)), indent=1))


def key_of(depth: int, weights, seed: int):
    return depth, tuple((w["conv"], tuple(w["channels"])) for w in weights), seed


def seconds_by_training(folder: pathlib.Path, document):
    """What the records of the store say that each training of a sweep took; key_of() its plan and
    seed. The records of other recipes, data or versions count for nothing."""
    result, recipe = document["results"][0], document["recipes"][0]
    seconds = {}
    for path in (folder / "trials").glob("*.json"):
        if not re.fullmatch("[0-9a-f]{64}", path.stem):
            continue  # left behind by a process that was killed
        record = read(path)
        inputs = record["inputs"]
        if (inputs["tool_version"] != document["tool_version"]
                or inputs["model"] != result["model"]["sha256"] or inputs["data"] != result["data"]
                or inputs["recipe"] | {"seed": 0} != recipe | {"seed": 0}):
            continue
        plan = inputs["plan"]
        seconds[key_of(plan["bias_depth"], plan["weights"], inputs["recipe"]["seed"])] = (
            record["result"]["seconds"])
    return seconds


def trainings_of(folder: pathlib.Path):
    """By plan, a list by seed: `loss` and `accuracy` gained over the head alone (None of what
    diverged or collapsed), and `seconds`."""
    document = read(folder / "sweep.json")
    seconds = seconds_by_training(folder, document)
    result = document["results"][0]
    head = next(plan for plan in result["plans"] if plan["kind"] == "head_only")
    baseline = {run["seed"]: run for run in head["trainings"]}
    if any(run["diverged"] for run in head["trainings"]):
        sys.exit(f"{folder}: the head alone diverged, and there is nothing to gain over")
    trained = {}
    for plan in result["plans"]:
        if plan["kind"] != "published":
            continue
        stem = f"{result['model']['name']}.{result['dataset']}.{plan['name']}.json"
        weights = read(folder / "plans" / stem)["weights"]
        rows = []
        for run in sorted(plan["trainings"], key=lambda run: run["seed"]):
            usable = not run["diverged"] and not run["collapsed"]
            alone = baseline[run["seed"]]
            rows.append({
                "seed": run["seed"],
                "loss": alone["test_loss"] - run["test_loss"] if usable else None,
                "accuracy": run["test_accuracy"] - alone["test_accuracy"] if usable else None,
                "seconds": seconds[key_of(plan["bias_depth"], weights, run["seed"])]})
        trained[plan["name"].removeprefix("published-")] = rows
    return trained


def median(values) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def seconds_of(trained) -> float:
    """Of a training's steps, in the mean over plans. The median of the seeds passes over a training
    that had the processor for itself at the end, or shared it."""
    return mean([median([row["seconds"] for row in rows]) for rows in trained.values()])


def figures_of(names, trained):
    """Figures of each recipe, from trainings_of() by recipe; `reference` is the first."""
    times = {name: seconds_of(trained[name]) for name in names}
    rows = []
    for name in names:
        left = [plan for plan in trained[name]
                if all(row["loss"] is not None for row in trained[name][plan] + trained["reference"][plan])]
        if len(left) < 3:
            sys.exit(f"{name}: {len(left)} plans trained with every seed; three are needed")
        fit = times["reference"] / times[name]  # not rounded: 1.9 and 2.1 are nearly the same

        def table(recipe, figure, left=left):
            return [[row[figure] for row in trained[recipe][plan]] for plan in left]

        row = {"name": name, **recipe_of(name), "clip": CLIP, "seconds": times[name],
               "plans": left, "gained_loss": mean(row_means(table(name, "loss"))),
               "gained_accuracy": mean(row_means(table(name, "accuracy")))}
        for judge, of in PAIRS:
            row[f"{judge}_of_{of}"] = compare(table(name, judge), table("reference", of), fit,
                                              name == "reference")
        rows.append(row | {"trainings": trained[name]})
    return rows


def figures(folder: str, *names: str) -> None:
    if not names or names[0] != "reference":
        sys.exit("the first recipe is `reference`")
    place = pathlib.Path(folder)
    trained = {name: trainings_of(place / name) for name in names}
    result = read(place / "reference" / "sweep.json")["results"][0]
    print(json.dumps({"model": result["model"]["name"], "judged_on": result["data"]["test"],
                      "plans": read(place / "plans.json"), "recipes": figures_of(names, trained)},
                     indent=1))


# ---- Tables. --------------------------------------------------------------------------------------


def text(value, form: str) -> str:
    return "-" if value is None else format(value, form)


def table_lines(document, judge: str, of: str):
    factor, form, unit = (1, ".4f", "nats") if judge == "loss" else (100, ".2f", "points")
    count = len(document["plans"])
    yield f"{document['model']}: {judge} of the short training, {of} of the reference"
    yield ""
    yield (f"| recipe | s | plans | between plans, {unit} | between seeds | Pearson | corrected | "
           "Spearman | corrected | trainings in the reference's time | their mean, Pearson | Spearman |")
    yield "|---" * 12 + "|"
    for recipe in document["recipes"]:
        f = recipe[f"{judge}_of_{of}"]
        cells = [recipe["name"], text(recipe["seconds"], ".2f"), f"{len(recipe['plans'])} of {count}",
                 text(factor * f["between_plans"], form), text(factor * f["between_seeds"], form)]
        for name in ("pearson", "spearman"):
            cells += [text(f[name]["one"], ".3f"), text(f[name]["one_corrected"], ".3f")]
        cells.append(text(f["trainings_in_time"], ".1f"))
        for name in ("pearson", "spearman"):
            error = f[name]["in_time_error"]
            cells.append(text(f[name]["in_time"], ".3f")
                         + ("" if error is None else f" +- {error:.3f}"))
        yield "| " + " | ".join(cells) + " |"


def table(path: str) -> None:
    document = read(path)
    for judge, of in PAIRS:
        print("\n".join(table_lines(document, judge, of)) + "\n")


COMMANDS = {"plans": plans, "config": config, "figures": figures, "table": table}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
