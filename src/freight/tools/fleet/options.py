"""PURE: the table of the options of ``freight fleet``. It makes the flags, and reads the file of ``--from``.

Each engine uses a part of it (:mod:`.engines`). :mod:`.fleet_options` has the values.
"""

from __future__ import annotations

from freight import __version__
from freight.config.types import PORT_MAX, Setting, SettingType

LISTS = frozenset({"nodes", "hot", "trusted-proxy"})
"""Options with several values: separated by commas, repeated, or an array in the file."""

OPTIONS = (
    Setting(
        name="nodes",
        kind=SettingType.TEXT,
        default="none",
        metavar="HOST:PORT,...",
        help="Address and port where each node serves files.",
        keywords={"none": ""},
    ),
    Setting(
        name="front",
        kind=SettingType.ADDRESS,
        default="auto",
        metavar="HOST:PORT",
        help="Address and port that clients connect to. auto: port 80 of every address, or 443 with TLS.",
        keywords={"auto": None},
    ),
    Setting(
        name="hot",
        kind=SettingType.TEXT,
        default="none",
        metavar="PATH,...",
        help="Very popular paths: requests for them go to the node with the fewest downloads. A path that ends in / "
        "means everything below it. Requests for other files go to the node that has the file in its page cache.",
        keywords={"none": ""},
    ),
    Setting(
        name="tls-cert",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Serve HTTPS with this certificate (PEM). HAProxy expects the key in the same file, or beside it as "
        "FILE.key.",
        keywords={"none": None},
    ),
    Setting(
        name="tls-key",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Private key of --tls-cert (PEM).",
        keywords={"none": None},
    ),
    Setting(
        name="domain",
        kind=SettingType.TEXT,
        default="none",
        metavar="NAME",
        help="Domain name of the site. Caddy serves HTTPS under it and obtains the certificate itself.",
        keywords={"none": None},
    ),
    Setting(
        name="http2",
        kind=SettingType.FLAG,
        default="false",
        metavar="",
        help="Speak HTTP/2 without TLS to the nodes: few connections with many streams each. HTTP/1.1, the default, "
        "costs a node less CPU time per byte.",
    ),
    Setting(
        name="admin",
        kind=SettingType.NUMBER,
        default="auto",
        metavar="PORT",
        help="Port of a node's admin listener, for the readiness check at /readyz. auto: the node's port plus 1000. "
        "none: the check only connects to the node.",
        minimum=1,
        maximum=PORT_MAX,
        keywords={"auto": "auto", "none": None},
    ),
    Setting(
        name="haproxy-agent",
        kind=SettingType.NUMBER,
        default="auto",
        metavar="PORT",
        help="Port at which a node reports its load to HAProxy. auto: the node's port plus 2000; a node without such a "
        "listener works too. none: do not connect.",
        minimum=1,
        maximum=PORT_MAX,
        keywords={"auto": "auto", "none": None},
    ),
    Setting(
        name="memory",
        kind=SettingType.SIZE,
        default="64MiB",
        metavar="SIZE",
        help="The --memory of each node. It limits how many concurrent requests a node gets.",
    ),
    Setting(
        name="queue-size",
        kind=SettingType.NUMBER,
        default="1000",
        metavar="NUMBER",
        help="How many requests may wait at the balancer; further ones get 503.",
        maximum=1_000_000,
    ),
    Setting(
        name="queue-timeout",
        kind=SettingType.TIME,
        default="30s",
        metavar="TIME",
        help="How long a request may wait at the balancer, and then again at the node.",
        minimum=1,
    ),
    Setting(
        name="idle-timeout",
        kind=SettingType.TIME,
        default="60s",
        metavar="TIME",
        help="How long a client may be idle or stalled. The duration of a download is not limited.",
        minimum=1,
    ),
    Setting(
        name="shutdown-timeout",
        kind=SettingType.TIME,
        default="5m",
        metavar="TIME",
        help="The --shutdown-timeout of each node: how long running downloads may take after the signal to stop.",
    ),
    Setting(
        name="shutdown-delay",
        kind=SettingType.TIME,
        default="5s",
        metavar="TIME",
        help="The --shutdown-delay of each node: how long it accepts requests after the signal to stop.",
    ),
    Setting(
        name="trusted-proxy",
        kind=SettingType.NETWORKS,
        default="127.0.0.1",
        metavar="NETWORKS",
        help="The --trusted-proxy of each node: the addresses from which the balancer connects. none: no proxy.",
        keywords={"none": ()},
    ),
    Setting(
        name="stats",
        kind=SettingType.ADDRESS,
        default="127.0.0.1:8404",
        metavar="HOST:PORT",
        help="Address and port of HAProxy's statistics or Envoy's admin pages. none: switch them off.",
        keywords={"none": None},
    ),
    Setting(
        name="path",
        kind=SettingType.FILE,
        default="/srv/data",
        metavar="DIR",
        help="Directory on the host that all containers serve.",
    ),
    Setting(
        name="claim",
        kind=SettingType.TEXT,
        default="freight-data",
        metavar="NAME",
        help="PersistentVolumeClaim that all pods serve.",
    ),
    Setting(
        name="image",
        kind=SettingType.TEXT,
        default=f"freight:{__version__}",
        metavar="NAME",
        help="Container image of a node; freight's Dockerfile builds it.",
    ),
    Setting(
        name="cache",
        kind=SettingType.SIZE,
        default="256MiB",
        metavar="SIZE",
        help="Part of a container's memory limit for the page cache, in addition to the process and --memory.",
    ),
)
"""Every option, in the order in which the manual lists them."""
