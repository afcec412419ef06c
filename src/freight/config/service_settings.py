"""The rows of the table of settings that say how the server runs: HTTPS, proxies, operation and log."""

from __future__ import annotations

from freight.config.types import ACCESS, HTTPS, LOGGING, OPERATION, PORT_MAX, PROXY, Setting, SettingType

SERVICE_SETTINGS = (
    Setting(
        name="users",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Users and the bcrypt hashes of their passwords, as freight passwd and htpasswd -B write them. Reloaded "
        "on SIGHUP. Needs the library bcrypt. none: no users.",
        keywords={"none": None},
        group=ACCESS,
    ),
    Setting(
        name="tokens",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Names and hashes of bearer tokens, as freight token writes them. Reloaded on SIGHUP. none: no tokens.",
        keywords={"none": None},
        group=ACCESS,
    ),
    Setting(
        name="access",
        kind=SettingType.CHOICE,
        default="auto",
        metavar="CLIENTS",
        help="The clients that may read the files. users: only users, tokens and signed links. everyone: no "
        "credentials are needed. auto: users with --users, --tokens or --signing-keys, otherwise everyone.",
        choices=("auto", "users", "everyone"),
        group=ACCESS,
    ),
    Setting(
        name="signing-keys",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Keys that sign links, as freight key new makes them. Without --access everyone, each path then "
        "needs a link that freight sign, or your application, has made for it, or else a user or token. Read again on "
        "SIGHUP. none: no links.",
        keywords={"none": None},
        group=ACCESS,
    ),
    Setting(
        name="tls-cert",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Serve HTTPS with this certificate: PEM, followed by its chain. Reloaded on SIGHUP. none: plain HTTP.",
        keywords={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="tls-key",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Private key of --tls-cert: PEM, without a passphrase. Reloaded on SIGHUP.",
        keywords={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="tls-self-signed",
        kind=SettingType.FLAG,
        default="false",
        metavar="",
        help="Serve HTTPS with a self-signed certificate, made at the start, to try it out. Its fingerprint is "
        "printed.",
        group=HTTPS,
    ),
    Setting(
        name="redirect-port",
        kind=SettingType.NUMBER,
        default="none",
        metavar="NUMBER",
        help="Another TCP port, which redirects plain HTTP to HTTPS. 0 takes a free port and prints it. none: no "
        "redirect.",
        maximum=PORT_MAX,
        keywords={"none": None},
        group=HTTPS,
    ),
    Setting(
        name="trusted-proxy",
        kind=SettingType.NETWORKS,
        default="none",
        metavar="NETWORKS",
        help="Proxies whose Forwarded or X-Forwarded-For field is trusted: addresses or networks, separated by "
        "commas, and unix for the clients of Unix sockets. none: no proxy.",
        keywords={"none": ()},
        group=PROXY,
    ),
    Setting(
        name="proxy-protocol",
        kind=SettingType.FLAG,
        default="false",
        metavar="",
        help="Expect a PROXY protocol header, version 1 or 2, at the start of every connection.",
        group=PROXY,
    ),
    Setting(
        name="haproxy-agent",
        kind=SettingType.ADDRESS,
        default="none",
        metavar="HOST:PORT",
        help="Address where load balancers ask for the free capacity, as HAProxy's agent-check does. none: disabled.",
        keywords={"none": None},
        group=PROXY,
        former_name="agent",
    ),
    Setting(
        name="admin",
        kind=SettingType.LISTENER,
        default="auto",
        metavar="HOST:PORT",
        help="Address of the admin listener: dashboard, /status, /metrics, health checks. auto: 127.0.0.1 at --port "
        "+ 1000; if that port is in use, freight logs a warning and starts without it. unix:PATH: a Unix socket. none: "
        "disabled.",
        keywords={"auto": "auto", "none": None},
        group=OPERATION,
    ),
    Setting(
        name="admin-token-file",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="A file with a secret that clients of the admin listener must send, as a bearer token or as the password "
        "of HTTP Basic; /healthz and /readyz need none. none: no secret.",
        keywords={"none": None},
        group=OPERATION,
    ),
    Setting(
        name="admin-allow-host",
        kind=SettingType.NAMES,
        default="none",
        metavar="NAMES",
        help="Host names by which clients may ask the admin listener, such as that of a Kubernetes service, separated "
        "by commas. IP addresses, localhost and the host of --admin are always allowed. *: every name, so that web "
        "pages can read it by DNS rebinding. none: no other name.",
        keywords={"none": ()},
        group=OPERATION,
    ),
    Setting(
        name="socket-mode",
        kind=SettingType.MODE,
        default="0660",
        metavar="MODE",
        help="Mode of the files of Unix sockets: a client needs permission to write. For --host and --admin.",
        group=OPERATION,
    ),
    Setting(
        name="socket-owner",
        kind=SettingType.OWNER,
        default="none",
        metavar="USER:GROUP",
        help="Owner of the files of Unix sockets: USER, USER:GROUP or :GROUP, names or numbers. none: those of the "
        "server's process.",
        keywords={"none": None},
        group=OPERATION,
    ),
    Setting(
        name="shutdown-timeout",
        kind=SettingType.TIME,
        default="30s",
        metavar="TIME",
        help="How long running downloads may take to finish after Ctrl-C or SIGTERM. A second signal aborts them.",
        live=True,
        group=OPERATION,
        former_name="drain",
    ),
    Setting(
        name="shutdown-delay",
        kind=SettingType.TIME,
        default="0s",
        metavar="TIME",
        help="Keep accepting requests for this long after Ctrl-C or SIGTERM, while /readyz already fails, so that "
        "load balancers can stop sending traffic first. Then --shutdown-timeout starts.",
        live=True,
        group=OPERATION,
        former_name="drain-delay",
    ),
    Setting(
        name="log-format",
        kind=SettingType.CHOICE,
        default="text",
        metavar="FORMAT",
        help="Format of the log on standard error: a line of text, a JSON object per line, or the combined format of "
        "Apache and nginx, in which messages to the operator are lines of text.",
        choices=("text", "json", "combined"),
        group=LOGGING,
    ),
    Setting(
        name="log-file",
        kind=SettingType.FILE,
        default="none",
        metavar="FILE",
        help="Write the lines of requests to this file. Messages to the operator stay on standard error. The file is "
        "opened again on SIGHUP, and when it was moved or deleted. none: standard error.",
        keywords={"none": None},
        group=LOGGING,
    ),
    Setting(
        name="log-file-size",
        kind=SettingType.SIZE,
        default="none",
        metavar="SIZE",
        help="Rotate the log file when it has this size: rename it to FILE.1, and FILE.1 to FILE.2. none: never.",
        keywords={"none": None},
        minimum=64 << 10,
        group=LOGGING,
    ),
    Setting(
        name="log-files",
        kind=SettingType.NUMBER,
        default="5",
        metavar="N",
        help="How many rotated log files --log-file-size keeps.",
        minimum=1,
        maximum=1000,
        group=LOGGING,
    ),
    Setting(
        name="request-id",
        kind=SettingType.FLAG,
        default="false",
        metavar="",
        help="Send an X-Request-Id in every response, and log it as JSON: that of the request if it comes from a "
        "--trusted-proxy, otherwise a new one.",
        group=LOGGING,
    ),
)
