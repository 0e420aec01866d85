"""Single pictures: a file of the user's, or one of the two photographs that scikit-learn carries."""

import os

import numpy as np

from learned_opt.core.extras import needed_for
from learned_opt.core.paths import user_path
from learned_opt.datasets.patches import PHOTOGRAPHS, photographs


def load_picture(picture: str | os.PathLike[str], size: int) -> np.ndarray:
    """A picture in colour, scaled to a size.

    Args:
        picture: the path of a file in any format that Pillow reads, or `"china"` or `"flower"`.
        size: pixels of the longer side.

    Returns:
        u8[height, width, 3].

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is no picture, or `size` is below 1.

    Example:
        >>> load_picture("china", 64).shape
        (43, 64, 3)
    """
    with needed_for("pictures", "data"):
        from PIL import Image, UnidentifiedImageError

    if size < 1:
        raise ValueError(f"size={size!r}: it must be at least 1")
    if picture in PHOTOGRAPHS:
        image = Image.fromarray(photographs()[PHOTOGRAPHS.index(str(picture))])
    else:
        path = user_path(picture)
        if not path.is_file():
            raise FileNotFoundError(
                f"{picture}: there is no such picture; give a file, or one of {', '.join(PHOTOGRAPHS)}"
            )
        try:
            image = Image.open(path).convert("RGB")
        except UnidentifiedImageError as error:
            raise ValueError(f"{picture} is not a picture that Pillow can read") from error
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def save_picture(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Writes a picture, in the format of the path's ending.

    Args:
        path: of the file.
        pixels: f[height, width, 3], from 0 to 1; clipped to that.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "white.png")
        >>> save_picture(path, np.ones((4, 6, 3)))
        >>> load_picture(path, 6).shape
        (4, 6, 3)
    """
    with needed_for("pictures", "data"):
        from PIL import Image

    levels = np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(levels).save(user_path(path))
