"""Batches of a source by grain: shuffled by index, read ahead, a function of the seed and their number."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.extras import needed_for
from learned_opt.datasets.streams.source import Sample, Source, UnreadableError

AHEAD = 2  # batches that a process reads ahead
PADDING = -1  # the index of what fills the last batch of a test


@contextlib.contextmanager
def batches(
    source: Source,
    *,
    batch_size: int,
    seed: int | None = 0,
    first: int = 0,
    num_workers: int = 0,
    num_threads: int = 2,
) -> Iterator[Iterator[dict[str, np.ndarray]]]:
    """The batches of a source, stacked samples; read ahead in threads, or in processes of their own.

    For training the samples are shuffled anew in every epoch, and cropped and mirrored as the source does it,
    without an end. Which samples a batch has, and how they are cropped, depends on the seed and the batch's
    number alone: a run that stops after batch n goes on with `first=n`, with any number of processes.

    Args:
        source: of the samples.
        batch_size: samples in a batch.
        seed: of the order and the crops; `None` for one epoch in order without crops, for tests.
        first: the number of the first batch.
        num_workers: processes that read; 0 for threads of this one.
        num_threads: in each process.

    Yields:
        An iterator of batches: the source's arrays with a leading axis, `index` i32[batch_size] of the
        samples, -1 for those that fill the last batch of a test, and `valid` bool[batch_size], whether a
        sample could be read. What could not is zero.

    Raises:
        ImportError: if grain is missing.
        ValueError: if a number is out of its range, or the source is empty.

    Example:
        >>> class Squares:
        ...     remedy = "nothing"
        ...
        ...     def __len__(self):
        ...         return 5
        ...
        ...     def sample(self, index, rng):
        ...         return {"square": np.int32(index**2)}
        >>> with batches(Squares(), batch_size=3, seed=None) as found:
        ...     for batch in found:
        ...         print(batch["square"].tolist(), batch["valid"].tolist())
        [0, 1, 4] [True, True, True]
        [9, 16, 0] [True, True, False]
    """
    check_at_least(1, batch_size=batch_size, num_threads=num_threads)
    check_at_least(0, first=first, num_workers=num_workers)
    if not len(source):
        raise ValueError("the source has no samples")
    with needed_for("a pipeline of images", "large"):
        import grain
        from absl import flags

    if not flags.FLAGS.is_parsed():  # grain's processes ask for absl's flags, which nobody has set
        flags.FLAGS.mark_as_parsed()
    blank = _blank(source)
    if seed is None:
        padded = -(-len(source) // batch_size) * batch_size
        found = grain.MapDataset.range(padded).map(_Test(source, blank))
    else:
        shuffled = grain.MapDataset.range(len(source)).seed(seed).shuffle().repeat()
        found = shuffled.random_map(_Training(source, blank))
    found = found.batch(batch_size, drop_remainder=True).slice(slice(first, None))
    read = grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=max(AHEAD, num_threads))
    found = found.to_iter_dataset(read)
    if num_workers:
        workers = grain.MultiprocessingOptions(num_workers=num_workers, per_worker_buffer_size=AHEAD)
        found = found.mp_prefetch(workers)
    iterator = iter(found)
    try:
        yield iterator
    finally:
        iterator.close()


def blank_batch(source: Source, batch_size: int) -> dict[str, np.ndarray]:
    """A batch of zeros, for shapes and dtypes."""
    sample = _blank(source)
    return {name: np.zeros((batch_size, *value.shape), value.dtype) for name, value in sample.items()}


class _Training:
    def __init__(self, source: Source, blank: Sample):
        self.source, self.blank = source, blank

    def __call__(self, index: int, rng: np.random.Generator) -> dict[str, Any]:
        return _read(self.source, self.blank, index, rng)


class _Test:
    def __init__(self, source: Source, blank: Sample):
        self.source, self.blank = source, blank

    def __call__(self, index: int) -> dict[str, Any]:
        if index >= len(self.source):
            return {**self.blank, "index": np.int32(PADDING), "valid": np.False_}
        return _read(self.source, self.blank, index, None)


def _read(source: Source, blank: Sample, index: int, rng: np.random.Generator | None) -> dict[str, Any]:
    try:
        sample, valid = source.sample(index, rng), np.True_
    except UnreadableError:
        sample, valid = blank, np.False_
    return {**sample, "index": np.int32(index), "valid": valid}


def _blank(source: Source) -> Sample:
    """Zeros in place of a sample."""
    error = None
    for index in range(min(len(source), 100)):
        try:
            return {name: np.zeros_like(value) for name, value in source.sample(index, None).items()}
        except UnreadableError as problem:
            error = error or problem
    raise ValueError(f"none of the first samples can be read: {error}; {source.remedy}") from error
