"""Types of the part that is written in Rust."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn, Union, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "__version__",
    "Error",
    "Features",
    "Run",
    "Evaluation",
    "Extractor",
    "read_features",
    "evaluate",
    "extract",
    "run_program",
]
__version__: str

_Path = Union[str, os.PathLike[str]]
_Integers = Union[NDArray[np.integer[Any]], Sequence[int]]
_Images = Union[_Path, Sequence[_Path], NDArray[np.uint8], Sequence[NDArray[np.uint8]]]
_Precision = Literal["f32", "tf32", "bf16"]
_Progress = Callable[[int, int], object]

class Error(Exception):
    """An error of bcreid. Its text is one line that says what is wrong, where, and how to fix it. An argument of another
    type is Python's TypeError, and a number beyond 64 bits its OverflowError."""

@final
class Features:
    """Features of N images, D values each, with identities, cameras and paths."""

    def __new__(
        cls,
        features: Union[NDArray[np.float32], NDArray[np.float64]],
        pids: _Integers,
        camids: Union[_Integers, None] = None,
        *,
        paths: Union[Sequence[str], None] = None,
        network: Union[str, None] = None,
        mirrored: Union[bool, None] = None,
        pid_names: Union[dict[int, str], None] = None,
        camera_names: Union[dict[int, str], None] = None,
    ) -> Features: ...
    @property
    def features(self) -> NDArray[np.float32]: ...
    @property
    def pids(self) -> NDArray[np.int64]: ...
    @property
    def camids(self) -> NDArray[np.int64]: ...
    @property
    def paths(self) -> list[str]: ...
    @property
    def pid_names(self) -> dict[int, str]: ...
    @property
    def camera_names(self) -> dict[int, str]: ...
    @property
    def about(self) -> dict[str, Union[str, bool, None]]: ...
    @property
    def dim(self) -> int: ...
    def __len__(self) -> int: ...

def read_features(path: _Path) -> Features:
    """Reads a feature file: .safetensors, or .npy with the .csv beside it."""

def evaluate(
    query: Union[Features, _Path],
    gallery: Union[Features, _Path, Sequence[Union[Features, _Path]]],
    *,
    normalise: bool = False,
    count_unmatched: bool = False,
    ignore_cameras: bool = False,
    rerank: bool = False,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    device: str = "auto",
    precision: _Precision = "f32",
) -> dict[str, Any]:
    """Ranks the gallery for every query: CMC, both mAPs and mINP, as `bcreid eval --json` writes them."""

def extract(
    weights: _Path,
    images: _Images,
    *,
    device: str = "auto",
    precision: _Precision = "f32",
    batch: int = 32,
    flip: bool = False,
    progress: Union[_Progress, None] = None,
) -> NDArray[np.float32]:
    """The features of images by the network of a run or a weight file, float32 [N, D], each row of length 1."""

@final
class Extractor:
    """A network on a device that extracts features."""

    def __new__(
        cls,
        weights: _Path,
        *,
        device: str = "auto",
        precision: _Precision = "f32",
        batch: int = 32,
        flip: bool = False,
    ) -> Extractor: ...
    def extract(self, images: _Images, *, progress: Union[_Progress, None] = None) -> NDArray[np.float32]:
        """The features of images, float32 [N, D], each row of length 1."""

    def extract_folder(
        self,
        folder: _Path,
        *,
        bad_images: Literal["refuse", "skip"] = "refuse",
        progress: Union[_Progress, None] = None,
    ) -> Features:
        """The features of all images in a folder, with the identities and cameras that the file names give. With
        bad_images="skip" an unreadable image has no row, and a warning names it."""

    @property
    def dim(self) -> int: ...
    @property
    def device(self) -> str: ...

@final
class Run:
    """The folder of a run. What it reads is kept: another `Run` of the same folder sees later steps."""

    def __new__(cls, path: _Path) -> Run: ...
    @property
    def path(self) -> Path: ...
    @property
    def config(self) -> dict[str, dict[str, Any]]: ...
    @property
    def metrics(self) -> dict[str, NDArray[Any]]: ...
    @property
    def evaluations(self) -> dict[str, Evaluation]: ...
    @property
    def weights(self) -> Union[Path, None]: ...

@final
class Evaluation:
    """A stored evaluation of a run."""

    @property
    def name(self) -> str: ...
    @property
    def images(self) -> list[str]: ...
    @property
    def query(self) -> Features: ...
    @property
    def gallery(self) -> Features: ...
    @property
    def report(self) -> dict[str, Any]: ...
    @property
    def note(self) -> Union[str, None]: ...

def run_program(name: str, line: Sequence[str]) -> NoReturn:
    """Runs a program and ends the process with its exit status."""
