"""The evidence file of gpu_gate.py: one JSON file that several calls add to, and a log beside it for each stage."""

import json
import os


class Mismatch(Exception):
    """The file is of another program or machine."""


class Evidence:
    """The file is whole after each check: a call that is killed loses no result of another one.

    `checks` has the last result of each check, in the order of the first ones; `earlier` has those that were run again.
    """

    # What all results of a file have in common.
    SAME = ["commit", "uncommitted_changes", "device", "small"]

    def __init__(self, path, environment):
        """Opens or begins a file. Raises Mismatch if it has results of another commit, device or size."""
        self.path = path
        self.content = {**environment, "checks": [], "earlier": []}
        if path.is_file() and path.stat().st_size > 0:
            old = json.loads(path.read_text())
            for key in self.SAME:
                if old.get(key) != environment.get(key):
                    raise Mismatch(
                        f"{path} has results with {key} {old.get(key)!r}, this run has {environment.get(key)!r}; "
                        "name another file for it"
                    )
            self.content["checks"], self.content["earlier"] = old["checks"], old.get("earlier", [])
            self.content["date"] = old["date"]

    def log(self, stage):
        """The file for the whole output of a stage; later calls add to it."""
        return self.path.with_name(f"{self.path.stem}.{stage}.log")

    def put(self, result):
        """Adds a result and writes the file. An earlier result of the same check is kept among the earlier ones."""
        checks = self.content["checks"]
        for i, other in enumerate(checks):
            if other["name"] == result["name"]:
                # A check that was begun in this call has no result yet.
                if other["date"] != result["date"]:
                    self.content["earlier"].append(other)
                checks[i] = result
                break
        else:
            checks.append(result)
        draft = self.path.with_name(self.path.name + ".new")
        draft.write_text(json.dumps(self.content, indent=1) + "\n")
        os.replace(draft, self.path)
