"""Files of the user's own: images in arrays, pictures, texts; and the photographs that are always there."""

import numpy as np
import pytest

from learned_opt import datasets, tasks

RNG = np.random.default_rng(0)


def write_arrays(path, **changes):
    arrays = {
        "train_images": RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8),
        "train_labels": np.arange(20, dtype=np.uint8) % 4,
        "test_images": RNG.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8),
        "test_labels": np.arange(8) % 4,
    }
    arrays |= changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return arrays


def test_images_of_ones_own_are_a_data_set(tmp_path):
    path = str(tmp_path / "mine.npz")
    arrays = write_arrays(path)
    data = datasets.load(path, "train[5:]")
    np.testing.assert_array_equal(data.images, arrays["train_images"][5:])
    np.testing.assert_array_equal(data.labels, arrays["train_labels"][5:])
    assert data.labels.dtype == np.int32
    task = tasks.resnet(path, widths=(4,))
    assert task.data.test_images.shape == (8, 8, 8, 3)
    assert task.config.dataset == path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "has no array train_labels"),
        ({"train_images": np.zeros((20, 8, 8), np.uint8)}, r"train_images is uint8\[20, 8, 8\], expected u8"),
        ({"train_labels": np.zeros(19, int)}, r"train_labels is int64\[19\], expected integers \[20\]"),
    ],
)
def test_what_is_wrong_with_arrays_is_named(tmp_path, changes, message):
    path = str(tmp_path / "mine.npz")
    write_arrays(path, **changes)
    with pytest.raises(ValueError, match=message):
        datasets.load(path)


def test_missing_files_are_named(tmp_path):
    for load in (datasets.load, datasets.load_text, lambda name: datasets.load_picture(name, 8)):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
            load("nowhere.npz")


def test_photographs_are_patches_of_two_pictures():
    train, test = (datasets.load("photographs", split) for split in ("train", "test"))
    assert train.images.shape[1:] == (32, 32, 3)
    assert set(train.labels) == set(test.labels) == {0, 1}
    assert len(train.labels) == 2 * 25 * 31
    blue = [train.images[train.labels == i][..., 2].mean() for i in (0, 1)]
    assert blue[0] > 1.2 * blue[1]  # a sky over China, and none behind the flower
    assert not train.images.flags.writeable


def test_a_picture_keeps_its_shape_and_comes_back(tmp_path):
    picture = datasets.load_picture("flower", 40)
    assert picture.shape == (27, 40, 3)
    path = tmp_path / "small.png"
    datasets.save_picture(path, picture / 255)
    np.testing.assert_array_equal(datasets.load_picture(path, 40), picture)
    datasets.save_picture(path, np.full((2, 2, 3), 1.5))
    assert np.all(datasets.load_picture(path, 2) == 255)
    path.write_text("no picture")
    with pytest.raises(ValueError, match="not a picture"):
        datasets.load_picture(path, 8)


def test_rare_characters_share_a_symbol(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("ab" * 10 + "".join(chr(0x4E00 + i) for i in range(300)), encoding="utf-8")
    text = datasets.load_text(str(path))
    assert len(text.characters) == 255
    assert text.symbols[:4].tolist() == [0, 1, 0, 1]
    assert text.symbols.max() == 255
    assert np.sum(text.symbols == 255) == 302 - 255
    path.write_bytes(b"\xff\xfe\xfa")
    datasets.load_text.cache_clear()
    with pytest.raises(ValueError, match="not UTF-8"):
        datasets.load_text(str(path))


def test_characters_of_a_file_are_learned_and_its_end_is_kept_for_the_test(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("Hello, world!\n" * 40, encoding="utf-8")
    task = tasks.characters("lstm", width=4, hidden_size=4, text=str(path))
    assert len(task.data.train) == 504
    assert len(task.data.test) == 56
    assert task.data.train.max() == len(set("Hello, world!\n")) - 1
    with pytest.raises(ValueError, match="length=60"):
        tasks.characters(length=60, text=str(path))
