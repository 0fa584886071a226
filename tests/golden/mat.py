"""Writes mat.mat and mat_packed.mat: MATLAB files by SciPy, for the reader of MARS's lists."""
from pathlib import Path

import numpy as np
from scipy.io import savemat

here = Path(__file__).parent
rows = np.array([[1, 16, 1, 1], [17, 300, -1, 6], [301, 70000, 1501, 2]], dtype=np.float64)
savemat(here / "mat.mat", {"other": "text", "track_test_info": rows, "cell": np.array([1, "a"], dtype=object)})
savemat(here / "mat_packed.mat", {"query_IDX": np.array([[1, 2, 70000]], dtype=np.int32)}, do_compression=True)
