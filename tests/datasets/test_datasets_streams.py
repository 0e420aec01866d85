"""ImageNet and Visual7W from files laid out as the published ones, and their batches by grain."""

import json
import pickle

import numpy as np
import pytest

from learned_opt import datasets
from learned_opt.datasets.streams import decoding, published

NUM_TRAIN = 12


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("tfds")
    with pytest.MonkeyPatch.context() as patch:  # the fourth image is cut short
        whole = published._jpeg
        patch.setattr(
            published, "_jpeg", lambda colours, size, i: whole(colours, size, i)[: 300 if i == 3 else None]
        )
        datasets.write_sample("imagenet2012", data_dir, number=NUM_TRAIN, size=(48, 40))
    return data_dir


def taken(source, number, batch_size=4, **arguments):
    with datasets.batches(source, batch_size=batch_size, **arguments) as found:
        return [batch for batch, _ in zip(found, range(number), strict=False)]


def test_crops_lie_in_the_picture_and_its_middle_is_a_test():
    rng = np.random.default_rng(0)
    for _ in range(50):
        left, upper, right, lower = decoding.random_box((60, 40), rng)
        assert 0 <= left < right <= 60 + 1e-9
        assert 0 <= upper < lower <= 40 + 1e-9
        assert 0.08 * 2400 - 1 <= (right - left) * (lower - upper) <= 2400 + 1
    left, upper, right, lower = decoding.middle((60, 40), 35, 35)
    assert (left, right, upper, lower) == (12.5, 47.5, 2.5, 37.5)


def test_a_box_is_the_same_pixels_at_any_resolution_of_the_decoder():
    from PIL import Image

    smooth = np.linspace(0, 255, 640).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(smooth, (480, 640)).copy()).convert("RGB")
    file = decoding.io.BytesIO()
    image.save(file, format="jpeg", quality=95)
    small = decoding.resized(decoding.opened(file.getvalue()), 16, (320, 0, 640, 480))
    # Columns of a ramp from the middle on, by a decoder that skips seven eighths of the pixels.
    assert np.abs(small[8, :, 0].astype(float) - (127.5 + 127.5 * (np.arange(16) + 0.5) / 16)).max() < 4


def test_images_and_labels_of_imagenet(imagenet):
    source = datasets.LabelledImages("imagenet2012", "train", image_size=16, data_dir=imagenet)
    assert len(source) == NUM_TRAIN
    assert source.num_classes == 1000
    source = pickle.loads(pickle.dumps(source))  # as it gets to other processes
    labels = [int(source.sample(i, None)["label"]) for i in range(4, NUM_TRAIN) if readable(source, i)]
    assert set(labels) == {0, 1, 2, 3}
    assert len(datasets.LabelledImages("imagenet2012", "train[:50%]", data_dir=imagenet)) == NUM_TRAIN // 2


def readable(source, index):
    try:
        return source.sample(index, None)["image"].shape == (16, 16, 3)
    except datasets.UnreadableError:
        return False


def test_a_damaged_image_is_named(imagenet):
    source = datasets.LabelledImages("imagenet2012", "train", image_size=16, data_dir=imagenet)
    (damaged,) = [i for i in range(len(source)) if not readable(source, i)]
    with pytest.raises(datasets.UnreadableError, match=r"n00000003_3\.JPEG"):
        source.sample(damaged, None)


def test_what_is_wrong_with_imagenet_is_named(imagenet, tmp_path):
    with pytest.raises(datasets.DataNotPreparedError, match=f"no imagenet2012 in {tmp_path}.*tfds build"):
        datasets.LabelledImages("imagenet2012", "train", data_dir=tmp_path)
    with pytest.raises(ValueError, match="no split 'test'; it has train, validation"):
        datasets.LabelledImages("imagenet2012", "test", data_dir=imagenet)
    path = datasets.write_sample("imagenet2012", tmp_path, number=2, size=(24, 16))
    (shard,) = path.glob("*-validation.array_record*")
    shard.unlink()
    with pytest.raises(datasets.DataNotPreparedError, match=f"{shard} is missing"):
        datasets.LabelledImages("imagenet2012", "validation", data_dir=tmp_path)


def test_batches_go_on_where_they_stopped_in_any_number_of_processes(imagenet):
    pytest.importorskip("grain")
    source = datasets.LabelledImages("imagenet2012", "train", image_size=8, data_dir=imagenet)
    whole = taken(source, 6, seed=1)
    epoch = np.concatenate([batch["index"] for batch in whole[:3]])
    assert sorted(epoch) == list(range(NUM_TRAIN))
    assert epoch.tolist() != np.concatenate([batch["index"] for batch in whole[3:]]).tolist()
    assert sum(np.sum(~batch["valid"]) for batch in whole) == 2  # the damaged one, twice
    for resumed in (taken(source, 3, seed=1, first=3), taken(source, 3, seed=1, first=3, num_workers=1)):
        for expected, batch in zip(whole[3:], resumed, strict=True):
            assert expected.keys() == batch.keys()
            for name, value in expected.items():
                np.testing.assert_array_equal(batch[name], value)


def test_a_test_sees_every_sample_once_and_the_last_batch_is_filled(imagenet):
    pytest.importorskip("grain")
    source = datasets.LabelledImages("imagenet2012", "validation", image_size=8, data_dir=imagenet)
    found = taken(source, 9, batch_size=2, seed=None)
    assert [batch["index"].tolist() for batch in found] == [[0, 1], [2, -1]]
    np.testing.assert_array_equal(found[0]["image"][1], source.sample(1, None)["image"])


def test_telling_questions(tmp_path):
    path = datasets.write_sample("telling", tmp_path, number=8, size=(32, 24))
    source = datasets.Visual7W(tmp_path, "val", image_size=16, min_count=1)
    assert len(source) == 8
    number = {word: i + 2 for i, word in enumerate(source.words)}
    pair = json.loads(path.read_text())["images"][8]["qa_pairs"][0]
    sample = source.sample(0, None)
    words = ["what", "color", "is", "on", "the", "left"]
    assert sample["question"].tolist() == [number[word] for word in words] + [0] * 9
    right = pair["answer"].lower().rstrip(".")
    assert sample["choices"][sample["answer"]].tolist() == [number[right], 0, 0, 0, 0]
    assert len({int(source.sample(i, None)["answer"]) for i in range(8)}) > 1  # not always at one place
    assert sample["type"] == 0


def test_words_of_training_that_are_rare_or_of_wrong_answers_are_unknown(tmp_path):
    path = datasets.write_sample("telling", tmp_path, number=2, size=(32, 24))
    content = json.loads(path.read_text())
    for image in content["images"]:
        image["qa_pairs"][0] |= {"answer": "Car.", "multiple_choices": ["Van.", "Bus.", "Cab."]}
    content["images"][0]["qa_pairs"][0]["question"] = "Once upon a time?"
    path.write_text(json.dumps(content))
    assert datasets.Visual7W(tmp_path, "test", min_count=2).words == ["car"]
    assert "van" not in datasets.Visual7W(tmp_path, "test", min_count=1).words


def test_pointing_questions(tmp_path):
    datasets.write_sample("pointing", tmp_path, number=2, size=(32, 24))
    source = datasets.Visual7W(tmp_path, "train", kind="pointing", image_size=8)
    sample = source.sample(0, None)
    assert sample["regions"].shape == (4, 8, 8, 3)
    image = decoding.opened((tmp_path / "images" / "v7w_1.jpg").read_bytes()).convert("RGB")
    right = decoding.resized(image, 8, (0, 0, 7, 23))  # the box begins a pixel outside
    np.testing.assert_array_equal(sample["regions"][sample["answer"]], right)


def test_what_is_wrong_with_visual7w_is_named(tmp_path):
    with pytest.raises(datasets.DataNotPreparedError, match=r"dataset_v7w_telling\.json is missing"):
        datasets.Visual7W(tmp_path, "train")
    path = datasets.write_sample("telling", tmp_path, number=2, size=(32, 24))
    (tmp_path / "images" / "v7w_1.jpg").unlink()
    with pytest.raises(ValueError, match="no split 'validation'; it has test, train, val"):
        datasets.Visual7W(tmp_path, "validation")
    with pytest.raises(datasets.UnreadableError, match=r"v7w_1\.jpg: it is missing"):
        datasets.Visual7W(tmp_path, "train").sample(0, None)
    content = json.loads(path.read_text())
    del content["images"][0]["qa_pairs"][0]["multiple_choices"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"not laid out as .* KeyError 'multiple_choices'"):
        datasets.Visual7W(tmp_path, "train")
    path.write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        datasets.Visual7W(tmp_path, "train")


def test_no_pictures_at_all(tmp_path):
    path = datasets.write_sample("telling", tmp_path, number=1, size=(32, 24))
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    with pytest.raises(datasets.DataNotPreparedError, match=f"images has none of the pictures of {path}"):
        datasets.Visual7W(tmp_path, "train")
