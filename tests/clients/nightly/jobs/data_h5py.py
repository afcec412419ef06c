"""h5py: slices of chunked HDF5, by a file object of fsspec and, where it is built in, by the driver ros3.

Arguments: the URL of the site, its directory.
"""

from __future__ import annotations

import sys
from pathlib import Path

import fsspec
import h5py
import numpy

url, folder = sys.argv[1], Path(sys.argv[2])
data = numpy.random.default_rng(1).integers(0, 1 << 30, (2000, 1000))
with h5py.File(folder / "data.h5", "w") as file:
    file.create_dataset("group/chunked", data=data, chunks=(100, 100), compression="gzip")
    file.create_dataset("flat", data=data[:500])


def check(file: h5py.File) -> None:
    assert (file["group/chunked"][500:900, 300:420] == data[500:900, 300:420]).all()
    assert (file["flat"][::7] == data[:500:7]).all()
    assert (file["group/chunked"][:] == data).all()


with (
    fsspec.open(url + "data.h5", cache_type="blockcache", block_size=1 << 18) as opened,
    h5py.File(opened, "r") as file,
):
    check(file)
if "ros3" in h5py.registered_drivers():
    with h5py.File(url + "data.h5", "r", driver="ros3") as file:
        check(file)
