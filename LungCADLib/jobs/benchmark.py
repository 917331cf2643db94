"""Which way a volume should travel to the worker: an uncompressed NRRD file, or shared memory.

`python -m LungCADLib.jobs.benchmark` prints the quickest of several turns, so that other work on the machine counts
little: 512 x 512 x 300 voxels of int16, given by this process and taken by another.
"""

import json
import subprocess
import sys
import tempfile
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from LungCADLib.jobs.volume import Volume
from LungCADLib.scan import Geometry

SHAPE = (300, 512, 512)
TURNS = 7

# Both sum the voxels up, so that every byte has really arrived, and say how long that took without the imports.
_TAKE_FILE = """
import json, sys, time
import numpy as np, SimpleITK as sitk
started = time.perf_counter()
array = sitk.GetArrayFromImage(sitk.ReadImage(sys.argv[1]))
print(json.dumps([time.perf_counter() - started, int(array.sum(dtype=np.int64))]))
"""
_TAKE_MEMORY = """
import json, sys, time
import numpy as np
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
started = time.perf_counter()
memory = SharedMemory(sys.argv[1])
# Before Python 3.13 whoever opens shared memory also removes it at its end (python/cpython#82300).
resource_tracker.unregister(memory._name, "shared_memory")
array = np.ndarray(tuple(json.loads(sys.argv[2])), np.int16, memory.buf).copy()
print(json.dumps([time.perf_counter() - started, int(array.sum(dtype=np.int64))]))
"""


def by_file(values: NDArray[np.int16]) -> tuple[float, float, int]:
    """Seconds to hand a volume over and to take it, and the sum of the voxels that arrived: as a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "volume.nrrd"
        started = time.perf_counter()
        for _ in Volume(values, Geometry(SHAPE, (1.0, 0.7, 0.7))).write(path):
            pass
        given = time.perf_counter() - started
        return given, *_taken(_TAKE_FILE, str(path))


def by_memory(values: NDArray[np.int16]) -> tuple[float, float, int]:
    """Seconds to hand a volume over and to take it, and the sum of the voxels that arrived: in shared memory."""
    started = time.perf_counter()
    memory = SharedMemory(create=True, size=values.nbytes)
    try:
        np.ndarray(values.shape, values.dtype, memory.buf)[...] = values
        given = time.perf_counter() - started
        return given, *_taken(_TAKE_MEMORY, memory.name, json.dumps(values.shape))
    finally:
        memory.close()
        memory.unlink()


def _taken(code: str, *arguments: str) -> tuple[float, int]:
    answer = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    seconds, total = json.loads(answer.stdout)
    return seconds, total


def main() -> None:
    """Measure both ways and print the quickest turns."""
    values = np.random.default_rng(0).integers(-1024, 1500, SHAPE, np.int16)
    wanted = int(values.sum(dtype=np.int64))
    for name, way in (("uncompressed NRRD", by_file), ("shared memory", by_memory)):
        turns = [way(values) for _ in range(TURNS)]
        assert all(total == wanted for *_, total in turns)
        given, taken = (min(turn[i] for turn in turns) for i in (0, 1))
        sys.stdout.write(f"{name}: {values.nbytes / 2**20:.0f} MiB, given in {given:.3f} s, taken in {taken:.3f} s\n")


if __name__ == "__main__":
    main()
