"""Images as small vectors, for networks of a few hundred parameters."""

from collections.abc import Callable

import numpy as np


def principal_components(images: np.ndarray, num_components: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function of images that gives their first principal components, all divided by one deviation.

    Args:
        images: u8[n, ...], whose components these are; their mean square is 1.
        num_components: how many.

    Returns:
        `features(images) -> f32[m, num_components]`.

    Raises:
        ValueError: if images have fewer pixels than that, or `num_components` is below 1.
    """
    pixels = _flat(images)
    if not 1 <= num_components <= pixels.shape[1]:
        raise ValueError(f"num_components={num_components!r}: give one from 1 to {pixels.shape[1]}, or None")
    mean = pixels.mean(0)
    values, vectors = np.linalg.eigh(np.cov(pixels, rowvar=False))
    basis = vectors[:, ::-1][:, :num_components] / np.sqrt(values[::-1][:num_components].mean())
    return lambda images: ((_flat(images) - mean) @ basis).astype(np.float32)


def _flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float64) / 255
