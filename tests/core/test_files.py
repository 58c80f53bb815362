from __future__ import annotations

import os
import stat

import pytest

from napari_unetstyle.core.errors import OutputError
from napari_unetstyle.core.files import atomic_path, atomic_write, sha256_of


def test_it_writes_and_replaces(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    atomic_write(path, "one")
    assert path.read_text() == "one"
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert sha256_of(path) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_half_way_leaves_the_old_file_and_no_rest(tmp_path):
    path = atomic_write(tmp_path / "file.bin", b"old")

    def fail_half_way():
        with atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the new")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_says_so(tmp_path):
    path = atomic_write(tmp_path / "file.bin", b"old")
    with pytest.raises(OutputError, match=r"file\.bin.*No space left.*free some space"), atomic_path(path):
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old"


def test_a_folder_that_is_a_file_is_refused_in_words(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Could not write"):
        atomic_write(tmp_path / "file" / "inside.txt", "y")


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
def test_permissions_are_the_usual_ones_or_those_of_the_old_file(tmp_path):
    path = atomic_write(tmp_path / "new.txt", "x")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
    path.chmod(0o640)
    atomic_write(path, "y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_temporary_file_keeps_the_suffix(tmp_path):
    with atomic_path(tmp_path / "a.tif") as temporary:
        assert temporary.suffix == ".tif"
        temporary.write_bytes(b"")
