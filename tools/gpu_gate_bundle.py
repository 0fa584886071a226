"""The bundle of gpu_gate.py: how it is made, whether it is whole, and where its programs look for its files."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARGEST = 60e6
# What the executables read at the place where they were built.
SOURCES = ["tests/golden", "cuda", "tools/softcuda", "benches", "configs"]
TESTS = ["ops", "cuda_libraries", "device"]
# The files whose tests are true of a GPU; the others are about the stand-ins.
STEMS = {
    "cuda_libraries": ["convolution", "product", "batchnorm"],
    "device": ["runs", "bits", "streams", "evaluation", "batchnorm"],
}
# Of the kernels' tests those that plant errors into host builds: they say nothing of a GPU, and compile for minutes.
ON_HOST = ["planted"]
DESCRIPTION = "bundle.json"


class Unusable(Exception):
    """Why a bundle cannot be used here."""


def built(*arguments):
    """Runs cargo; yields its messages."""
    command = [os.environ.get("CARGO", "cargo"), *arguments, "--message-format=json-render-diagnostics"]
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    except FileNotFoundError:
        sys.exit("gpu_gate: no cargo on PATH; the bundle is built where cargo is, and run where the GPU is")
    if done.returncode:
        sys.exit(f"gpu_gate: {' '.join(command)} failed")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def stems(binary, name):
    """The tests of an executable, by the file that they are in."""
    listed = subprocess.run([binary, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    tests = {}
    for line in listed.splitlines():
        if line.endswith(": test"):
            test = line.removesuffix(": test")
            tests.setdefault(test.split("::")[0], []).append(test)
    return {stem: tests[stem] for stem in STEMS.get(name, tests) if stem not in ON_HOST}


def digest_of(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def digest_of_all(digests):
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def make(folder, chip):
    """Builds, and packs what the checks need into `folder`."""
    if folder.exists() and not (folder / DESCRIPTION).is_file() and any(folder.iterdir()):
        sys.exit(f"gpu_gate: {folder} is there and is no bundle; name a folder that is empty or not there")
    if chip:
        os.environ["BCREID_CUDA_ARCHS"] = chip
    tests = [name for name in TESTS if (ROOT / "tests" / name / "main.rs").is_file()]
    messages = built("build", "--release", "--bin", "bcreid")
    messages += built("test", "--release", "--no-run", *(word for name in tests for word in ("--test", name)))
    messages += built("bench", "--no-run", "--bench", "kernels")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "bin").mkdir(parents=True)
    # By the place where an executable looks for it: what lies there in the bundle, and the digest of a file as built.
    places = {str(ROOT): ["repo", None]}
    by_stem = {}
    for message in messages:
        name = message.get("target", {}).get("name")
        if message.get("executable") and name in ["bcreid", "kernels", *tests]:
            if name in tests:
                by_stem[name] = stems(message["executable"], name)
            copy = folder / "bin" / name
            shutil.copy2(message["executable"], copy)
            subprocess.run(["strip", copy], check=True)
            if name == "bcreid":
                places[message["executable"]] = ["bin/bcreid", digest_of(pathlib.Path(message["executable"]))]
        for variable, value in message.get("env") or []:
            if variable == "BCREID_LAB_FATBIN":
                shutil.copy2(value, folder / "lab.fatbin")
                places[value] = ["lab.fatbin", digest_of(folder / "lab.fatbin")]
    git = lambda *words: subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout.strip()
    # With those that are not committed yet, as the executables have them.
    for file in git("ls-files", "--cached", "--others", "--exclude-standard", "--", *SOURCES).splitlines():
        if (ROOT / file).is_file():
            (folder / "repo" / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, folder / "repo" / file)
    for file in ["gpu-gate.sh", *(path.name for path in ROOT.glob("tools/gpu_gate*.py") if "test" not in path.name)]:
        shutil.copy2(ROOT / "tools" / file, folder / file)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    description = {
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain")),
        "stems": by_stem,
        "places": places,
        "scratch": str((ROOT / target).resolve() / "tmp"),
        "files": {str(file.relative_to(folder)): digest_of(file) for file in files},
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=1) + "\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size / 1e6:.1f} MB")
    if size > LARGEST:
        sys.exit(f"gpu_gate: more than {LARGEST / 1e6:.0f} MB; --chip NUMBER packs the kernels of one chip only")


class Bundle:
    def __init__(self, folder):
        self.folder = folder.resolve()
        if not (self.folder / DESCRIPTION).is_file():
            raise Unusable(f"{folder} is no bundle; gpu-gate.sh bundle makes one")
        self.about = json.loads((self.folder / DESCRIPTION).read_text())
        # What tells two bundles of one commit apart: uncommitted changes, chips, compilers.
        self.digest = digest_of_all(self.about["files"])

    def must_be_whole(self):
        """Compares each file with its digest: a copy may have lost some, or the permission to run them."""
        for file, digest in self.about["files"].items():
            path = self.folder / file
            if not path.is_file() or digest_of(path) != digest:
                what = "differs from what was packed" if path.is_file() else "is missing"
                raise Unusable(f"the bundle is damaged: {file} {what}; copy it again, or make it anew")
            if file.startswith("bin/") and not os.access(path, os.X_OK):
                path.chmod(0o755)

    def link_places(self):
        """The executables know the folder they were built in: makes it lead to the bundle's files."""
        for place, (inside, as_built) in self.about["places"].items():
            place, target = pathlib.Path(place), self.folder / inside
            try:
                # A link of another bundle, which may be gone.
                if place.is_symlink() and place.resolve() != target.resolve():
                    place.unlink()
                if not place.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(target)
            except OSError as error:
                raise Unusable(
                    f"the tests look for their files in {place}, which cannot be made a link to {target}: {error}; "
                    "make it, or run the gate as a user who may, or in a container"
                ) from error
            if place.resolve() == target.resolve():
                continue
            for file, digest in self.about["files"].items():
                if file == inside or file.startswith(inside + "/"):
                    there = place / file.removeprefix(inside).lstrip("/")
                    if not there.is_file() or digest_of(there) not in [digest, as_built]:
                        what = "has changed since then" if there.is_file() else "is not there"
                        raise Unusable(
                            f"the bundle was built in {place}, which is on this machine and which its tests read, and "
                            f"{there} {what}; make the bundle anew, or move {place} away"
                        )
        pathlib.Path(self.about["scratch"]).mkdir(parents=True, exist_ok=True)
