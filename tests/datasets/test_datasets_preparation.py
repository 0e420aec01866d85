import contextlib
import functools
import gzip
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from learned_opt import datasets
from learned_opt.datasets import builders

ROOT = Path(__file__).parents[2]
FILE_NAMES = {
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
}


def files_under(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


def assert_holds(name, data_dir, miniature):
    """The loaded images are those of the source, each with its label, in another order."""
    for split, prefix in {"train": "train", "test": "t10k"}.items():
        images = miniature.arrays[f"{prefix}-images-idx3-ubyte.gz"]
        labels = miniature.arrays[f"{prefix}-labels-idx1-ubyte.gz"]
        data = datasets.load(name, split, data_dir=data_dir)
        assert data.images.shape == (len(labels), 28, 28, 1)
        assert data.images.dtype == np.uint8
        assert data.labels.dtype == np.int32
        order = data.images[:, 0, 0, 0]
        assert sorted(order) == list(range(len(labels)))
        assert order.tolist() != sorted(order)
        np.testing.assert_array_equal(data.images[..., 0], images[order])
        np.testing.assert_array_equal(data.labels, labels[order])


def test_prepare_and_load(mnist, data_dir, capfd):
    assert not datasets.is_prepared("mnist", data_dir=data_dir)
    directory = datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert directory == data_dir / "mnist" / "3.0.1"
    assert datasets.is_prepared("mnist", data_dir=data_dir)
    assert_holds("mnist", data_dir, mnist)
    assert capfd.readouterr() == ("", "")
    info = json.loads((directory / "dataset_info.json").read_text())
    assert info["fileFormat"] == "array_record"
    part = datasets.load("mnist", "train[40:]", data_dir=data_dir)
    assert part.images.shape == (10, 28, 28, 1)


def test_the_directory_comes_from_the_environment(mnist, data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    assert datasets.prepare("mnist", mnist.source_dir) == data_dir / "mnist" / "3.0.1"
    assert datasets.is_prepared("mnist")
    assert len(datasets.load("mnist").labels) == 50


def test_tfds_reads_the_result(mnist, data_dir):
    import tensorflow_datasets as tfds

    datasets.prepare("mnist", mnist.source_dir, data_dir)
    builder = tfds.builder_from_directory(data_dir / "mnist" / "3.0.1")
    expected = datasets.load("mnist", "train[10:20]", data_dir=data_dir)
    for index, example in enumerate(builder.as_data_source("train[10:20]")):
        np.testing.assert_array_equal(example["image"], expected.images[index])
        assert example["label"] == expected.labels[index]


def test_equal_file_names_are_not_mixed_up(mnist, fashion_mnist, data_dir):
    datasets.prepare("mnist", mnist.source_dir, data_dir)
    datasets.prepare("fashion_mnist", fashion_mnist.source_dir, data_dir)
    assert_holds("mnist", data_dir, mnist)
    assert_holds("fashion_mnist", data_dir, fashion_mnist)


def test_the_second_call_does_nothing(mnist, data_dir):
    directory = datasets.prepare("mnist", mnist.source_dir, data_dir)
    before = {path: path.stat().st_mtime_ns for path in files_under(data_dir)}
    started = time.monotonic()
    assert datasets.prepare("mnist", "/no/such/directory", data_dir) == directory
    assert time.monotonic() - started < 0.5
    assert {path: path.stat().st_mtime_ns for path in files_under(data_dir)} == before


def test_the_source_directory_is_only_read(mnist, data_dir):
    before = {path: path.read_bytes() for path in files_under(mnist.source_dir)}
    datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert {path: path.read_bytes() for path in files_under(mnist.source_dir)} == before


def test_one_progress_bar(mnist, data_dir, capfd):
    datasets.prepare("mnist", mnist.source_dir, data_dir, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "preparing mnist" in err
    assert "100%" in err
    assert "split" not in err.lower()


@pytest.mark.parametrize("num_done", [0, 30, 60])
def test_an_interrupted_preparation_leaves_nothing(mnist, data_dir, monkeypatch, num_done):
    def interrupt(*args, **kwargs):
        nonlocal num_done
        num_done -= 1
        if num_done < 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rich.progress.Progress.advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert not datasets.is_prepared("mnist", data_dir=data_dir)
    assert files_under(data_dir) == []
    with pytest.raises(datasets.DataNotPreparedError):
        datasets.load("mnist", data_dir=data_dir)
    datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert_holds("mnist", data_dir, mnist)


# Prepares and loads in a process of its own; `on_example` is a statement to run for each example.
SCRIPT = """
import os, sys
from pathlib import Path
from tensorflow_datasets.core.download import checksums
from learned_opt import datasets
from learned_opt.datasets import builders

source, data_dir = sys.argv[1:3]
builder = builders.BUILDERS["mnist"]
infos = [checksums.compute_url_info(path) for path in Path(source).iterdir()]
builder.url_infos = {{builder.URL + info.filename: info for info in infos}}
count = 0
def on_example(*args):
    global count
    count += 1
    {on_example}
import rich.progress
rich.progress.Progress.advance = on_example
datasets.prepare("mnist", source, data_dir)
assert count == 70, count
assert len(datasets.load("mnist", data_dir=data_dir).labels) == 50
assert len(datasets.load("digits").labels) == 1437
print("tensorflow" in sys.modules)
"""


def run_script(mnist, data_dir, on_example="pass", path=()):
    return subprocess.run(
        [sys.executable, "-c", SCRIPT.format(on_example=on_example), mnist.source_dir, data_dir],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, path)])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_killed_preparation_does_not_look_prepared(mnist, data_dir):
    kill = "count == 60 and os.kill(os.getpid(), 9)"
    assert run_script(mnist, data_dir, on_example=kill).returncode == -9
    assert files_under(data_dir) != []  # what was being written stays behind, under another name
    assert not datasets.is_prepared("mnist", data_dir=data_dir)
    datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert_holds("mnist", data_dir, mnist)


def test_tensorflow_is_never_imported(mnist, data_dir, tmp_path):
    # An importable stand-in, because the import of a package that is missing leaves no trace.
    (tmp_path / "stand_in" / "tensorflow").mkdir(parents=True)
    (tmp_path / "stand_in" / "tensorflow" / "__init__.py").touch()
    result = run_script(mnist, data_dir, path=[tmp_path / "stand_in"])
    assert result.stdout.strip() == "False", result.stderr


def test_another_process_may_finish_first(mnist, data_dir, tmp_path, monkeypatch):
    build = builders.build

    def build_late(name, data_dir, source_dir, on_example):
        build(name, tmp_path / "other", source_dir, on_example)
        (data_dir / name).mkdir(parents=True)
        shutil.move(tmp_path / "other" / name / "3.0.1", data_dir / name)
        raise OSError("Directory not empty")

    monkeypatch.setattr(builders, "build", build_late)
    datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert_holds("mnist", data_dir, mnist)


def damage_missing(source_dir):
    (source_dir / "t10k-labels-idx1-ubyte.gz").unlink()
    return ["t10k-labels-idx1-ubyte.gz: missing"]


def damage_truncated(source_dir):
    path = source_dir / "train-images-idx3-ubyte.gz"
    expected = builders.source_files("mnist")
    [expected] = [file for file in expected if file.name == path.name]
    path.write_bytes(path.read_bytes()[:100])
    return [
        f"train-images-idx3-ubyte.gz: expected sha256 {expected.sha256} ({expected.size} bytes), "
        "found sha256 ",
        "(100 bytes)",
    ]


def damage_removed(source_dir):
    shutil.rmtree(source_dir)
    return ["no such directory"]


@pytest.mark.parametrize("damage", [damage_missing, damage_truncated, damage_removed])
def test_bad_source_files_are_refused_before_anything_is_written(mnist, data_dir, damage):
    fragments = damage(mnist.source_dir)
    with pytest.raises(datasets.DataSourceError) as error:
        datasets.prepare("mnist", mnist.source_dir, data_dir)
    message = str(error.value)
    assert str(mnist.source_dir) in message
    for fragment in (*fragments, *FILE_NAMES, "learned-opt prepare-data mnist --manual-dir DIR"):
        assert fragment in message
    assert not data_dir.exists()


def test_files_of_the_other_data_set_are_refused(mnist, fashion_mnist, data_dir):
    with pytest.raises(datasets.DataSourceError) as error:
        datasets.prepare("mnist", fashion_mnist.source_dir, data_dir)
    for name in ("mnist", "fashion_mnist"):
        for file in builders.source_files(name):
            assert file.sha256 in str(error.value)
    assert not data_dir.exists()


def test_images_without_labels_are_refused(mnist, data_dir, register_sources):
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3])
    (mnist.source_dir / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    register_sources("mnist", mnist.source_dir, "https://mnist.invalid/")
    with pytest.raises(datasets.DataSourceError, match=r"holds 50 images.*holds 3 labels"):
        datasets.prepare("mnist", mnist.source_dir, data_dir)
    assert not datasets.is_prepared("mnist", data_dir=data_dir)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    requested: list[str]

    def do_GET(self):
        self.requested.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        """Requests are not written to standard error."""


@contextlib.contextmanager
def serve(directory):
    handler = type("Handler", (QuietHandler,), {"requested": []})
    with http.server.HTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=directory)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", handler.requested
        finally:
            server.shutdown()
            thread.join()


def test_download(mnist, data_dir, register_sources):
    with serve(mnist.source_dir) as (url, requested):
        register_sources("mnist", mnist.source_dir, url)
        # One file is there already, another one has been cut short.
        downloads = data_dir / "downloads" / "mnist"
        downloads.mkdir(parents=True)
        shutil.copy(mnist.source_dir / "train-images-idx3-ubyte.gz", downloads)
        (downloads / "t10k-labels-idx1-ubyte.gz").write_bytes(b"cut")
        datasets.prepare("mnist", data_dir=data_dir)
    assert sorted(requested) == sorted(f"/{x}" for x in FILE_NAMES - {"train-images-idx3-ubyte.gz"})
    assert {path.name for path in downloads.iterdir() if path.is_file()} == FILE_NAMES
    assert_holds("mnist", data_dir, mnist)


@pytest.mark.parametrize("failure", ["other content", "not found", "no server"])
def test_failed_downloads_say_what_to_do(mnist, data_dir, register_sources, failure):
    with serve(mnist.source_dir) as (url, _):
        register_sources("mnist", mnist.source_dir, url)
        if failure == "other content":
            (mnist.source_dir / "t10k-images-idx3-ubyte.gz").write_bytes(b"an error page")
        elif failure == "not found":
            (mnist.source_dir / "t10k-images-idx3-ubyte.gz").unlink()
        else:
            register_sources("mnist", mnist.source_dir, "http://127.0.0.1:9/")
        started = time.monotonic()
        with pytest.raises(datasets.DataSourceError) as error:
            datasets.prepare("mnist", data_dir=data_dir)
    assert time.monotonic() - started < 5
    message = str(error.value)
    expected = {
        "other content": "t10k-images-idx3-ubyte.gz sent sha256",
        "not found": "404",
        "no server": "cannot download http://127.0.0.1:9/t10k-images-idx3-ubyte.gz",
    }
    assert expected[failure] in message
    for file in builders.source_files("mnist"):
        assert f"{file.name}  {file.size} bytes  sha256 {file.sha256}" in message
    assert f"TFDS_DATA_DIR={data_dir} learned-opt prepare-data mnist --manual-dir DIR" in message
    assert files_under(data_dir) == []


@pytest.mark.parametrize("function", [datasets.prepare, datasets.load])
def test_other_formats_are_refused(mnist, data_dir, function):
    directory = datasets.prepare("mnist", mnist.source_dir, data_dir)
    info = directory / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    assert not datasets.is_prepared("mnist", data_dir=data_dir)
    expected = {
        datasets.prepare: (datasets.DataSourceError, f"{directory} exists.*Remove"),
        datasets.load: (datasets.DataNotPreparedError, f"not prepared in {data_dir}"),
    }
    error, message = expected[function]
    with pytest.raises(error, match=message):
        function("mnist", data_dir=data_dir)


def test_a_missing_shard_is_noticed(mnist, data_dir):
    directory = datasets.prepare("mnist", mnist.source_dir, data_dir)
    next(directory.glob("*test*")).unlink()
    assert not datasets.is_prepared("mnist", data_dir=data_dir)


def test_a_damaged_shard_is_noticed(mnist, data_dir):
    directory = datasets.prepare("mnist", mnist.source_dir, data_dir)
    shard = next(directory.glob("*train*"))
    content = bytearray(shard.read_bytes())
    content[1000] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(datasets.DataNotPreparedError, match=f"{directory} is damaged") as error:
        datasets.load("mnist", data_dir=data_dir)
    assert "learned-opt prepare-data mnist [--manual-dir DIR]" in str(error.value)
    assert len(datasets.load("mnist", "test", data_dir=data_dir).labels) == 20


def test_loading_what_is_not_prepared_names_the_command(data_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(data_dir))
    with pytest.raises(datasets.DataNotPreparedError) as error:
        datasets.load("fashion_mnist")
    message = str(error.value)
    assert f"fashion_mnist is not prepared in {data_dir}." in message
    assert message.endswith("\n  learned-opt prepare-data fashion_mnist [--manual-dir DIR]")


def test_registered_sources():
    urls = {
        "mnist": "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "fashion_mnist": "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    }
    digests = set()
    for name, url in urls.items():
        files = builders.source_files(name)
        assert {file.name for file in files} == FILE_NAMES
        assert {file.url for file in files} == {url + file for file in FILE_NAMES}
        digests |= {file.sha256 for file in files}
    assert len(digests) == 8
