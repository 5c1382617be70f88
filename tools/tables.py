#!/usr/bin/env python3
"""Tables for people from the documents that espalier writes, for the scripts beside this.

    tables.py memory FOLDER          SRAM stage by stage, from FOLDER/MODEL.json of `plan show`
    tables.py backward FOLDER        peak of the backward pass, from
                                     FOLDER/MODEL-{device,integer}-resident.json of `compile`
    tables.py rows FOLDER            SRAM without chains of rows, and with the input resident and by
                                     rows, from FOLDER/MODEL-{device,integer,head}-FORM.json
    tables.py rows-cycles FOLDER     cycles likewise, from FOLDER/MODEL-FORM.json of `check`
    tables.py published CONFIG MODEL a line a published plan of a sweep's: name, tab, notation
    tables.py fits FILE NAME         its name and memory, from a document of `compile`
    tables.py core FOLDER            cycles by kernel, from FOLDER/RUN.json of `check`
    tables.py boards FOLDER          instructions by kernel, from FOLDER/TARGET-NUMERICS.json of `check`
    tables.py accuracy FILE          test accuracy in per cent, from a document of `train`
    tables.py gradients NAME FOLDER SEEDS...
                                     a row of float32 gradients beside integer ones, from
                                     FOLDER/{device,integer,16}-SEED.json of `train`, the last not needed
    tables.py against-published FILE found plans beside published ones, from report.json
    tables.py differences FILE PLANS OTHER PLANS
                                     plans of one sweep.json beside those of another, or of the same, paired by
                                     seed: names with one *, which stands for the same in both, and with
                                     @RECIPE behind where the sweep has several
    tables.py searches FILE          how a sweep's measured searches ranked plans, from sweep.json
    tables.py replay FOLDER          accuracy over the classes so far, from FOLDER/{none,KIB,mixed}-SEED.json
                                     of `train`
    tables.py channels NAME FOLDER SEEDS...
                                     a row of channels chosen by norm, by gradient and at random, from
                                     FOLDER/{norm,fisher,random}-SEED.json of `train`
    tables.py turns NAME FOLDER SEEDS...
                                     a row of the same channels and of turns, from FOLDER/turns.json, the
                                     plan, and FOLDER/{same,turns}-SEED.json of `train`
    tables.py share-times FOLDER WHOLE SHARES...
                                     trials and time of parts of an analysis, from FOLDER/share-SHARE.json
                                     and FOLDER/trials
    tables.py shares BUDGET FOLDER SEEDS...
                                     a row of plans of a whole analysis and of half of it, from
                                     FOLDER/BUDGET-{1,0.5}-SEED.json of `train`
    tables.py with-ratios FROM TO RATIOS...
                                     a profile as if the analysis had had these ratios
    tables.py ratios BUDGET NAME FOLDER KIND SEEDS...
                                     a row of plans of such a profile, from FOLDER/search.json and
                                     FOLDER/{published,KIND}-SEED.json of `train`
    tables.py large-core FROM TO     a device profile with more memory and otherwise the same
"""

import json
import pathlib
import statistics
import sys

MODELS = ("mbv2-w0.35", "proxyless-w0.3", "mcunet-5fps")
FORMS = {"whole": "maps as a whole", "resident": "row by row", "rows": "input by rows, too"}
RUNS = ("full-plain", "sparse-plain", "sparse-blocked", "sparse-dot", "integer", "integer-dot",
        "integer-load-dot")
SUMS = ("sums", "sums-dot", "sums-load-dot")
SRAM_OF_THE_CORE = 262144


def read(path) -> dict:
    return json.loads(pathlib.Path(path).read_text())


def row(name: str, cells) -> str:
    return f"| {name} | " + " | ".join(cells) + " |"


def memory(folder: str) -> None:
    print("| model | full update | pruned, sliced | | reordered, in place, streamed | | in all | "
          f"within {SRAM_OF_THE_CORE:,} |")
    print("|---|---|---|---|---|---|---|---|")
    for name in MODELS:
        planned = read(pathlib.Path(folder, name + ".json"))["planned"]
        full, pruned = planned["full_update_bytes"], planned["pruned_bytes"]
        total = planned["planned_bytes"]
        print(row(name, (f"{full:,}", f"{pruned:,}", f"{full / pruned:.1f}x", f"{total:,}",
                         f"{pruned / total:.1f}x", f"{full / total:.1f}x",
                         "yes" if total <= SRAM_OF_THE_CORE else "no")))


def backward_peak(arena) -> int:
    """Most bytes alive at a step behind the forward pass."""
    load = [0] * len(arena["steps"])
    for value in arena["values"]:
        for step in range(value["first_step"], value["last_step"] + 1):
            load[step] += -(-value["bytes"] // 4) * 4
    return max(load[arena["backward_begin"]:])


def backward(folder: str) -> None:
    print("| model | float32 gradients | int8 gradients | times less | all SRAM, float32 | int8 |")
    print("|---|---|---|---|---|---|")
    for name in MODELS:
        compiled = [read(pathlib.Path(folder, f"{name}-{kind}-resident.json"))
                    for kind in ("device", "integer")]
        wide, narrow = (backward_peak(document["arena"]) for document in compiled)
        print(row(name, (f"{wide:,}", f"{narrow:,}", f"{wide / narrow:.2f}x",
                         *(f"{document['sram_bytes']:,}" for document in compiled))))


def rows(folder: str) -> None:
    print("| trained | model | " + " | ".join(FORMS.values()) + " |")
    print("|---|---|" + "---|" * len(FORMS))
    for what, name in (("integer", "100 KB plan, int8 gradients"),
                       ("device", "100 KB plan, float32 gradients"), ("head", "classifier alone")):
        for model in MODELS:
            documents = (read(pathlib.Path(folder, f"{model}-{what}-{form}.json")) for form in FORMS)
            print(row(f"{name} | {model}", (f"{d['sram_bytes']:,}" for d in documents)))


def rows_cycles(folder: str) -> None:
    print("| M cycles a step | " + " | ".join(FORMS.values()) + " |")
    print("|---|" + "---|" * len(FORMS))
    for model in MODELS:
        runs = {form: read(pathlib.Path(folder, f"{model}-{form}.json"))["cycles_per_step"]
                for form in FORMS}
        print(row(model, (f"{c / 1e6:.2f} ({100 * (c / runs['whole'] - 1):+.1f} %)"
                          for c in runs.values())))


def published(config: str, model: str) -> None:
    lines = pathlib.Path(config).read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("//"))
    for plan in json.loads(text)["plans"]["published"]:
        if plan["model"] != model:
            continue
        notation = {key: value for key, value in plan.items() if key not in ("name", "model")}
        print(f"{plan['name']}\t{json.dumps(notation)}")


def fits(path: str, name: str) -> None:
    compiled = read(path)
    print(f"{name}|{compiled['sram_bytes']:,}|{compiled['parameter_bytes']:,}")


def cycles(kernel) -> str:
    if kernel is None:
        return "-"
    text = f"{kernel['cycles'] / 1e6:.2f}"
    if kernel["cycles_per_mac"] is not None and kernel["cycles"] > 1e5:
        text += f" ({kernel['cycles_per_mac']:.2f})"
    return text


def mean_and_error(values):
    """Of a list; no error of a single value."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, (variance / len(values)) ** 0.5


def with_error(mean: float, error, form: str) -> str:
    """In a form such as ".2f", the error without a sign."""
    text = format(mean, form)
    return text if error is None else f"{text} +- {format(error, form.lstrip('+'))}"


def replay(folder: str) -> None:
    names = {path.name.rsplit("-", 1)[0] for path in pathlib.Path(folder).glob("*-[0-9]*.json")}
    memories = sorted((name for name in names if name.isdigit()), key=int)
    turns = None
    for name in ["none", *memories, "mixed"]:
        all_seeds = [read(path) for path in sorted(pathlib.Path(folder).glob(f"{name}-*.json"))]
        seeds = [seed for seed in all_seeds if not seed["diverged"]]
        if not seeds:
            raise SystemExit(f"{folder}: all trainings of '{name}' diverged")
        if len(seeds) < len(all_seeds):
            print(f"{folder}: {len(all_seeds) - len(seeds)} of {len(all_seeds)} trainings of '{name}' diverged and "
                  "are left out", file=sys.stderr)
        if turns is None:
            turns = [turn["classes"] for turn in seeds[0]["turns"]]
            print(row("classes come", ["latents kept", *(f"of {classes}, %" for classes in turns)]))
            print("|---" * (len(turns) + 2) + "|")
        if name == "mixed":
            cells = ["-"] * (len(turns) - 1)
            cells.append(with_error(*mean_and_error([100 * seed["test_accuracy"] for seed in seeds]), ".1f"))
            print(row("mixed", ["-", *cells]))
            continue
        cells = [with_error(*mean_and_error([100 * seed["turns"][i]["test_accuracy"] for seed in seeds]), ".1f")
                 for i in range(len(turns))]
        kept = f"{sum(seeds[0]['replay']['kept'])}" if name != "none" else "-"
        print(row("in turn" if name == "none" else f"in turn, {name} KiB", [kept, *cells]))


def gradients(name: str, folder: str, *seeds: str) -> None:
    accuracies = learned(folder, seeds)
    floats = accuracies("device")
    cells = paired(floats, floats, seeds)[:1]
    for kind in ("integer", "16"):
        if not pathlib.Path(folder, f"{kind}-{seeds[0]}.json").exists():
            cells.append("-")
            continue
        cells.append(paired(floats, accuracies(kind), seeds)[2])
    print(row(name, cells), flush=True)


def learned(folder: str, seeds):
    """Accuracies by seed of trainings KIND-SEED.json that learned something, in per cent."""
    def accuracies(kind: str):
        documents = {s: read(pathlib.Path(folder, f"{kind}-{s}.json")) for s in seeds}
        return {s: 100 * d["test_accuracy"] for s, d in documents.items()
                if d["test_accuracy"] is not None and not d["collapsed"]}
    return accuracies


def paired(before, after, seeds):
    """Cells of two such means, with how many learned where it is not all, and of their difference."""
    def cell(values):
        if not values:
            return "-"
        mean = f"{sum(values.values()) / len(values):.2f}"
        return mean if len(values) == len(seeds) else f"{mean} ({len(values)})"

    pairs = [after[s] - before[s] for s in seeds if s in before and s in after]
    return [cell(before), cell(after),
            with_error(*mean_and_error(pairs), "+.2f") if pairs else "-"]


def turns(name: str, folder: str, *seeds: str) -> None:
    plan = read(pathlib.Path(folder, "turns.json"))
    rate = read(pathlib.Path(folder, f"turns-{seeds[0]}.json"))["recipe"]["learning_rate"]
    accuracies = learned(folder, seeds)
    print(row(name, [f"{plan['memory_bytes']['analytic'] / 1024:.2f}", f"{rate:g}",
                     *paired(accuracies("same"), accuracies("turns"), seeds)]), flush=True)


def channels(name: str, folder: str, *seeds: str) -> None:
    plan = read(pathlib.Path(folder, f"norm-{seeds[0]}.json"))["plan"]
    accuracies = learned(folder, seeds)
    by_norm = accuracies("norm")
    others = [cell for kind in ("fisher", "random") for cell in paired(by_norm, accuracies(kind), seeds)[1:]]
    print(row(name, [f"{plan['analytic_bytes'] / 1024:.2f}", paired(by_norm, by_norm, seeds)[0], *others]),
          flush=True)


def with_ratios(source: str, target: str, *ratios: str) -> None:
    """A profile as if the analysis had had other ratios: trials of others are left out."""
    profile = read(source)
    profile["ratios"] = [float(ratio) for ratio in ratios]
    profile["trials"] = [t for t in profile["trials"] if t.get("ratio", 1) in profile["ratios"]]
    pathlib.Path(target).write_text(json.dumps(profile))


def ratios(budget: str, name: str, folder: str, kind: str, *seeds: str) -> None:
    accuracies = learned(folder, seeds)
    objective = read(pathlib.Path(folder, "search.json"))["objective"]
    print(row(budget, [name, f"{objective:.3f}",
                       *paired(accuracies("published"), accuracies(kind), seeds)]), flush=True)


def share_times(folder: str, whole: str, *shares: str) -> None:
    """Trials of profiles share-SHARE.json and the time that they took, by the store beside them."""
    profiles = {share: read(pathlib.Path(folder, f"share-{share}.json")) for share in (whole, *shares)}
    everything = profiles[whole]
    records = {}  # by depth, conv and seed: channels and seconds, ascending
    for path in pathlib.Path(folder, "trials").glob("*.json"):
        record = read(path)
        inputs, plan = record["inputs"], record["inputs"]["plan"]
        seed = inputs["recipe"]["seed"]
        if (inputs["recipe"] | {"seed": 0} != everything["recipe"] | {"seed": 0}
                or inputs["data"]["train"]["count"] != everything["data"]["train"]["count"]
                or len(plan["weights"]) > 1):
            continue
        conv, channels = -1, 0
        if plan["weights"]:
            conv, channels = plan["weights"][0]["conv"], len(plan["weights"][0]["channels"])
        records.setdefault((plan["bias_depth"], conv, seed), []).append(
            (channels, record["result"]["seconds"]))

    def key(trial):
        return trial["depth"], trial.get("conv", -1), trial["seed"]

    ratios = {}
    for trial in everything["trials"]:
        ratios.setdefault(key(trial), []).append(trial.get("ratio", 0))

    def seconds(trial):
        return sorted(records[key(trial)])[sorted(ratios[key(trial)]).index(trial.get("ratio", 0))][1]

    total = sum(map(seconds, everything["trials"]))
    print(row("share of trials", ["trials", "time"]))
    print("|---|---|---|")
    for share, profile in profiles.items():
        time = sum(map(seconds, profile["trials"]))
        print(row(share, [str(len(profile["trials"])), f"{100 * time / total:.0f} %"]))
    print("\n" + row("budget", ["all measured, %", f"{shares[-1]}, believed, %", "above, points"]))
    print("|---|---|---|---|", flush=True)


def shares(budget: str, folder: str, *seeds: str) -> None:
    accuracies = learned(folder, seeds)
    print(row(budget, paired(accuracies(f"{budget}-1"), accuracies(f"{budget}-0.5"), seeds)),
          flush=True)


def core(folder: str) -> None:
    runs = [read(pathlib.Path(folder, name + ".json")) for name in RUNS]
    kernels = [{k["name"]: k for k in run["kernels"]} for run in runs]
    names = {name for run in kernels for name in run}
    print("M cycles a step (cycles a MAC)\n")
    print("| kernel | full, plain | 100 KB plan, plain | 100 KB plan, blocked | with dot product | "
          "int8 gradients, no float unit | int8 gradients, dot product | the same that loads |")
    print("|---|---|---|---|---|---|---|---|")
    def most(name: str):
        return max(run.get(name, {"cycles": 0})["cycles"] for run in kernels)

    for name in sorted(names, key=lambda n: (-most(n), n)):
        print(row(name, (cycles(run.get(name)) for run in kernels)))
    steps = [run["cycles_per_step"] for run in runs]
    print(row("**step**", (f"**{step / 1e6:.1f}**" for step in steps)))
    print(row("times fewer than full, plain", (f"{steps[0] / step:.1f}x" for step in steps)))
    print(row("SRAM, bytes", (f"{run['sram']['promised']:,}" for run in runs)))
    print(row("cycles an instruction", (f"{run['cycles_per_instruction']:.2f}" for run in runs)))
    print("\nGradients of parameters with eight samples an update: sums alone, no steps\n")
    print("| kernel | no float unit | dot product | the same that loads |")
    print("|---|---|---|---|")
    sums = [read(pathlib.Path(folder, name + ".json")) for name in SUMS]
    kernels = [{k["name"]: k for k in run["kernels"]} for run in sums]
    for name in ("esp_weight_gradient_q8", "esp_bias_gradient_q8"):
        print(row(name, (cycles(run.get(name)) for run in kernels)))


def boards(folder: str) -> None:
    """Kernels of floats and of integers share a row."""
    runs = {path.stem: read(path) for path in sorted(pathlib.Path(folder).glob("*-*.json"))
            if path.stem.startswith("cortex-")}
    kernels = {name: {k["name"].removesuffix("_q8").removeprefix("esp_"): k
                      for k in run["kernels"] if k["macs"] is not None}
               for name, run in runs.items()}
    rows = {name: kernel["macs"] for run in kernels.values() for name, kernel in run.items()
            if kernel["macs"] > 1e5}
    print("instructions a MAC\n")
    print(row("", (name.removeprefix("cortex-").replace("-device", ", float gradients")
                   .replace("-integer", ", int8 gradients") for name in runs)))
    print("|---" * (len(runs) + 1) + "|")
    for name in sorted(rows, key=lambda n: (-rows[n], n)):
        print(row(name, (f"{run[name]['instructions_per_mac']:.2f}" if name in run else "-"
                         for run in kernels.values())))
    steps = (f"**{run['instructions_per_step'] / 1e6:.1f}**" for run in runs.values())
    print(row("**M instructions a step**", steps))
    print(row("SRAM, bytes", (f"{run['sram']['promised']:,}" for run in runs.values())))
    print(row("stack, bytes", (f"{run['stack']['used']:,}" for run in runs.values())))
    print(row("flash, bytes", (f"{run['flash']['used']:,}" for run in runs.values())))
    if not all(run["equal"] for run in runs.values()):
        sys.exit("not all bits are the host's")


def accuracy(path: str) -> None:
    reached = read(path)["test_accuracy"]
    print("diverged" if reached is None else f"{reached * 100:.2f}")


def rows_of(path: str, name: str):
    """Rows of a report's tables of this name, each by column, with the table's caption."""
    for section in read(path)["sections"]:
        for table in section["tables"]:
            if table["id"].startswith(name):
                keys = [column["key"] for column in table["columns"]]
                for values in table["rows"]:
                    yield table["caption"], dict(zip(keys, values))


def against_published(path: str) -> None:
    print("| model | found | KiB | accuracy, % | published | KiB | accuracy, % | "
          "found above, points | seeds in pairs |")
    print("|---|---|---|---|---|---|---|---|---|")
    for caption, r in rows_of(path, "against-published"):
        above = "no seed of both" if r["above"] is None else with_error(r["above"], r["above_error"], "+.2f")
        print(row(caption.split(":")[0],
                  [r["update"], f"{r['memory_kib']:.2f}", f"{r['accuracy']:.2f}", r["published"],
                   f"{r['published_kib']:.2f}", f"{r['published_accuracy']:.2f}", above,
                   str(r["seeds"])]))
    lost = [r for _, r in rows_of(path, "plans") if r.get("diverged")]
    if lost:
        print("\nTrainings that diverged or learned nothing are in no mean and no pair:\n")
    for r in lost:
        print(f"- {r['update']}: {r['diverged']}")
    print("\nThe same trainings of other updates:\n")
    print("| update | KiB | accuracy, % |")
    print("|---|---|---|")
    for _, r in rows_of(path, "plans"):
        if r["kind"] not in ("found", "published"):
            # A report leaves out columns without a value: errors of one seed, or what no plan reached.
            accuracy = ("diverged or collapsed" if r.get("accuracy") is None
                        else with_error(r["accuracy"], r.get("accuracy_error"), ".2f"))
            name = f"{r['model']}, {r['update']}" if "model" in r else r["update"]
            print(row(name, [f"{r['memory_kib']:.2f}", accuracy]))


def searches(path: str) -> None:
    """How well predictions ranked what was measured, and what the races say of the plans chosen."""
    def number(value) -> str:
        return "-" if value is None else f"{value:+.2f}"

    # Sums of single gains may be in nats, which have no R2 with accuracy.
    print("\n| model | plan | trainings | rank correlation, adding up | with the model | within budgets, "
          "adding up | with the model | R2 | "
          "gained in the race, points | better than the runner-up | than the additive optimum |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for result in read(path)["results"]:
        for plan in result["plans"]:
            if "search" not in plan:
                continue
            measured, race = plan["search"]["measured"], plan["search"]["race"]
            before, after = measured["before"], measured["after"]
            figures = [number(before["rank_correlation"]), number(after["rank_correlation"]),
                       number(before.get("rank_within_budgets")), number(after.get("rank_within_budgets")),
                       number(after["r2"])]
            gained = with_error(100 * race["gain"], 100 * race["standard_error"], "+.2f")
            print(row(result["model"]["name"],
                      [plan["name"], str(measured["trainings"]), *figures, gained,
                       f"{race['above_runner_up']:.3f}", f"{race['above_additive']:.3f}"]))


def plans_of(path: str, names: str) -> dict:
    """(model, dataset, what the * stands for): name and, by numerics and seed, accuracy of what learned."""
    names, _, recipe = names.partition("@")
    before, star, after = names.partition("*")
    if not star or "*" in after:
        sys.exit(f"'{names}': give names with one *")
    found = {}

    def trained(plan):
        recipes = sorted({t.get("recipe", "") for t in plan["trainings"]})
        if recipe and recipe not in recipes or not recipe and len(recipes) > 1:
            sys.exit(f"{path}: {plan['name']} was trained with {', '.join(recipes)}; give {names}@RECIPE")
        return [t for t in plan["trainings"] if t.get("recipe", "") == (recipe or recipes[0])]

    for result in read(path)["results"]:
        for plan in result["plans"]:
            name = plan["name"]
            if not name.startswith(before) or not name[len(before):].endswith(after):
                continue
            stands_for = name[len(before):len(name) - len(after)]
            found[result["model"]["name"], result["dataset"], stands_for] = name, {
                (t["numerics"], t["seed"]): 100 * t["test_accuracy"] for t in trained(plan)
                if not t["diverged"] and not t["collapsed"]}
    return found


def differences(path: str, names: str, other_path: str, other_names: str) -> None:
    others = plans_of(other_path, other_names)
    print("| model | plan | accuracy, % | beside | accuracy, % | above, points | seeds in pairs |")
    print("|---|---|---|---|---|---|---|")
    for key, (name, reached) in plans_of(path, names).items():
        if key not in others:
            continue
        other, by_other = others[key]
        pairs = [reached[seed] - by_other[seed] for seed in sorted(reached.keys() & by_other.keys())]
        print(row(key[0], [
            name, format(statistics.fmean(reached.values()), ".2f") if reached else "none learned", other,
            format(statistics.fmean(by_other.values()), ".2f") if by_other else "none learned",
            with_error(*mean_and_error(pairs), "+.2f") if pairs else "no seed of both",
            str(len(pairs))]))


def large_core(source: str, target: str) -> None:
    device = read(source)
    device.update(name="large-core", sram_bytes=8 << 20, flash_bytes=8 << 20)
    pathlib.Path(target).write_text(json.dumps(device))


COMMANDS = {"memory": memory, "rows": rows, "rows-cycles": rows_cycles, "published": published, "fits": fits,
            "backward": backward, "gradients": gradients, "core": core, "boards": boards, "accuracy": accuracy,
            "replay": replay, "against-published": against_published, "differences": differences,
            "searches": searches, "channels": channels, "turns": turns, "share-times": share_times,
            "shares": shares, "with-ratios": with_ratios, "ratios": ratios, "large-core": large_core}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        sys.exit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
