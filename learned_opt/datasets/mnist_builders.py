"""The MNIST family as tensorflow-datasets builds it, without TensorFlow.

The stock builder needs TensorFlow twice: to decompress the source files and to encode the images
as PNG. The subclass here reads the IDX files with numpy and hands TFDS finished PNG bytes. Keys,
features, version and order of the examples are those of the stock builder, so that
`tfds.data_source("mnist")` reads the result and slices name the same images.

Importing this module imports tensorflow-datasets.
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from learned_opt.core.extras import needed_for
from learned_opt.datasets.errors import DataSourceError
from learned_opt.datasets.idx import read_idx

with needed_for("MNIST and Fashion-MNIST", "data"):
    from PIL import Image
    from tensorflow_datasets.image_classification import mnist

_FILE_PREFIXES = {"train": "train", "test": "t10k"}


class MNIST(mnist.MNIST, skip_registration=True):
    """MNIST from its four IDX files, encoded by Pillow."""

    name = "mnist"
    # TFDS would look for a subclass's checksums beside the subclass.
    url_infos: Any = mnist.MNIST.url_infos
    on_example: Callable[[], None] = staticmethod(lambda: None)

    @staticmethod
    def count(source_dir: Path) -> int:
        """How many examples the source files hold, both splits together."""
        prefixes = _FILE_PREFIXES.values()
        return sum(len(read_idx(source_dir / f"{prefix}-labels-idx1-ubyte.gz")) for prefix in prefixes)

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        paths = dl_manager.download({info.filename: url for url, info in self.url_infos.items()})
        return {
            split: self._generate_examples(
                paths[f"{prefix}-images-idx3-ubyte.gz"], paths[f"{prefix}-labels-idx1-ubyte.gz"]
            )
            for split, prefix in _FILE_PREFIXES.items()
        }

    def _generate_examples(self, image_path: Path, label_path: Path) -> Iterator[Any]:
        images, labels = read_idx(image_path), read_idx(label_path)
        if len(images) != len(labels):
            raise DataSourceError(
                f"{image_path} holds {len(images)} images, but {label_path} holds {len(labels)} "
                "labels; fetch both again"
            )
        for key, (image, label) in enumerate(zip(images, labels, strict=True)):
            png = io.BytesIO()
            Image.fromarray(image).save(png, format="png")
            self.on_example()
            yield key, {"image": png.getvalue(), "label": int(label)}


class FashionMNIST(MNIST, skip_registration=True):
    """Fashion-MNIST: other files and class names, the same format."""

    name = "fashion_mnist"
    URL = mnist.FashionMNIST.URL
    url_infos: Any = mnist.FashionMNIST.url_infos
    _info = mnist.FashionMNIST._info
