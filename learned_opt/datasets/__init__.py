"""Real data for optimizees, read through tensorflow-datasets without TensorFlow.

`"digits"` and `"photographs"` come with scikit-learn and are always there. `"mnist"`, `"fashion_mnist"` and
`"cifar10"` are built once with `prepare` (or `learned-opt prepare-data`) and then read from array_record
files; images of one's own are read from .npz files. Nothing heavy is imported before a data set is asked for.
`load_patches` gives grey patches of natural images, `load_picture` a single picture, `load_text` a text.
"""

from learned_opt.datasets.errors import DataNotPreparedError, DataSourceError
from learned_opt.datasets.image_data import ImageData
from learned_opt.datasets.loading import load
from learned_opt.datasets.patches import load_patches
from learned_opt.datasets.pictures import load_picture, save_picture
from learned_opt.datasets.preparation import is_prepared, names, prepare
from learned_opt.datasets.text import Text, docstrings, load_text

__all__ = [
    "DataNotPreparedError",
    "DataSourceError",
    "ImageData",
    "Text",
    "docstrings",
    "is_prepared",
    "load",
    "load_patches",
    "load_picture",
    "load_text",
    "names",
    "prepare",
    "save_picture",
]
