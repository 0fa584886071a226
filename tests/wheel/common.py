"""What the tests of the package share: the folder with a run, made by tests/wheel/main.rs, and the program without
Python."""

import os
import signal
import sys
from pathlib import Path

# A background job ignores Ctrl-C, and Python then leaves it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

FOLDER = Path(os.environ["BCREID_TEST_FOLDER"])
SET = FOLDER / "set"
RUN = FOLDER / "run"
# The program that cargo builds, and those of the installed wheel.
PROGRAM = Path(os.environ["BCREID_TEST_PROGRAM"])
INSTALLED = Path(sys.executable).parent / "bcreid"
INSTALLED_CONVERTER = Path(sys.executable).parent / "bcreid-convert"
