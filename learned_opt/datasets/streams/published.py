"""Small samples of the large data sets, in exactly the files and formats in which these are published."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.extras import needed_for
from learned_opt.core.paths import user_path
from learned_opt.datasets.streams.visual7w import CHOICES

VISUAL7W = ("telling", "pointing")
COLOURS = {"red": (200, 30, 30), "green": (30, 170, 30), "blue": (40, 40, 200), "yellow": (220, 210, 40)}
SPLITS = ("train", "val", "test")


def write_sample(
    name: Literal["imagenet2012", "telling", "pointing"],
    directory: str | os.PathLike[str],
    *,
    number: int = 32,
    size: tuple[int, int] = (500, 375),
) -> Path:
    """Writes a small made-up data set in a published format, to try a command before the data is there.

    Args:
        name: `"imagenet2012"`, as tensorflow-datasets prepares it, or `"telling"` or `"pointing"`, the two
            kinds of questions of Visual7W.
        directory: of all TFDS data sets; or Visual7W's.
        number: of training images, labelled by their colour, a quarter as many for validation; or of pictures
            for each split, with one question on each.
        size: width and height of the pictures.

    Returns:
        The directory of the data set, or the file of the questions.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
        >>> import tempfile
        >>> path = write_sample("telling", tempfile.mkdtemp(), number=2, size=(32, 24))
        >>> sorted(file.name for file in path.parent.rglob("*") if file.is_file())[:3]
        ['dataset_v7w_telling.json', 'v7w_1.jpg', 'v7w_2.jpg']
    """
    check_at_least(1, number=number)
    directory = user_path(directory).absolute()
    if name == "imagenet2012":
        return _imagenet(directory, {"train": number, "validation": max(1, number // 4)}, size)
    if name not in VISUAL7W:
        raise ValueError(f"name={name!r}: choose imagenet2012, telling or pointing")
    return _visual7w(directory, name, number, size)


def _jpeg(patches: list[tuple[int, int, int]], size: tuple[int, int], seed: int) -> bytes:
    """Patches of colours side by side, under noise."""
    with needed_for("pictures", "data"):
        from PIL import Image

    width, height = size
    bounds = np.arange(width) * len(patches) // width
    clean = np.broadcast_to(np.array(patches)[bounds], (height, width, 3))
    noise = np.random.default_rng(seed).integers(-30, 31, clean.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(clean + noise, 0, 255).astype(np.uint8)).save(file, format="jpeg")
    return file.getvalue()


def _imagenet(data_dir: Path, numbers: dict[str, int], size: tuple[int, int]) -> Path:
    """By the stock builder's features and writer; the archives alone are made up."""
    with needed_for("imagenet2012", "data"):
        import tensorflow_datasets as tfds
        from tensorflow_datasets.datasets.imagenet2012 import imagenet2012_dataset_builder

        from learned_opt.datasets.builders import quiet
    stock = imagenet2012_dataset_builder.Builder

    class Builder(imagenet2012_dataset_builder.Builder, skip_registration=True):
        name = "imagenet2012"
        pkg_dir_path: Any = stock._get_pkg_dir_path()

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            del dl_manager
            return {split: self._records(number) for split, number in numbers.items()}

        def _records(self, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
            for i in range(number):
                name, label = f"n{i % len(COLOURS):08}_{i}.JPEG", i % len(COLOURS)
                image = io.BytesIO(_jpeg([list(COLOURS.values())[label]], size, i))
                yield name, {"image": image, "label": label, "file_name": name}

    config = tfds.download.DownloadConfig(manual_dir=data_dir, try_download_gcs=False)
    builder = Builder(data_dir=data_dir)
    with quiet():
        builder.download_and_prepare(download_config=config, file_format="array_record")
    return Path(builder.data_path)


def _visual7w(directory: Path, kind: str, number: int, size: tuple[int, int]) -> Path:
    """Stripes of four colours; the question is for one of them by its place, or for its place."""
    (directory / "images").mkdir(parents=True, exist_ok=True)
    names, rng = list(COLOURS), np.random.default_rng(0)
    images, boxes = [], []
    for i, split in enumerate((split for split in SPLITS for _ in range(number)), 1):
        order = rng.permutation(CHOICES)
        patches = [COLOURS[names[k]] for k in order]
        (directory / "images" / f"v7w_{i}.jpg").write_bytes(_jpeg(patches, size, i))
        first = names[order[0]]
        pair: dict[str, Any] = {"qa_id": i, "image_id": i}
        if kind == "telling":
            others = [f"{names[k].capitalize()}." for k in order[1:]]
            pair |= {"type": "what", "question": "What color is on the left?"}
            pair |= {"answer": f"{first.capitalize()}.", "multiple_choices": others}
        else:
            ids = [CHOICES * i + k for k in range(CHOICES)]
            width = size[0] // CHOICES
            for k, box in enumerate(ids):  # some boxes of the data set begin a pixel outside, as these do
                place = {"x": k * width - 1, "y": -1, "width": width, "height": size[1]}
                boxes.append({"box_id": box, "name": f"{names[order[k]]} stripe", **place})
            pair |= {"type": "which", "question": f"Which stripe is {first}?"}
            pair |= {"answer": ids[0], "multiple_choices": ids[1:]}
        images.append({"image_id": i, "filename": f"v7w_{i}.jpg", "split": split, "qa_pairs": [pair]})
    content: dict[str, Any] = {"dataset": f"visual7w-{kind}", "images": images}
    if kind == "pointing":
        content["boxes"] = boxes
    path = directory / f"dataset_v7w_{kind}.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
