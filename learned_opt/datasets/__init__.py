"""Real data for optimizees, read through tensorflow-datasets without TensorFlow.

`"digits"` and `"photographs"` come with scikit-learn and are always there. `"mnist"`, `"fashion_mnist"` and
`"cifar10"` are built once with `prepare` (or `learned-opt prepare-data`) and then read from array_record
files; images of one's own are read from .npz files. Nothing heavy is imported before a data set is asked for.
`LabelledImages` and `Visual7W` are read from the disk while a network trains, in `batches` by grain.
`load_patches` gives grey patches of natural images, `load_picture` a single picture, `load_text` a text.
"""

from learned_opt.datasets.errors import DataNotPreparedError, DataSourceError
from learned_opt.datasets.image_data import ImageData
from learned_opt.datasets.loading import load
from learned_opt.datasets.patches import load_patches
from learned_opt.datasets.pictures import load_picture, save_picture
from learned_opt.datasets.preparation import is_prepared, names, prepare
from learned_opt.datasets.streams.batches import batches
from learned_opt.datasets.streams.imagenet import LabelledImages
from learned_opt.datasets.streams.published import write_sample
from learned_opt.datasets.streams.source import Source, UnreadableError
from learned_opt.datasets.streams.visual7w import Visual7W
from learned_opt.datasets.text import Text, docstrings, load_text

__all__ = [
    "DataNotPreparedError",
    "DataSourceError",
    "ImageData",
    "LabelledImages",
    "Source",
    "Text",
    "UnreadableError",
    "Visual7W",
    "batches",
    "docstrings",
    "is_prepared",
    "load",
    "load_patches",
    "load_picture",
    "load_text",
    "names",
    "prepare",
    "save_picture",
    "write_sample",
]
