"""The evidence file of gpu_gate.py: one JSON file that several calls add to, and a log beside it for each stage."""

import fcntl
import json
import os

# Outcomes that say something about the program.
RESULTS = ["passed", "failed"]


class Mismatch(Exception):
    """The file is of another program or machine, or another call is adding to it."""


class Evidence:
    """The file is whole after each check: a call that is killed loses no result of another one.

    `checks` has for each check the last result that passed or failed, or else the last reason why it was not run, in
    the order in which they came first; `earlier` has all others. So a check that passed stays passed when a later call
    is killed or cut off in it.
    """

    # What all results of a file have in common.
    SAME = ["commit", "uncommitted_changes", "bundle", "small", "libraries", "driver", "device"]

    def __init__(self, path, environment):
        """Opens or begins a file. Raises Mismatch if it has results of another program, machine or size."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # The lock ends with the process, in whatever way that ends.
        self.lock = open(path.with_name(path.name + ".lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Mismatch("another call is adding to it; wait for its end") from None
        self.environment = environment
        self.content = {**environment, "checks": [], "earlier": []}
        if path.is_file() and path.stat().st_size > 0:
            try:
                old = json.loads(path.read_text())
                self.compare(old, environment)
                self.content["checks"], self.content["earlier"] = old["checks"], old.get("earlier", [])
                self.content["date"] = old["date"]
            except BaseException:
                self.close()
                raise

    def compare(self, old, new):
        """What was unknown, as no library was found, may be known now: nothing was computed with it."""
        keys = [key for key in self.SAME if key != "libraries"]
        old, new = ({**(of.get("libraries") or {}), **{key: of.get(key) for key in keys}} for of in (old, new))
        for key in {**old, **new}:
            before, now = old.get(key), new.get(key)
            if before is not None and now is None:
                raise Mismatch(
                    f"it has results with {key} {before!r}, and now none is found; nvidia-smi and bcreid doctor say why"
                )
            if before is not None and before != now:
                raise Mismatch(f"it has results with {key} {before!r}, this run has {now!r}; name another file for it")

    def log(self, stage):
        """The file for the whole output of a stage; later calls add to it."""
        return self.path.with_name(f"{self.path.stem}.{stage}.log")

    def order(self, name):
        """0 for a check that no call has reached, 1 for one that began and did not end, 2 for one with a result."""
        calls = [check for check in self.content["checks"] + self.content["earlier"] if check["name"] == name]
        if any(call["outcome"] in RESULTS for call in calls):
            return 2
        return 1 if any(call.get("reached", True) for call in calls) else 0

    def put(self, result):
        """Adds a result, or replaces the same one as it was when it began, and writes the file."""
        checks, earlier = self.content["checks"], self.content["earlier"]
        same = lambda other: (other["name"], other["date"]) == (result["name"], result["date"])
        earlier[:] = [other for other in earlier if not same(other)]
        at = next((i for i, other in enumerate(checks) if other["name"] == result["name"]), None)
        if at is None:
            checks.append(result)
        elif same(checks[at]):
            checks[at] = result
        elif result["outcome"] in RESULTS or checks[at]["outcome"] not in RESULTS:
            earlier.append(checks[at])
            checks[at] = result
        elif result.get("reached", True):
            earlier.append(result)
        draft = self.path.with_name(self.path.name + ".new")
        draft.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(draft, self.path)

    def close(self):
        os.unlink(self.lock.name)
        self.lock.close()
