"""Real data for optimizees, read through tensorflow-datasets without TensorFlow.

`"digits"` come with scikit-learn and are always there. `"mnist"` and `"fashion_mnist"` are built
once with `prepare` (or `learned-opt prepare-data`) and then read from array_record files. Nothing
heavy is imported before a data set is asked for. `load_patches` gives patches of natural images.
"""

from learned_opt.datasets.errors import DataNotPreparedError, DataSourceError
from learned_opt.datasets.image_data import ImageData
from learned_opt.datasets.loading import load
from learned_opt.datasets.patches import load_patches
from learned_opt.datasets.preparation import is_prepared, names, prepare
from learned_opt.datasets.text import docstrings

__all__ = [
    "DataNotPreparedError",
    "DataSourceError",
    "ImageData",
    "docstrings",
    "is_prepared",
    "load",
    "load_patches",
    "names",
    "prepare",
]
