"""ImageNet as tensorflow-datasets prepares it, read record by record without TensorFlow.

Reference:
    Russakovsky et al., ImageNet large scale visual recognition challenge, IJCV 2015.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.extras import needed_for
from learned_opt.datasets.errors import DataNotPreparedError
from learned_opt.datasets.preparation import resolve_data_dir
from learned_opt.datasets.streams.decoding import pixels
from learned_opt.datasets.streams.source import Sample, UnreadableError


class LabelledImages:
    """Images and labels of any size of data set that tensorflow-datasets keeps in array_record files.

    Nothing is held in memory. `imagenet2012` and `imagenet_resized/64x64` are such data sets, and so is every
    other one with the features `image` (JPEG or PNG) and `label`. They are prepared once, by
    `tfds build NAME --file_format=array_record --manual_dir DIR`, for which tensorflow-datasets needs
    TensorFlow; reading them does not.

    Args:
        name: of the data set, with its configuration.
        split: of it, such as `"train"`, `"validation"` or `"train[:1%]"`.
        image_size: pixels of a side, after cropping.
        data_dir: of all TFDS data sets; by default `TFDS_DATA_DIR`, or else `~/tensorflow_datasets`.

    Raises:
        DataNotPreparedError: if the data set is not there, is in another format, or lacks a file, which is
            named.
        ValueError: if it has no such split, or no images and labels.

    Example:
        >>> LabelledImages("imagenet2012", "train", data_dir="/nowhere")
        Traceback (most recent call last):
        ...
        learned_opt.datasets.errors.DataNotPreparedError: there is no imagenet2012 in /nowhere; ...

    Reference:
        Russakovsky et al., ImageNet large scale visual recognition challenge, IJCV 2015.
    """

    def __init__(
        self,
        name: str,
        split: str,
        *,
        image_size: int = 224,
        data_dir: str | os.PathLike[str] | None = None,
    ):
        check_at_least(1, image_size=image_size)
        with needed_for(name, "data"):
            import tensorflow_datasets as tfds

        self.path = _version(resolve_data_dir(data_dir), name)
        builder = tfds.builder_from_directory(self.path)
        _check(builder, self.path, split, tfds.core.FileFormat.ARRAY_RECORD)
        read: Any = builder.as_data_source  # its decorator hides its signature
        declared: Any = builder.info.features
        self._records = read(split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES)
        self.name, self.split, self.image_size = name, split, image_size
        self.num_classes: int = declared["label"].num_classes
        self.remedy = f"prepare {name} anew in place of {self.path}"

    def __len__(self) -> int:
        """How many images the split has."""
        return len(self._records)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """An image and its label.

        Args:
            index: of the record.
            rng: chooses a crop and whether it is mirrored; the middle of the image if `None`.

        Returns:
            `image` u8[image_size, image_size, 3] and `label` i32[].

        Raises:
            UnreadableError: naming the record.
        """
        name = f"record {index} of {self.split} in {self.path}"
        try:
            features = _example().FromString(self._records[index]).features.feature
            (content,), (label,) = features["image"].bytes_list.value, features["label"].int64_list.value
        except Exception as error:  # whatever protobuf and array_record raise on damaged files
            raise UnreadableError(f"{name}: it is damaged ({type(error).__name__})") from error
        if file_name := features["file_name"].bytes_list.value:
            name += f", {file_name[0].decode()}"
        try:
            return {"image": pixels(content, self.image_size, rng), "label": np.int32(label)}
        except UnreadableError as error:
            raise UnreadableError(f"{name}: {error}") from error


def _example() -> Any:
    from tensorflow_datasets.proto import tf_example_pb2

    return tf_example_pb2.Example  # pyright: ignore[reportAttributeAccessIssue]


def _version(root: Path, name: str) -> Path:
    """The directory of the newest prepared version."""
    found = {
        tuple(map(int, path.parent.name.split("."))): path.parent
        for path in root.glob(f"{name}/*/dataset_info.json")
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.name)
    }
    if not found:
        raise DataNotPreparedError(
            f"there is no {name} in {root}; prepare it with `tfds build {name} --file_format=array_record "
            f"--data_dir {root}`, or give the data_dir that holds it"
        )
    return found[max(found)]


def _check(builder: Any, path: Path, split: str, array_record: Any) -> None:
    """Whether a split can be read, and holds images."""
    if builder.info.file_format is not array_record:
        raise DataNotPreparedError(
            f"{path} holds {builder.info.file_format.value} files, which cannot be read without TensorFlow; "
            "`tfds convert_format --out_file_format=array_record` makes others of them"
        )
    base = split.partition("[")[0]
    if base not in builder.info.splits:
        raise ValueError(f"{path} has no split {base!r}; it has {', '.join(builder.info.splits)}")
    for file in builder.info.splits[base].filepaths:
        if not Path(file).is_file():
            raise DataNotPreparedError(f"{file} is missing; put it back, or prepare {path} anew")
    if missing := {"image", "label"} - set(builder.info.features):
        raise ValueError(f"{path / 'features.json'} has no {min(missing)!r}: no data set of labelled images")
