"""Data sets that tensorflow-datasets prepares and reads without TensorFlow, from builders of their own.

Importing this module imports tensorflow-datasets.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.datasets.cifar_builder import CIFAR10
from learned_opt.datasets.image_data import ImageData
from learned_opt.datasets.mnist_builders import MNIST, FashionMNIST
from learned_opt.datasets.source_files import SourceFile

with needed_for("MNIST, Fashion-MNIST and CIFAR-10", "data"):
    import tensorflow_datasets as tfds
    from PIL.PngImagePlugin import PngImageFile
    from tensorflow_datasets.core.utils import tqdm_utils
    from tensorflow_datasets.proto import tf_example_pb2

# protobuf makes its classes at import.
_Example: Any = tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]
_SPLITS = ("train", "test")

BUILDERS: dict[str, Any] = {"mnist": MNIST, "fashion_mnist": FashionMNIST, "cifar10": CIFAR10}


def source_files(name: str) -> list[SourceFile]:
    """The files that a data set is made from, with the sizes and checksums TFDS registers."""
    return [
        SourceFile(info.filename, url, int(info.size), info.checksum)
        for url, info in BUILDERS[name].url_infos.items()
    ]


def prepared_dir(name: str, data_dir: Path) -> Path:
    """Where TFDS keeps the prepared data set: `data_dir/name/version`."""
    return data_dir / name / str(BUILDERS[name].VERSION)


def open_prepared(name: str, data_dir: Path) -> tfds.core.DatasetBuilder | None:
    """The builder of a data set that is complete and in array_record files, else `None`."""
    if not (prepared_dir(name, data_dir) / "dataset_info.json").is_file():
        return None
    builder = BUILDERS[name](data_dir=data_dir)
    if builder.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        return None
    splits = [builder.info.splits.get(split) for split in _SPLITS]
    if not all(split and all(path.is_file() for path in split.filepaths) for split in splits):
        return None
    return builder


def num_examples(name: str, source_dir: Path) -> int:
    """How many examples the source files hold, both splits together."""
    return BUILDERS[name].count(source_dir)


def build(name: str, data_dir: Path, source_dir: Path, on_example: Callable[[], None]) -> None:
    """Writes a data set as array_record files, from checked source files under their registered names.

    TFDS renames a scratch directory at the end, so that nothing half-written ever looks prepared.
    """
    builder = BUILDERS[name](data_dir=data_dir)
    builder.on_example = on_example
    # A directory of its own for each data set, because their file names are the same.
    downloads = data_dir / "downloads" / name
    config = tfds.download.DownloadConfig(
        manual_dir=source_dir, extract_dir=downloads / "extracted", try_download_gcs=False
    )
    with quiet():
        builder.download_and_prepare(
            download_dir=downloads, download_config=config, file_format="array_record"
        )


def read_split(builder: tfds.core.DatasetBuilder, split: str) -> ImageData:
    """Reads and decodes one whole split, "train" or "test", in the order of TFDS."""
    # Raw records: TFDS's own decoding, feature by feature, takes more than twice as long.
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    read: Any = builder.as_data_source  # its decorator hides its signature
    declared: Any = builder.info.features
    source = read(split, deserialize_method=raw)
    pixels, labels = [], []
    for record in source.__getitems__(list(range(len(source)))):
        features = _Example.FromString(record).features.feature
        png = io.BytesIO(features["image"].bytes_list.value[0])
        pixels.append(PngImageFile(png).tobytes())
        labels.append(features["label"].int64_list.value[0])
    return ImageData(
        np.frombuffer(b"".join(pixels), np.uint8).reshape(-1, *declared["image"].shape),
        np.array(labels, np.int32),
    )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences the bars and banners of TFDS, of which there would be six."""
    was_active = tqdm_utils._active
    tfds.display_progress_bar(False)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.display_progress_bar(was_active)
