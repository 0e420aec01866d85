"""Reading a data set, or a slice of it, into memory."""

import functools
import os
import re
from pathlib import Path

from learned_opt.core.errors import unknown_name
from learned_opt.datasets.arrays import load_arrays
from learned_opt.datasets.digits import load_digits
from learned_opt.datasets.errors import DataNotPreparedError
from learned_opt.datasets.image_data import ImageData
from learned_opt.datasets.patches import load_photographs
from learned_opt.datasets.preparation import check_name, prepare_command, resolve_data_dir

_SPLITS = ("train", "test")
_EMBEDDED = {"digits": load_digits, "photographs": load_photographs}
_BOUND = r"(-?\d+%?)?"
_SPLIT_PATTERN = re.compile(rf"(\w+)(?:\[{_BOUND}:{_BOUND}\])?")


def load(name: str, split: str = "train", data_dir: str | os.PathLike[str] | None = None) -> ImageData:
    """Loads images and labels into host memory.

    A split is read from disk once in a process; further calls and slices share its memory.

    Args:
        name: one of `names()`, or the path of an .npz file with arrays of your own: `train_images` and
            `test_images`, u8[n, height, width, channels], `train_labels` and `test_labels`, integers [n].
        split: `"train"` or `"test"`, or a slice of one as TFDS spells it: `"train[:50000]"`,
            `"train[50000:]"`, `"test[-10%:]"`. Percentages round to the nearest image.
        data_dir: of all TFDS data sets; by default `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.

    Returns:
        uint8 images `[num_images, height, width, channels]` and int32 labels `[num_images]`, both
        read-only. 8x8 images for `"digits"`, 28x28 for `"mnist"` and `"fashion_mnist"`, one
        channel each; 32x32 in colour for `"cifar10"` and `"photographs"`, patches of two photographs that are
        labelled by which. The order is fixed and mixes the classes, but for files, where it is theirs.

    Raises:
        ValueError: for an unknown name or split, a slice that is empty or reaches beyond the split, or a file
            without one of the arrays; it is named.
        FileNotFoundError: if there is no such file.
        DataNotPreparedError: if the data set has not been prepared in that directory, or has
            been damaged since.

    Example:
        >>> data = load("digits", "train[:100]")
        >>> data.images.shape, data.images.dtype, data.labels.dtype
        ((100, 8, 8, 1), dtype('uint8'), dtype('int32'))
    """
    is_file = name.endswith(".npz")
    if not is_file:
        check_name(name)
    match = _SPLIT_PATTERN.fullmatch(split)
    if match is None:
        raise ValueError(
            f"cannot read the split {split!r}; write 'train', 'test', or a slice such as "
            "'train[:50000]' or 'test[10%:20%]'"
        )
    whole, start, stop = match.groups()
    if whole not in _SPLITS:
        raise unknown_name(f"split of {name}", whole, _SPLITS)
    images, labels = _load_whole(name, whole, resolve_data_dir(None if is_file else data_dir))
    first = _position(start, len(labels), default=0)
    last = _position(stop, len(labels), default=len(labels))
    if not 0 <= first < last <= len(labels):
        raise ValueError(
            f"the split {split!r} means images {first} to {last} of {name}, of which there are "
            f"{len(labels)}; it must select at least one and none beyond the last"
        )
    return ImageData(images[first:last], labels[first:last])


def _position(bound: str | None, length: int, default: int) -> int:
    """Turns one end of a slice into a position: `"50"`, `"-50"`, `"10%"`, `"-10%"` or nothing."""
    if not bound:
        return default
    number = int(bound.rstrip("%"))
    position = round(length * number / 100) if bound.endswith("%") else number
    return position + length if position < 0 else position


@functools.lru_cache(maxsize=8)
def _load_whole(name: str, split: str, root: Path) -> ImageData:
    if name.endswith(".npz"):
        data = load_arrays(name, split)
    elif name in _EMBEDDED:
        data = _EMBEDDED[name]()[split]
    else:
        data = _load_prepared(name, split, root)
    for array in data:
        array.flags.writeable = False
    return data


def _load_prepared(name: str, split: str, root: Path) -> ImageData:
    from learned_opt.datasets import builders

    command = f"  {prepare_command(name, root)} [--manual-dir DIR]"
    builder = builders.open_prepared(name, root)
    if builder is None:
        raise DataNotPreparedError(f"{name} is not prepared in {root}. Prepare it once with\n{command}")
    try:
        return builders.read_split(builder, split)
    except RuntimeError as error:  # the records carry checksums
        raise DataNotPreparedError(
            f"{builder.data_path} is damaged: {error}. Remove that directory and run\n{command}"
        ) from error
