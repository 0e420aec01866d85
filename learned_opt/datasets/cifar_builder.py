"""CIFAR-10 as tensorflow-datasets builds it, without TensorFlow.

The stock builder needs TensorFlow to unpack the archive and to encode the images as PNG. The subclass here
reads the archive with `tarfile` and hands TFDS finished PNG bytes. Keys, features, version and order of the
examples are those of the stock builder, so that `tfds.data_source("cifar10")` reads the result.

Importing this module imports tensorflow-datasets.
"""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.datasets.errors import DataSourceError

with needed_for("CIFAR-10", "data"):
    from PIL import Image
    from tensorflow_datasets.image_classification import cifar

_SIDE = 32
_RECORD = 1 + 3 * _SIDE**2  # a label, then the red, the green and the blue pixels


class CIFAR10(cifar.Cifar10, skip_registration=True):
    """CIFAR-10 from its archive of binary files, encoded by Pillow."""

    name = "cifar10"
    # TFDS would look for a subclass's checksums beside the subclass.
    url_infos: Any = cifar.Cifar10.url_infos
    on_example: Callable[[], None] = staticmethod(lambda: None)

    @staticmethod
    def count(source_dir: Path) -> int:
        """How many examples there are, both splits together; to count them takes as long as to read them."""
        del source_dir
        return 60_000

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        (path,) = dl_manager.download(list(self.url_infos))
        info = self._cifar_info
        names = _read(path, info.prefix + info.label_files[0]).decode().split("\n")
        features: Any = self.info.features
        features["label"].names = [name for name in names if name]
        return {
            "train": self._generate_examples("train_", [(path, name) for name in info.train_files]),
            "test": self._generate_examples("test_", [(path, name) for name in info.test_files]),
        }

    def _generate_examples(self, split_prefix: str, filepaths: Any) -> Iterator[Any]:
        index = 0
        for path, name in filepaths:
            content = np.frombuffer(_read(path, self._cifar_info.prefix + name), np.uint8)
            if content.size % _RECORD:
                raise DataSourceError(
                    f"{name} in {path} has {content.size} bytes, no multiple of the {_RECORD} of an image; "
                    "fetch the archive again"
                )
            for record in content.reshape(-1, _RECORD):
                png = io.BytesIO()
                pixels = record[1:].reshape(3, _SIDE, _SIDE).transpose(1, 2, 0)
                Image.fromarray(np.ascontiguousarray(pixels)).save(png, format="png")
                self.on_example()
                features = {
                    "id": f"{split_prefix}{index:05d}",
                    "image": png.getvalue(),
                    "label": int(record[0]),
                }
                yield index, features
                index += 1


def _read(path: Path, member: str) -> bytes:
    with tarfile.open(path) as archive:
        try:
            file = archive.extractfile(member)
        except KeyError:
            file = None
        if file is None:
            raise DataSourceError(f"{path} holds no {member}; fetch the archive again")
        return file.read()
