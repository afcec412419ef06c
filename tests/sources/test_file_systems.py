"""What a file system is, on real ones: those that every Linux has."""

import os
from pathlib import Path

import pytest

from freight.sources.file_systems import Storage, is_local, storage_of


@pytest.mark.parametrize(
    ("path", "storage"),
    [("/dev/shm", Storage.MEMORY), ("/proc", Storage.REMOTE), ("/sys", Storage.REMOTE)],
)
def test_a_file_system_is_known_by_its_type(path: str, storage: Storage) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        assert storage_of(fd) is storage
        assert is_local(fd) is (storage is not Storage.REMOTE)
    finally:
        os.close(fd)


def test_the_file_system_of_the_tests_is_local(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert is_local(fd)
    finally:
        os.close(fd)


def test_a_descriptor_that_cannot_be_asked_is_remote() -> None:
    assert storage_of(-1) is Storage.REMOTE
