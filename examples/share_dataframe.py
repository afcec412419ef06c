# %% [markdown]
# # Give a data frame to a colleague
#
# A notebook in the percent format, which Jupyter (with jupytext), VS Code and PyCharm open.
# Before it: `pip install freight pandas`.

# %%
import secrets
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas

import freight

frame = pandas.DataFrame({"id": range(100_000), "value": [number / 7 for number in range(100_000)]})

# %% [markdown]
# The file of keys is what makes a link: without one, nobody on the network gets anything.
# `Bytes` is sent with a length and an ETag, so that a download can be resumed. For more than fits in memory, write a
# file and serve it with `freight.File`.

# %%
folder = TemporaryDirectory()
keys = Path(folder.name) / "keys"
keys.touch(mode=0o600)
keys.write_text(f"notebook {secrets.token_urlsafe(32)}\n")
table = freight.Bytes(frame.to_csv(index=False).encode(), "text/csv; charset=utf-8")
server = freight.Server(routes={"/frame.csv": table}, host="0.0.0.0", port=0, signing_keys=keys, access="users").start()
link = freight.sign_url("/frame.csv", keys=keys, expires=timedelta(hours=24), base_url=server.url.rstrip("/"))

# %% [markdown]
# Send this link to the colleague: it is good for 24 hours, while this notebook runs.

# %%
print(link)

# %% [markdown]
# Look how it goes: what runs, what waits, how much memory it needs.

# %%
server.status()["transfers"]

# %% [markdown]
# At the end, stop. A running download may finish first.

# %%
server.stop()
folder.cleanup()
