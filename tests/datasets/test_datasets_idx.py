import gzip

import numpy as np
import pytest

from learned_opt.datasets.idx import read_idx


def write(path, header, elements):
    path.write_bytes(gzip.compress(bytes(header) + bytes(elements)))
    return path


def test_row_major_with_a_big_endian_header(tmp_path):
    header = [0, 0, 8, 2, 0, 0, 1, 2, 0, 0, 0, 3]
    array = read_idx(write(tmp_path / "x.gz", header, [i % 251 for i in range(258 * 3)]))
    assert array.shape == (258, 3)
    assert array.dtype == np.uint8
    assert array[1].tolist() == [3, 4, 5]
    assert array[257, 2] == (258 * 3 - 1) % 251


@pytest.mark.parametrize(
    ("header", "num_elements", "message"),
    [
        ([0, 0, 8, 1, 0, 0, 0, 5], 4, r"shape \(5,\) and holds 4 elements, not 5"),
        ([0, 0, 8, 1, 0, 0, 0, 5], 6, "holds 6 elements, not 5"),
        ([0, 0, 8, 3, 0, 0, 0, 5], 0, "states the shape"),
        ([0, 0, 13, 1, 0, 0, 0, 1], 4, "starts with '00 00 0d 01'"),
        ([], 0, "not an IDX file"),
    ],
)
def test_other_content_is_refused(tmp_path, header, num_elements, message):
    path = write(tmp_path / "broken.gz", header, [0] * num_elements)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_a_file_that_is_not_gzip_is_refused(tmp_path):
    path = tmp_path / "plain.gz"
    path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 0]))
    with pytest.raises(OSError, match="gzip"):
        read_idx(path)
