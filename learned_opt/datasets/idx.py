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
    """Reads a gzipped IDX file of unsigned bytes.

    Args:
        path: the `.gz` file.

    Returns:
        A read-only uint8 array of the shape that the file's header states.

    Raises:
        ValueError: if the content is not IDX of unsigned bytes, or shorter or longer than its
            header states.
        OSError: if the file cannot be read or is not gzip.
        EOFError: if the gzip stream is cut short.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "pair.gz")
        >>> _ = path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])))
        >>> read_idx(path)
        array([7, 9], dtype=uint8)
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
