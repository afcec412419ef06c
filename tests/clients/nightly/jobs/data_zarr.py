"""zarr: chunks and shards of formats 2 and 3. Arguments: the URL of the site, its directory.

The names of the metadata of format 2 begin with a dot: ``.zgroup``, ``.zarray``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy
import zarr

url, folder = sys.argv[1], Path(sys.argv[2])
data = numpy.random.default_rng(1).integers(0, 1 << 30, (1500, 1000))

for version in (2, 3):
    store = folder / f"data-{version}.zarr"
    group = zarr.open_group(store, mode="w", zarr_format=version)
    group.create_array("chunked", data=data, chunks=(100, 100))
    if version == 3:
        group.create_array("sharded", data=data, chunks=(50, 50), shards=(500, 500))
    # A chunk of zeros only is not written: the server has no such file.
    sparse = group.create_array("sparse", shape=(1000, 1000), chunks=(100, 100), dtype="i8", fill_value=0)
    sparse[250:350, 250:350] = data[:100, :100]
    zarr.consolidate_metadata(store)

    for consolidated in (False, True):
        remote = zarr.open_group(f"{url}{store.name}", mode="r", zarr_format=version, use_consolidated=consolidated)
        for name in {"chunked", "sharded"} & set(group):
            assert (remote[name][130:777, 210:444] == data[130:777, 210:444]).all(), (version, name)
            assert (remote[name][:] == data).all(), (version, name)
        assert (remote["sparse"][:] == sparse[:]).all(), version
