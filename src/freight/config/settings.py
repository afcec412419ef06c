"""The values of all settings as one frozen value, and what they may not be together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from freight.config.table import SETTINGS
from freight.config.types import Address
from freight.config.unix_address import UNIX_PREFIX, UnixAddress
from freight.errors import ConfigurationError
from freight.units import format_rate

if TYPE_CHECKING:
    from freight.config.mounts import Mount
    from freight.http.rules import Rule, Rules


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of all settings, read and checked. :data:`SETTINGS` explains the fields.

    None means ``none``; in ``memory_bytes`` and ``workers`` it means ``auto``. ``rule``, which has no row in the table,
    is the rules of the file's ``[[rule]]`` tables.
    """

    path: Path | None
    host: tuple[str, ...]
    port: int
    memory_bytes: int | None
    workers: int | None
    mount: tuple[Mount, ...]
    prefix: tuple[str, ...]
    show_hidden: bool
    follow_symlinks: bool
    allow_links_to: tuple[str, ...]
    chunked: bool
    precompressed: bool
    cors_origin: tuple[str, ...]
    header: tuple[tuple[str, str], ...]
    cache_control: str | None
    index: Literal["list", "index.html", "index.html-only", "none"]
    inline: bool
    queue_size: int
    queue_timeout_seconds: float
    max_per_client: int | None
    rate_limit_bytes_per_second: int | None
    client_rate_limit_bytes_per_second: int | None
    min_rate_bytes_per_second: int | None
    idle_timeout_seconds: float
    pause_timeout_seconds: float | None
    keep_alive_timeout_seconds: float
    disk_timeout_seconds: float
    users: Path | None
    tokens: Path | None
    access: Literal["auto", "everyone", "users"]
    signing_keys: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    tls_self_signed: bool
    redirect_port: int | None
    trusted_proxy: tuple[str, ...]
    proxy_protocol: bool
    haproxy_agent: Address | None
    admin: Address | UnixAddress | Literal["auto"] | None
    admin_token_file: Path | None
    admin_allow_host: tuple[str, ...]
    socket_mode: int
    socket_owner: tuple[str, str] | None
    shutdown_timeout_seconds: float
    shutdown_delay_seconds: float
    log_format: Literal["text", "json", "combined"]
    log_file: Path | None
    log_file_size_bytes: int | None
    log_files: int
    request_id: bool
    rule: tuple[Rule, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where files are served over TCP."""
        return tuple(Address(host, self.port) for host in self.tcp_hosts)

    @property
    def tcp_hosts(self) -> tuple[str, ...]:
        """The hosts that are not Unix sockets."""
        return tuple(host for host in self.host if not host.startswith(UNIX_PREFIX))

    @property
    def unix_addresses(self) -> tuple[UnixAddress, ...]:
        """The Unix sockets where files are served."""
        return tuple(UnixAddress(host.removeprefix(UNIX_PREFIX)) for host in self.host if host not in self.tcp_hosts)

    @property
    def rules(self) -> Rules | None:
        """The rules by path: those of the file, and the one of the options last. None: everything has its default."""
        last = self.header or self.cache_control or self.index != "list" or self.inline
        if not last and not self.rule:
            return None
        from freight.config.rules import rule_of_options  # here, because a server without rules does not need it
        from freight.http.rules import Rules

        if not last:
            return Rules(self.rule)
        return Rules((*self.rule, rule_of_options(self.header, self.cache_control, self.index, inline=self.inline)))

    @property
    def can_permit(self) -> bool:
        """Whether a request can have a permission, so that paths need not be public."""
        return self.knows_users or self.signing_keys is not None

    @property
    def knows_users(self) -> bool:
        """Whether there are users or tokens, so that a path can be for them only."""
        return self.users is not None or self.tokens is not None


def read_settings(texts: Mapping[str, str], labels: Mapping[str, str] | None = None) -> Settings:
    """Read settings from texts by name (``{"memory": "20MB"}``). A missing one has its default.

    Raise :class:`~freight.errors.ConfigurationError` for an invalid text, or for two settings that contradict each
    other. The error names the setting, or its label if ``labels`` has one (``{"memory": "--memory"}``).
    """
    unknown = texts.keys() - {setting.name for setting in SETTINGS}
    if unknown:
        raise ConfigurationError(f"{min(unknown)}: there is no such setting")

    def label(name: str) -> str:
        return (labels or {}).get(name, name)

    fields: dict[str, Any] = {}  # the rows decide the types; a test compares them with the annotations
    for setting in SETTINGS:
        text = texts.get(setting.name, setting.default)
        try:
            fields[setting.field] = setting.read(text)
        except ValueError as error:
            raise ConfigurationError(f"{label(setting.name)}: {error}") from None
    settings = Settings(**fields)
    for conflict in conflicts(settings, label):
        raise ConfigurationError(conflict)
    return settings


def conflicts(settings: Settings, label: Callable[[str], str]) -> Iterator[str]:
    """Yield a line for each contradiction between valid settings. ``label`` returns how a line names a setting.

    The settings of one rule are all live, or all not: :func:`freight.config.load.reload` relies on it.
    """
    if settings.path is None and not settings.mount:
        yield f"{label('path')}: there is nothing to serve; give a PATH or {label('mount')}"
    yield from _address_conflicts(settings, label)
    yield from _tls_conflicts(settings, label)
    yield from _rate_conflicts(settings, label)
    if settings.log_file_size_bytes is not None and settings.log_file is None:
        yield f"{label('log-file-size')}: there is no log file to rotate; give {label('log-file')} too"
    yield from _access_conflicts(settings, label)


def _address_conflicts(settings: Settings, label: Callable[[str], str]) -> Iterator[str]:
    files, admin, agent = settings.addresses, settings.admin, settings.haproxy_agent
    if settings.port and admin in files:
        yield f"{label('admin')}: {admin} is where files are served; use another port"
    unix = settings.unix_addresses
    if isinstance(admin, UnixAddress) and admin in unix:
        yield f"{label('admin')}: {admin} is where files are served; use another path"
    for each in sorted({str(each) for each in unix if unix.count(each) > 1}):
        yield f"{label('host')}: {each} is given twice; give it once"
    if settings.redirect_port is not None and not files:
        yield f"{label('redirect-port')}: no host has a TCP port; give one with {label('host')} too"
    if agent and agent.port:
        if agent in files:
            yield f"{label('haproxy-agent')}: {agent} is where files are served; use another port"
        elif agent == admin:
            yield f"{label('haproxy-agent')}: {agent} is the address of the admin listener; use another port"


def _tls_conflicts(settings: Settings, label: Callable[[str], str]) -> Iterator[str]:
    cert, key = settings.tls_cert is not None, settings.tls_key is not None
    for name, is_given in (("tls-cert", cert), ("tls-key", key)):
        if is_given and settings.tls_self_signed:
            yield f"{label(name)}: {label('tls-self-signed')} makes a certificate of its own; give only one of the two"
    if cert != key:
        given, missing = ("tls-cert", "tls-key") if cert else ("tls-key", "tls-cert")
        yield f"{label(given)}: needs {label(missing)} too"
    if settings.redirect_port is not None:
        if not cert and not settings.tls_self_signed:
            yield f"{label('redirect-port')}: there is no HTTPS to redirect to; give {label('tls-cert')} too"
        if settings.redirect_port and settings.redirect_port == settings.port:
            yield f"{label('redirect-port')}: {settings.port} is the port of HTTPS; use another port"


def _access_conflicts(settings: Settings, label: Callable[[str], str]) -> Iterator[str]:
    if settings.access == "users" and not settings.can_permit:
        others = f"{label('users')}, {label('tokens')} or {label('signing-keys')}"
        yield f"{label('access')}: there are no users; give {others} too"


def rule_conflicts(settings: Settings) -> Iterator[str]:
    """Yield a line for a rule that no request could satisfy."""
    for rule in settings.rule:
        if rule.access is not None and not rule.access.public and not settings.can_permit:
            yield f"{rule.origin}: access: there are no users; give --users, --tokens or --signing-keys too"
            return


def _rate_conflicts(settings: Settings, label: Callable[[str], str]) -> Iterator[str]:
    minimum = settings.min_rate_bytes_per_second
    for name, limit in (
        ("rate-limit", settings.rate_limit_bytes_per_second),
        ("client-rate-limit", settings.client_rate_limit_bytes_per_second),
    ):
        if minimum is not None and limit is not None and limit < minimum:
            yield (
                f"{label(name)}: {format_rate(limit)} is less than the {format_rate(minimum)} of {label('min-rate')}, "
                f"so every download would be aborted; give a lower {label('min-rate')} too"
            )
