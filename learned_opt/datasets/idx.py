"""The IDX format, in which MNIST and Fashion-MNIST are distributed.

Big-endian: two zero bytes, one byte for the element type (8: uint8), one for the rank, then each
dimension as an uint32, then the elements in row-major order.
"""

import gzip
import math
import os
from pathlib import Path

import numpy as np

_UINT8 = 0x08


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads a gzipped IDX file of unsigned bytes: a read-only array of the shape that its header states.

    `ValueError` if it is not IDX, or not as long as the header says; `OSError` or `EOFError` if not gzip.
    """
    content = gzip.decompress(Path(path).read_bytes())
    if len(content) < 4 or content[:3] != bytes((0, 0, _UINT8)):
        raise ValueError(
            f"{path} is not an IDX file of unsigned bytes: it starts with "
            f"{content[:4].hex(' ')!r}, not with '00 00 08' and the rank; fetch it again"
        )
    start = 4 + 4 * content[3]
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    if len(shape) != content[3] or len(content) - start != math.prod(shape):
        raise ValueError(
            f"{path} states the shape {shape} and holds {max(len(content) - start, 0)} elements, "
            f"not {math.prod(shape)}; fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
