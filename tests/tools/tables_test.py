#!/usr/bin/env python3
"""What tools/tables.py and the scripts beside it make of documents, against what was worked out by hand."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import bias_worth  # noqa: E402
import choose_channels  # noqa: E402
import tables  # noqa: E402


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name: str, document) -> str:
        path = self.folder / name
        path.write_text(json.dumps(document))
        return str(path)

    def read(self, name: str):
        return json.loads((self.folder / name).read_text())


def training(seed: int, accuracy: float, **also) -> dict:
    return {"numerics": "simulation", "seed": seed, "test_accuracy": accuracy, "diverged": False,
            "collapsed": False} | also


class Differences(Folder):
    def table(self, *arguments: str) -> list:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            tables.differences(*arguments)
        return text.getvalue().splitlines()[2:]

    def test_pairs_by_seed_what_the_star_stands_for(self):
        def sweep(*plans) -> dict:
            return {"results": [{"model": {"name": "m"}, "dataset": "d",
                                 "plans": [{"name": name, "trainings": list(trainings)}
                                           for name, trainings in plans]}]}

        ours = self.write("a.json", sweep(
            ("found-49KB-x", (training(0, 0.7), training(1, 0.8), training(2, 0.1, collapsed=True))),
            ("found-74KB-x", (training(0, 0.9, diverged=True),)),
            ("found-99KB-x", (training(0, 0.9),)),
            ("found-99KB", (training(0, 0.5),))))
        theirs = self.write("b.json", sweep(
            ("published-49KB", (training(1, 0.76), training(0, 0.68), training(2, 0.9))),
            ("published-74KB", (training(0, 0.5),))))
        # Pairs of 2 and 4 points; the third seed of one learned nothing.
        self.assertEqual(self.table(ours, "found-*-x", theirs, "published-*"), [
            "| m | found-49KB-x | 75.00 | published-49KB | 78.00 | +3.00 +- 1.00 | 2 |",
            "| m | found-74KB-x | none learned | published-74KB | 50.00 | no seed of both | 0 |"])
        self.assertEqual(self.table(ours, "found-*-x", ours, "found-*"), [
            "| m | found-99KB-x | 90.00 | found-99KB | 50.00 | +40.00 | 1 |"])

    def test_pairs_trainings_of_one_recipe(self):
        trainings = [{**training(seed, accuracy + seed / 100), "recipe": name}
                     for seed in (0, 1) for name, accuracy in (("slow", 0.5), ("fast", 0.7))]
        path = self.write("a.json", {"results": [{"model": {"name": "m"}, "dataset": "d", "plans": [
            {"name": "p-49KB", "trainings": trainings}]}]})
        self.assertEqual(self.table(path, "p-*@fast", path, "p-*@slow"), [
            "| m | p-49KB | 70.50 | p-49KB | 50.50 | +20.00 +- 0.00 | 2 |"])
        for names in ("p-*", "p-*@other"):
            with self.assertRaises(SystemExit):
                self.table(path, names, path, "p-*@slow")

    def test_names_have_one_star(self):
        path = self.write("a.json", {"results": []})
        for names in ("found", "found-*-*"):
            with self.assertRaises(SystemExit):
                self.table(path, names, path, "found-*")


STUB = """#!/bin/sh
# Writes what `train` writes; with seed 1 in integers it diverges, with seed 9 it fails.
while [ $# -gt 0 ]; do
  case "$1" in --json) json=$2 ;; --seed) seed=$2 ;; --numerics) numerics=$2 ;; esac
  shift
done
[ "$seed" != 9 ] || exit 65
[ -n "$json" ] || exit 0
if [ "$numerics$seed" = integer1 ]; then
  printf '{"diverged": true, "test_accuracy": null}' >"$json"
  exit 2
fi
printf '{"diverged": false, "collapsed": false, "test_accuracy": 0.%s}' "$((5 + seed))" >"$json"
"""


class Diverged(Folder):
    """A script goes on behind a training that diverged, and ends where one fails."""

    def script(self, *seeds: str):
        tools = pathlib.Path(tables.__file__).parent
        (self.folder / "tools").mkdir(exist_ok=True)
        for name in ("compare_gradients.sh", "trained.sh", "tables.py"):
            shutil.copy(tools / name, self.folder / "tools")
        program = self.folder / "build/release/espalier"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(STUB)
        program.chmod(0o755)
        return subprocess.run([self.folder / "tools/compare_gradients.sh", *seeds], text=True,
                              env=os.environ | {"NETWORKS": ""}, capture_output=True)

    def test_it_is_in_no_pair(self):
        done = self.script("0", "1", "2")
        self.assertEqual(done.returncode, 0, done.stderr)
        row = next(line for line in done.stdout.splitlines() if "--full, 64 an" in line)
        # Of floats all three learned; of integers the second did not.
        self.assertEqual(row, "| embedded default, --full, 64 an update | 60.00 | "
                              "+0.00 +- 0.00 | +0.00 +- 0.00 |")

    def test_whatever_else_goes_wrong_ends_it(self):
        self.assertNotEqual(self.script("9").returncode, 0)


class AgainstPublished(Folder):
    def lines(self, columns, *rows_) -> list:
        path = self.write("report.json", {"sections": [{"tables": [
            {"id": "plans", "caption": "plans", "columns": [{"key": key} for key in columns],
             "rows": [list(cells) for cells in rows_]}]}]})
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            tables.against_published(path)
        return text.getvalue().splitlines()

    def test_a_report_may_lack_what_no_plan_has(self):
        columns = ("update", "kind", "memory_kib", "accuracy", "accuracy_error")
        self.assertIn("| full | 2.00 | 75.00 +- 1.50 |",
                      self.lines(columns, ("full", "full", 2.0, 75.0, 1.5)))
        self.assertIn("| full | 2.00 | 75.00 |", self.lines(columns[:4], ("full", "full", 2.0, 75.0)))
        self.assertIn("| full | 2.00 | diverged or collapsed |",
                      self.lines(columns[:3], ("full", "full", 2.0)))


class Profiles(Folder):
    def test_other_ratios_leave_the_rest_as_it_is(self):
        profile = self.write("p.json", {"ratios": [0.25, 0.5, 1.0], "trials": [
            {"depth": 0}, {"depth": 1}, {"depth": 1, "conv": 3, "ratio": 0.25},
            {"depth": 1, "conv": 3, "ratio": 0.5}, {"depth": 1, "conv": 3, "ratio": 1.0}]})
        tables.with_ratios(profile, str(self.folder / "q.json"), "0.25", "0.375", "1")
        made = self.read("q.json")
        self.assertEqual(made["ratios"], [0.25, 0.375, 1.0])
        self.assertEqual([t.get("ratio") for t in made["trials"]], [None, None, 0.25, 1.0])

    def test_a_curve_is_smoothed_over_what_is_known(self):
        self.assertEqual(bias_worth.smooth([0.0, None, 2.0, 4.0, None, 6.0]), [1.0, 2.0, 2.0, 4.0, 4.0, 5.0])


class BiasWorth(Folder):
    def lines(self, budget: str, *front) -> list:
        """Of a search with points (bytes, objective), each of the head alone."""
        documents = {"inspect": {"convs": [{"out": [4]}]},
                     "search": {"front": [{"budget_bytes": size, "objective": objective,
                                           "plan": {"bias_depth": 0}} for size, objective in front]}}
        program = self.folder / "espalier"
        program.write_text(f"#!{sys.executable}\nimport json, sys\n"
                           f"with open(sys.argv[sys.argv.index('--json') + 1], 'w') as file:\n"
                           f"    json.dump({documents!r}[sys.argv[1]], file)\n")
        program.chmod(0o755)
        profile = self.write("p.json", {"bias": [{"depth": 1, "loss_gain": {"mean": 0.1}}]})
        text = io.StringIO()
        with contextlib.redirect_stdout(text), unittest.mock.patch.dict(os.environ, ESPALIER=str(program)):
            bias_worth.main(profile, "m.onnx", budget)
        return text.getvalue().splitlines()[2:]

    def test_of_the_head_alone_there_is_no_share(self):
        self.assertEqual(self.lines("1", (1024, 0.0), (3072, 0.5)), ["| 1 | 0.00 | 0.2500 | 0.00 | 0.0000 | - |"])

    def test_a_budget_below_the_head_is_refused(self):
        with self.assertRaises(SystemExit):
            self.lines("1", (3072, 0.5))


class Channels(Folder):
    def setUp(self):
        super().setUp()
        self.plan = {"bias_depth": 2, "weights": [{"conv": 1, "ratio": 0.5, "channels": [0, 1]}]}
        self.scores = self.write("s.json", {"fisher": {"channel": [[1], [5, 1, 7, 5]]}})

    def choose(self, seed: int) -> dict:
        choose_channels.main(self.write("plan.json", self.plan), self.scores, str(seed), str(self.folder))
        return {kind: self.read(kind + ".json")["weights"][0]["channels"]
                for kind in ("norm", "fisher", "random")}

    def test_as_many_are_chosen_otherwise(self):
        drawn = set()
        for seed in range(20):
            chosen = self.choose(seed)
            self.assertEqual(chosen, self.choose(seed))
            self.assertEqual(chosen["norm"], [0, 1])
            self.assertEqual(chosen["fisher"], [0, 2])  # of equal scores the first
            self.assertEqual(chosen["random"], sorted(set(chosen["random"])))
            self.assertEqual(len(chosen["random"]), 2)
            drawn.add(tuple(chosen["random"]))
        self.assertGreater(len(drawn), 3)

    def test_channels_in_turn_are_refused(self):
        self.plan["weights"][0]["next_channels"] = [[2, 3]]
        with self.assertRaises(SystemExit):
            self.choose(0)


if __name__ == "__main__":
    unittest.main()
