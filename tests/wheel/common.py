"""What the tests of the package share: the folder with a run, made by tests/wheel/main.rs, and the program without
Python."""

import os
import sys
from pathlib import Path

FOLDER = Path(os.environ["BCREID_TEST_FOLDER"])
SET = FOLDER / "set"
RUN = FOLDER / "run"
# The program that cargo builds, and those of the installed wheel.
PROGRAM = Path(os.environ["BCREID_TEST_PROGRAM"])
INSTALLED = Path(sys.executable).parent / "bcreid"
INSTALLED_CONVERTER = Path(sys.executable).parent / "bcreid-convert"
