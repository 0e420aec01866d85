"""Files that are whole or not there, and JSON that shows when it was damaged."""

import errno
from pathlib import Path

import pytest

from learned_opt.runs.files import disk_full, is_disk_full, leftovers, seal, unseal, write_atomically


def test_a_file_is_written_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "note.txt"
    write_atomically(path, b"kept")
    assert path.read_bytes() == b"kept"
    assert leftovers(path) == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known(code):
    assert is_disk_full(OSError(code, "anything"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))


def test_the_error_of_a_full_disk_says_what_to_do():
    assert disk_full("while saving", Path("out")).strerror == (
        "no space left on the disk while saving; the partial files were removed and older files are intact: "
        "free some space, then start again"
    )


@pytest.mark.parametrize("indent", [2, None])
def test_a_sealed_record_comes_back_unless_it_was_changed(indent):
    text = seal("note", 1, {"colour": "red"}, indent=indent)
    assert unseal("note", 1, text, indent=indent)["colour"] == "red"
    with pytest.raises(ValueError, match="damaged or edited"):
        unseal("note", 1, text.replace("red", "rad"), indent=indent)
