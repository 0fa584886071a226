"""A program with types, for `mypy --strict`; it is not run."""

from pathlib import Path
from typing import Optional

import bcreid
import numpy as np
from numpy.typing import NDArray


def last_loss(folder: Path) -> float:
    return float(bcreid.Run(folder).metrics["loss"][-1])


def rank1(query: bcreid.Features, gallery: str) -> float:
    report = bcreid.evaluate(query, [gallery, query], normalise=True, rerank=True, lambda_=0.3, device="cpu")
    value: float = report["rank1"]
    return value


def features(weights: str, crops: list[NDArray[np.uint8]], files: list[Path]) -> NDArray[np.float32]:
    def progress(done: int, total: int) -> None:
        print(done, total)

    extractor = bcreid.Extractor(weights, batch=16, flip=True)
    own: NDArray[np.float32] = extractor.extract(crops, progress=progress)
    folder: bcreid.Features = extractor.extract_folder("images", bad_images="skip")
    more = bcreid.extract(weights, files, precision="bf16")
    return np.concatenate([own, more, folder.features])


def notes(folder: str) -> list[Optional[str]]:
    try:
        return [evaluation.note for evaluation in bcreid.Run(folder).evaluations.values()]
    except bcreid.Error as error:
        return [str(error)]


made = bcreid.Features(np.eye(2, dtype=np.float32), [1, 2], camids=np.array([0, 1]), paths=["a", "b"])
pids: NDArray[np.int64] = made.pids
names: dict[int, str] = bcreid.Features(np.eye(2), [1, 2], pid_names={1: "eva"}).pid_names
read: bcreid.Features = bcreid.read_features("f.safetensors")
