#!/usr/bin/env python3
"""The statistics of tools/recipes.py against numbers worked out by hand, and how it reads a sweep."""

import json
import math
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import recipes  # noqa: E402

# Three plans, two seeds: means of plans 2, 6, 5.5 and of seeds 3, 6. Left of a training are +-0.5,
# +-0.5 and +-1, with two degrees of freedom; the plans' means vary by 4.75.
REFERENCE = [[1, 3], [5, 7], [3, 8]]
SHORT = [[1, 4], [2, 5], [3, 7]]


class Statistics(unittest.TestCase):
    def test_pearson(self):
        self.assertAlmostEqual(recipes.pearson([1, 2, 3], [2, 4, 7]), 5 / math.sqrt(76 / 3))
        self.assertAlmostEqual(recipes.pearson([1, 2], [5, -5]), -1)
        self.assertIsNone(recipes.pearson([1, 2, 3], [4, 4, 4]))

    def test_spearman_shares_the_ranks_of_equal_values(self):
        self.assertEqual(recipes.ranks([3, 1, 3, 2]), [3.5, 1, 3.5, 2])
        self.assertAlmostEqual(recipes.spearman([1, 2, 3], [10, 20, 1000]), 1)
        # Ranks 1 2 3 and 1.5 1.5 3: products 1.5, squares 2 and 1.5.
        self.assertAlmostEqual(recipes.spearman([1, 2, 3], [5, 5, 6]), 1.5 / math.sqrt(3))

    def test_components_leave_the_effect_of_the_seed_out(self):
        between, within = recipes.components(REFERENCE)
        self.assertAlmostEqual(within, 1.5)
        self.assertAlmostEqual(between, 4.75 - 1.5 / 2)
        shifted = [[a, b + 100] for a, b in REFERENCE]
        for ours, theirs in zip(recipes.components(shifted), (between, within)):
            self.assertAlmostEqual(ours, theirs)

    def test_no_variance_between_plans_is_below_0(self):
        self.assertEqual(recipes.components([[1, -1], [-1, 1], [0, 0]])[0], 0)

    def test_reliability_of_means(self):
        self.assertAlmostEqual(recipes.reliability(4, 1.5, 1), 8 / 11)
        self.assertAlmostEqual(recipes.reliability(4, 1.5, 2), 16 / 19)
        # Spearman-Brown: n r / (1 + (n - 1) r), of parts of a training as well.
        self.assertAlmostEqual(recipes.reliability(4, 1.5, 2.5),
                               2.5 * (8 / 11) / (1 + 1.5 * (8 / 11)))
        self.assertIsNone(recipes.reliability(0, 0, 1))

    def test_agreement(self):
        measured, corrected = recipes.agreement(recipes.pearson, SHORT, REFERENCE)
        by_hand = (3.5 / math.sqrt(19) + 4.5 / math.sqrt(133 / 3)) / 2
        self.assertAlmostEqual(measured, by_hand)
        self.assertAlmostEqual(corrected, by_hand / math.sqrt(16 / 19))

    def test_agreement_of_the_reference_is_with_its_other_seeds(self):
        measured, corrected = recipes.agreement_of_reference(recipes.pearson, REFERENCE, REFERENCE)
        self.assertAlmostEqual(measured, 8 / math.sqrt(112))
        self.assertAlmostEqual(corrected, 8 / math.sqrt(112) / math.sqrt(8 / 11))

    def test_agreement_of_means(self):
        self.assertAlmostEqual(recipes.of_the_mean(0.6, REFERENCE, 1), 0.6)
        self.assertAlmostEqual(recipes.of_the_mean(0.6, REFERENCE, 2),
                               0.6 * math.sqrt(16 / 19) / math.sqrt(8 / 11))
        self.assertIsNone(recipes.of_the_mean(None, REFERENCE, 2))
        self.assertIsNone(recipes.of_the_mean(0.6, [[1, -1], [-1, 1], [0, 0]], 2))

    def test_jackknife_of_a_mean_is_its_standard_error(self):
        def first(table):
            return recipes.mean([row[0] for row in table])

        self.assertAlmostEqual(recipes.jackknife_error(first, [[1], [2], [3], [6]]),
                               math.sqrt(14 / 3 / 4))
        self.assertIsNone(recipes.jackknife_error(first, [[1], [2], [3]]))
        self.assertIsNone(recipes.jackknife_error(lambda table: None, [[1], [2], [3], [6]]))

    def test_compare_has_them_all(self):
        figures = recipes.compare(REFERENCE, REFERENCE, 1, True)
        self.assertAlmostEqual(figures["between_plans"], 2)
        self.assertAlmostEqual(figures["between_seeds"], math.sqrt(1.5))
        pearson = figures["pearson"]
        self.assertAlmostEqual(pearson["in_time"], pearson["one_corrected"])
        self.assertIsNone(pearson["in_time_error"])
        self.assertIsNone(pearson["all_seeds"])
        figures = recipes.compare(SHORT, REFERENCE, 2, False)
        # Means 2.5, 3.5, 5 with 2, 6, 5.5: deviations -7/6, -1/6, 8/6 and -2.5, 1.5, 1.
        self.assertAlmostEqual(figures["pearson"]["all_seeds"],
                               (17.5 - 1.5 + 8) / 6 / math.sqrt(114 / 36 * 9.5))

    def test_median(self):
        self.assertEqual(recipes.median([5, 1, 9]), 5)
        self.assertEqual(recipes.median([4, 1, 9, 2]), 3)


def shown(weight_bits):
    """As `plan show` of four convs whose weights take so many bits."""
    return {"analytic_bits": {"head": 80, "convs": [
        {"conv": conv, "bias_bits": 32, "mask_bits": 5, "weight_bits": weight_bits if conv != 2 else 0,
         "input_bits": 8 if conv != 2 else 0} for conv in range(4)]}}


class Plans(unittest.TestCase):
    def test_memory_is_a_sum_in_whole_bytes(self):
        memory = recipes.Memory({0.5: shown(64), 1.0: shown(128)})
        self.assertEqual(memory.bytes(0, []), 10)
        self.assertEqual(memory.bytes(2, [(3, 0.5)]), math.ceil((80 + 2 * 37 + 72) / 8))
        self.assertEqual(memory.bytes(4, [(1, 0.5), (3, 1.0)]),
                         math.ceil((80 + 4 * 37 + 72 + 136) / 8))
        self.assertNotIn((2, 0.5), memory.weights)

    def test_drawn_plans_have_the_memory_and_are_the_same_again(self):
        convs = [{"conv": conv, "bias_bits": 320, "mask_bits": 96 * (40 - conv), "weight_bits": 0,
                  "input_bits": 0} for conv in range(10, 40)]
        documents = {ratio: {"analytic_bits": {"head": 800, "convs": [
            row | {"weight_bits": int(16000 * ratio), "input_bits": int(800 * ratio)}
            for row in convs]}} for ratio in recipes.RATIOS}
        memory = recipes.Memory(documents)

        def ten():
            draws = recipes.Draws(recipes.SEED)
            return [recipes.draw(memory, 9000, draws) for _ in range(10)]

        drawn = ten()
        self.assertEqual(drawn, ten())
        self.assertGreater(len({str(plan) for plan in drawn}), 5)
        for depth, weights in drawn:
            self.assertTrue(12 <= depth <= 28)
            self.assertTrue(1 <= len(weights) <= 5)
            self.assertEqual(sorted(weights), weights)
            self.assertTrue(all(40 - depth <= conv < 40 for conv, _ in weights))
            self.assertLessEqual(abs(memory.bytes(depth, weights) - 9000), 270)


class Recipes(unittest.TestCase):
    def test_names(self):
        self.assertEqual(recipes.recipe_of("2500x10"),
                         {"images": 2500, "epochs": 10, "head_epochs": 0})
        self.assertEqual(recipes.recipe_of("5000x5-head1")["head_epochs"], 1)
        self.assertEqual(recipes.recipe_of("reference")["images"], 5000)
        self.assertNotIn("learning_rate", recipes.recipe_of("5000x5-head1"))
        self.assertEqual(recipes.recipe_of("5000x5-head1-lr0.05"),
                         {"images": 5000, "epochs": 5, "head_epochs": 1, "learning_rate": 0.05})
        for wrong in ("2500", "x5", "2500x5-head", "2500x5-other", "2500x5-lr", "2500x5-lr0.1-head1"):
            with self.assertRaises(SystemExit):
                recipes.recipe_of(wrong)

    def test_config(self):
        chosen = [{"name": "49KB", "bytes": 7, "n_bias_update": 3, "manual_weight_idx": [1],
                   "weight_update_ratio": [0.5]}]
        config = recipes.sweep_config("net", chosen, "2000x5", 2)
        self.assertEqual(config["plans"]["published"],
                         [{"name": "49KB", "model": "net", "n_bias_update": 3,
                           "manual_weight_idx": [1], "weight_update_ratio": [0.5]}])
        self.assertEqual(config["training"], {"limit_train": 2000, "seeds": [0, 1],
                                              "recipe": {"epochs": 5, "clip": 3}})
        self.assertEqual(recipes.sweep_config("net", chosen, "reference", 3)["training"],
                         {"limit_train": 5000, "seeds": [100, 101, 102],
                          "recipe": {"epochs": 10, "head_epochs": 1, "clip": 3}})


class Sweep:
    """A folder as `espalier sweep` leaves it: what a training reached and took follows from the
    plan's number and the seed."""

    def __init__(self, folder: pathlib.Path, plans: int, seconds: float, collapsed=()):
        self.folder = folder
        for name in ("trials", "plans"):
            (folder / name).mkdir(parents=True)
        self.data = {"train": {"count": 9}, "test": {"count": 4}}
        self.recipe = {"epochs": 5, "clip": 3}
        rows = [{"name": "head-only", "kind": "head_only", "bias_depth": 0,
                 "trainings": [self.run(s, 1.5, 0.4) for s in (1, 0)]}]
        for p in range(plans):
            weights = [{"conv": p, "channels": [0, 2], "ratio": 0.5}]
            self.write(f"plans/net.cifar10.published-p{p}.json", {"weights": weights})
            runs = []
            for s in (1, 0):  # out of order
                self.record(5 + p, weights, s, seconds + p + 10 * s)
                run = self.run(s, 1.5 - 0.1 * p - 0.01 * s * (p % 2), 0.4 + 0.1 * p)
                run["collapsed"] = (p, s) in collapsed
                runs.append(run)
            rows.append({"name": f"published-p{p}", "kind": "published", "bias_depth": 5 + p,
                         "trainings": runs})
        # Of another recipe, another version, and what a killed process leaves.
        self.record(5, [{"conv": 0, "channels": [0, 2]}], 0, 999, recipe={"epochs": 7})
        self.record(5, [{"conv": 0, "channels": [0, 2]}], 0, 999, version="0")
        (folder / "trials" / ("1" * 64 + ".tmp.json")).write_text("{")
        self.write("sweep.json", {
            "tool_version": "1", "recipes": [self.recipe | {"seed": 0}],
            "results": [{"model": {"name": "net", "sha256": "m"}, "dataset": "cifar10",
                         "data": self.data, "plans": rows}]})

    @staticmethod
    def run(seed, loss, accuracy):
        return {"seed": seed, "diverged": False, "collapsed": False, "test_loss": loss,
                "test_accuracy": accuracy}

    def record(self, depth, weights, seed, seconds, recipe=None, version="1"):
        plan = {"bias_depth": depth,
                "weights": [{key: w[key] for key in ("conv", "channels")} for w in weights]}
        inputs = {"tool_version": version, "model": "m", "data": self.data, "plan": plan,
                  "recipe": (recipe or self.recipe) | {"seed": seed}}
        name = f"{len(list((self.folder / 'trials').iterdir())):064x}"
        self.write(f"trials/{name}.json", {"inputs": inputs, "result": {"seconds": seconds}})

    def write(self, name, document):
        (self.folder / name).write_text(json.dumps(document))


class Figures(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.work.name)

    def tearDown(self):
        self.work.cleanup()

    def test_trainings_gain_over_the_head_with_their_seed(self):
        Sweep(self.folder / "s", 2, 30)
        trained = recipes.trainings_of(self.folder / "s")
        self.assertEqual([row["seed"] for row in trained["p1"]], [0, 1])
        self.assertEqual([row["seconds"] for row in trained["p1"]], [31, 41])
        self.assertEqual([row["seconds"] for row in trained["p0"]], [30, 40])
        self.assertAlmostEqual(trained["p1"][1]["loss"], 0.11)
        self.assertAlmostEqual(trained["p1"][0]["accuracy"], 0.1)
        self.assertAlmostEqual(recipes.seconds_of(trained), (35 + 36) / 2)

    def test_plans_that_collapsed_are_left_out_and_tables_have_a_row_a_recipe(self):
        Sweep(self.folder / "reference", 5, 94.0)
        Sweep(self.folder / "2000x5", 5, 30.25, collapsed={(2, 1)})
        trained = {name: recipes.trainings_of(self.folder / name) for name in ("reference", "2000x5")}
        rows = recipes.figures_of(["reference", "2000x5"], trained)
        self.assertEqual(rows[0]["plans"], ["p0", "p1", "p2", "p3", "p4"])
        self.assertEqual(rows[1]["plans"], ["p0", "p1", "p3", "p4"])
        self.assertAlmostEqual(rows[1]["loss_of_loss"]["trainings_in_time"], 101 / 37.25)
        self.assertAlmostEqual(rows[1]["accuracy_of_accuracy"]["pearson"]["one"], 1)
        self.assertAlmostEqual(rows[1]["gained_accuracy"], 0.2)
        document = {"model": "net", "plans": [{}] * 5, "recipes": rows}
        lines = list(recipes.table_lines(document, "loss", "accuracy"))
        self.assertEqual(len(lines), 6)
        self.assertIn("| 2000x5 | 37.25 | 4 of 5 |", lines[-1])
        self.assertEqual({line.count("|") for line in lines[2:]}, {13})

    def test_fewer_than_three_plans_are_refused(self):
        Sweep(self.folder / "reference", 3, 1, collapsed={(0, 0)})
        trained = {"reference": recipes.trainings_of(self.folder / "reference")}
        with self.assertRaises(SystemExit):
            recipes.figures_of(["reference"], trained)


if __name__ == "__main__":
    unittest.main()
