#!/usr/bin/env python3
"""Plans that train as many channels as a given one, chosen otherwise, for tools/compare_channels.sh.

    choose_channels.py PLAN SCORES SEED FOLDER

SCORES is what `espalier analyze --estimate --fisher --json` writes. Writes FOLDER/norm.json (the plan
itself), FOLDER/fisher.json (the channels of the largest score) and FOLDER/random.json (drawn by SEED).
"""

import json
import pathlib
import random
import sys


def chosen(plan: dict, choose) -> dict:
    weights = [update | {"channels": sorted(choose(update["conv"], len(update["channels"])))}
               for update in plan["weights"]]
    return plan | {"weights": weights}


def main(plan_path: str, scores_path: str, seed: str, folder: str) -> None:
    plan = json.loads(pathlib.Path(plan_path).read_text())
    if any("next_channels" in update for update in plan["weights"]):
        sys.exit(f"{plan_path}: its channels take turns, so that all are trained")
    scores = json.loads(pathlib.Path(scores_path).read_text())["fisher"]["channel"]
    draw = random.Random(int(seed))
    plans = {
        "norm": plan,
        "fisher": chosen(plan, lambda conv, count: sorted(
            range(len(scores[conv])), key=lambda channel: (-scores[conv][channel], channel))[:count]),
        "random": chosen(plan, lambda conv, count: draw.sample(range(len(scores[conv])), count)),
    }
    for kind, document in plans.items():
        pathlib.Path(folder, kind + ".json").write_text(json.dumps(document))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
