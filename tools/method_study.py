#!/usr/bin/env python3
"""The study behind the defaults of the batch-contrastive loss: tools/method_study.py OUT

It answers, with `bcreid sweep` and `bcreid reproduce` alone, what the paper leaves open: the margin tau, whether the
loss is a sum or a mean over the batch, the gradient, the rate of the centers. docs/method.md has the tables and what
follows from them.

    tools/method_study.py OUT                     every cell, choosing on held-out persons
    tools/method_study.py OUT --cells made-up/pretrained omniglot/nsfw
    tools/method_study.py OUT --table             the tables of what is there, as Markdown; with --methods: of the methods
    tools/method_study.py OUT --test              the comparison on the test part, once, with the chosen settings
    tools/method_study.py OUT --methods           losses and necks of other methods on the test part; nothing is chosen

A cell is a data set and a start. Every sweep is a folder of OUT and goes on where it was stopped. Needs python3 and a
release build; `--omniglot DIR` names the Omniglot set in the Market-1501 layout, `--nsfw FILE` the converted weights
of open_nsfw (tools/get-open-nsfw.sh). Cells whose inputs are absent are left out, and the script says so.
"""

import argparse
import json
import math
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LAMBDAS = ["0.00390625", "0.015625", "0.0625", "0.25", "1", "4", "16"]
FEW_LAMBDAS = ["0.0625", "0.25", "1", "4"]
TAUS = "0.1,0.2,0.5,0.7,1.4"
# The starts of a set that get every lambda.
WHOLE = {"made-up": ["pretrained", "nsfw", "random"], "omniglot": ["pretrained"]}

# Fine-tuning in the paper's proportions: batch 16, rate 0.01 divided by 10 at 40 % and 80 % of the iterations.
FINE = ["solver.batch=16", "solver.lr=0.01", "model.dropout=0.5"]
INPUT = {
    "made-up": ["input.height=64", "input.width=32"],
    # A mirrored character is another character.
    "omniglot": ["data.flip=false", "data.pad=4", "data.crop=true", "data.pad_mode=edge"],
}
SIZE = {
    ("omniglot", "pretrained"): ["input.height=64", "input.width=64"],
    ("omniglot", "nsfw"): ["input.height=48", "input.width=48"],
    ("omniglot", "random"): ["input.height=64", "input.width=64"],
}
RANDOM = {
    "made-up": ["model.arch=slim", "solver.lr=0.03"],
    "omniglot": ["model.arch=resnet50", "model.width=16"],
}
ITERATIONS = {"pretrained": 400, "nsfw": 400, "random": 1000}
# The methods of --methods: one rate, length and network for all, PK batches of 8 x 4, and each loss with the weight and
# margin of its recipe (configs/), or of the paper.
PK = ["solver.batch=32", "data.sampler=pk", "data.pk_images=4", "data.pk_order=images"]
METHODS = {
    "baseline": ("softmax", "[loss.batch_contrastive]\nweight = 0"),
    "batch-contrastive": ("softmax + batch-contrastive (sum, the paper's)", ""),
    "batch-contrastive-mean": (
        "softmax + batch-contrastive (mean)", "[loss.batch_contrastive]\nreduction = \"mean\"",
    ),
    "triplet": (
        "softmax + batch-hard triplet",
        "[loss.batch_contrastive]\nweight = 0\n[loss.triplet]\nweight = 1\nmargin = 0.3",
    ),
    "circle": (
        "softmax + circle",
        "[loss.batch_contrastive]\nweight = 0\n"
        "[loss.circle]\nweight = 0.03125\nmargin = 0.25\ngamma = 32\nscope = \"batch\"",
    ),
    "neck": (
        "softmax behind a neck", "[model]\nneck = \"batchnorm\"\n[loss.batch_contrastive]\nweight = 0",
    ),
    "neck-batch-contrastive": (
        "softmax behind a neck + batch-contrastive (mean) before it",
        "[model]\nneck = \"batchnorm\"\n[loss.batch_contrastive]\nfeature = \"pool5\"\nreduction = \"mean\"",
    ),
}
CELLS = [(s, start) for start in ITERATIONS for s in INPUT]
HELD_OUT = {"made-up": "128", "omniglot": "80"}


class Study:
    def __init__(self, options):
        self.out, self.bcreid, self.options = options.out, options.bcreid, options
        self.out.mkdir(parents=True, exist_ok=True)

    def call(self, *arguments, log):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            done = subprocess.run([self.bcreid, *map(str, arguments)], stdout=file, stderr=subprocess.STDOUT)
        if done.returncode:
            raise SystemExit(f"bcreid {arguments[0]} failed; see {log}")

    def data(self, name):
        """The folder of a data set, made at the first call."""
        if name == "made-up":
            return self.drawn("made-up", seed=0)
        # Even persons to train on; the odd ones are those of the pre-training.
        return self.half("omniglot-even", 0)

    def drawn(self, folder, seed):
        if not (self.out / folder).is_dir():
            self.call("synth", "--out", self.out / folder, "--seed", seed, log=self.out / "log" / f"{folder}.txt")
        return self.out / folder

    def half(self, folder, odd):
        target = self.out / folder
        if not target.is_dir():
            whole, part = Path(self.options.omniglot), self.out / (folder + ".part")
            shutil.rmtree(part, ignore_errors=True)
            for test in ["query", "bounding_box_test"]:
                shutil.copytree(whole / test, part / test)
            (part / "bounding_box_train").mkdir()
            for image in sorted((whole / "bounding_box_train").iterdir()):
                if int(image.name.split("_")[0]) % 2 == odd:
                    shutil.copy(image, part / "bounding_box_train")
            part.rename(target)
        return target

    def start(self, name, start):
        """The weights that a cell starts from; softmax pre-training is on persons that the cell does not know."""
        if start == "random":
            return None
        if start == "nsfw":
            return Path(self.options.nsfw)
        run = self.out / f"pretraining-{name}"
        weights = run / "weights.safetensors"
        if not weights.is_file():
            other = self.drawn("other-persons", seed=1) if name == "made-up" else self.half("omniglot-odd", 1)
            config = "demo" if name == "made-up" else "omniglot"
            settings = ["loss.batch_contrastive.weight=0"] + (INPUT["made-up"] if name == "made-up" else [])
            begun = ["--resume"] if run.is_dir() else []
            self.call(
                "train", "--threads", "1", "--data", other, "--config", ROOT / "configs" / f"{config}.toml",
                *sets(settings), "--out", run, *begun, log=self.out / "log" / f"{run.name}.txt",
            )
        return weights

    def is_there(self, name, start):
        if name == "omniglot" and not self.options.omniglot:
            return "no --omniglot"
        if start == "nsfw" and not self.options.nsfw:
            return "no --nsfw"
        return None

    def common(self, name, start):
        """Data, start and settings of a cell."""
        n = ITERATIONS[start]
        settings = FINE + INPUT[name] + SIZE.get((name, start), [])
        settings += [f"solver.iterations={n}", f"solver.lr_milestones=[{2 * n // 5}, {4 * n // 5}]"]
        if start == "random":
            settings += RANDOM[name]
        weights = self.start(name, start)
        given = ["--weights", weights] if weights else []
        return ["--threads", "1", "--data", self.data(name), *given, *sets(settings)]

    def sweeps(self, name, start):
        """(folder, settings, swept) of a cell, the most telling first."""
        full, alone = ["loss.batch_contrastive.tau=0.3"], ["--baseline", "none"]
        lambdas = ",".join(["0", *(LAMBDAS if start in WHOLE[name] else FEW_LAMBDAS)])
        sweeps = [("lambda-tau1", ["loss.batch_contrastive.tau=1"], ["--lambda", lambdas]),
                  ("lambda-tau03", full, ["--lambda", lambdas])]
        if start != "random" and (name, start) != ("omniglot", "nsfw"):
            sweeps += [("tau-lambda1", ["loss.batch_contrastive.weight=1"], ["--tau", TAUS, *alone])] + self.variants(full, alone)
        if (name, start) == ("made-up", "nsfw"):
            # 400 iterations from these weights end before the loss settles.
            long = ["solver.iterations=1600", "solver.lr_milestones=[640, 1280]"]
            sweeps += [("ramp100", [*full, "loss.batch_contrastive.warmup=100"], ["--lambda", "0.25,1", *alone]),
                       ("long-tau03", [*full, *long], ["--lambda", "0,0.25,1"]),
                       ("long-tau1", ["loss.batch_contrastive.tau=1", *long], ["--lambda", "1", *alone])]
        if (name, start) == ("made-up", "pretrained"):
            sweeps += [("tau-lambda16th", ["loss.batch_contrastive.weight=0.0625"], ["--tau", TAUS, *alone]),
                       ("pk-tau1", ["loss.batch_contrastive.tau=1", "data.sampler=pk"], ["--lambda", "0.0625,1", *alone])]
        return sweeps

    @staticmethod
    def variants(full, alone):
        """The method's other open places."""
        large = ["solver.batch=64", "solver.iterations=200", "solver.lr_milestones=[80, 160]"]
        return [
            ("gradient-exact", [*full, "loss.batch_contrastive.gradient=exact"], ["--lambda", "0.0625,0.25,1", *alone]),
            ("centers", full, ["--center-rate", "0,0.1,1,tied", *alone]),
            ("dropout09", [*full, "model.dropout=0.9"], ["--lambda", "0,0.0625,1"]),
            ("pk", [*full, "data.sampler=pk"], ["--lambda", "0,0.0625,1"]),
            ("batch64", [*full, *large], ["--lambda", "0,0.015625,0.0625,0.25,1"]),
        ]

    def sweep(self, cell, folder, settings, swept):
        name, start = cell
        out = self.out / name / start / folder
        if (out / "result.json").is_file():
            return
        arguments = ["sweep", *self.common(name, start), *sets(settings), *swept, "--runs", self.options.seeds]
        log = self.out / "log" / f"{name}-{start}-{folder}.txt"
        self.call(*arguments, "--validation", HELD_OUT[name], "--out", out, log=log)
        print(f"{name}/{start}/{folder}: done", flush=True)

    def choose(self, cells):
        for name, start in cells:
            self.data(name), self.start(name, start)
        jobs = [(cell, *sweep) for cell in cells for sweep in self.sweeps(*cell)]
        with ThreadPoolExecutor(self.options.jobs) as pool:
            for done in [pool.submit(self.sweep, *job) for job in jobs]:
                done.result()

    def test(self, cells):
        for name, start in cells:
            out = self.out / name / start / "test"
            log = self.out / "log" / f"{name}-{start}-test.txt"
            self.call("reproduce", "market1501", *self.common(name, start), *sets(self.options.set),
                      "--runs", self.options.seeds, "--out", out, log=log)
            print((out / "table.md").read_text())

    def methods(self, cells):
        """Every method of METHODS on the test part."""
        recipes = self.out / "methods"
        recipes.mkdir(exist_ok=True)
        for method, (title, settings) in METHODS.items():
            (recipes / f"{method}.toml").write_text(f"# {title}: see tools/method_study.py.\n{settings}\n")
        named = ",".join(f"{method}={recipes / method}.toml" for method in METHODS)
        for name, start in cells:
            self.data(name), self.start(name, start)

        def run(cell):
            name, start = cell
            out = self.out / name / start / "methods"
            log = self.out / "log" / f"{name}-{start}-methods.txt"
            self.call("reproduce", "market1501", *self.common(name, start), *sets(PK), *sets(self.options.set),
                      "--methods", named, "--runs", self.options.seeds, "--out", out, log=log)
            print(f"{name}, {start}\n{(out / 'table.md').read_text()}", flush=True)

        with ThreadPoolExecutor(self.options.jobs) as pool:
            list(pool.map(run, cells))

    def table_of_methods(self, cells):
        """Rank-1 and mAP of every method, a column for each cell."""
        columns = []
        for name, start in cells:
            result = self.out / name / start / "methods" / "result.json"
            recipes = json.loads(result.read_text())["recipes"] if result.is_file() else []
            columns.append({recipe["name"]: recipe["summary"] for recipe in recipes})
        print(f"| method | {' | '.join(f'{name}, {start}' for name, start in cells)} |")
        print("|---" * (1 + len(cells)) + "|")
        for method, (title, _) in METHODS.items():
            found = [column.get(method) for column in columns]
            figures = ["not run" if own is None else f"{percent(own['rank1'])} / {percent(own['map_market'])}"
                       for own in found]
            print(f"| {title} | {' | '.join(figures)} |")

    def table(self, cells):
        for name, start in cells:
            for folder, settings, _ in self.sweeps(name, start):
                result = self.out / name / start / folder / "result.json"
                if not result.is_file():
                    continue
                print(f"\n{name}, {start}: {', '.join(settings)}\n")
                print("| setting | rank-1 | mAP |\n|---|---|---|")
                found = json.loads(result.read_text())
                summaries = {recipe["name"]: recipe["summary"] for recipe in found["recipes"]}
                for point in found["points"]:
                    what = ", ".join(f"{setting['key']} {shown(setting['value'])}" for setting in point["values"])
                    figures = [percent(summaries[point["recipe"]][key]) for key in ["rank1", "map_market"]]
                    print(f"| {what} | {' | '.join(figures)} |")


def sets(settings):
    return [word for setting in settings for word in ["--set", setting]]


def shown(value):
    """1/16 rather than 0.0625."""
    try:
        number = float(value)
    except ValueError:
        return value
    inverse = 1 / number if number else 0
    return f"1/{inverse:.0f}" if inverse > 1 and math.log2(inverse).is_integer() else value


def percent(figure):
    deviation = figure["deviation"]
    return f"{100 * figure['mean']:.1f}" + (f" ± {100 * deviation:.1f}" if deviation is not None else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of all runs")
    parser.add_argument("--bcreid", default=ROOT / "target" / "release" / "bcreid", help="the program")
    parser.add_argument("--omniglot", help="Omniglot in the Market-1501 layout")
    parser.add_argument("--nsfw", help="open_nsfw's weights, converted")
    parser.add_argument("--cells", nargs="+", default=["/".join(cell) for cell in CELLS], metavar="SET/START")
    parser.add_argument("--seeds", type=int, default=3, help="runs of every recipe (default 3)")
    parser.add_argument("--jobs", type=int, default=2, help="sweeps at a time, one thread each (default 2)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for --test and --methods")
    parser.add_argument("--test", action="store_true", help="baseline and full loss on the test part")
    parser.add_argument("--methods", action="store_true", help="other methods on the test part")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    options = parser.parse_args()
    study = Study(options)
    cells = [tuple(cell.split("/")) for cell in options.cells]
    for cell in cells:
        if cell not in CELLS:
            parser.error(f"{'/'.join(cell)}: the cells are {', '.join('/'.join(cell) for cell in CELLS)}")
    if options.table:
        return study.table_of_methods(cells) if options.methods else study.table(cells)
    absent = {cell: study.is_there(*cell) for cell in cells}
    for cell, why in absent.items():
        if why:
            print(f"{'/'.join(cell)}: left out, {why}", file=sys.stderr)
    there = [cell for cell in cells if not absent[cell]]
    if options.methods:
        return study.methods(there)
    return study.test(there) if options.test else study.choose(there)


if __name__ == "__main__":
    main()
