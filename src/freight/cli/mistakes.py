"""Explain a mistake in a command line in one line: what was written, what is wrong, what was probably meant.

This module is imported when there is a mistake. It knows the words of other programs, and former names of options.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

from freight.config.table import SETTINGS
from freight.config.types import Setting

# What is meant: the words of other programs for it.
_COMMANDS = {
    "serve": "run start http share server listen up",
    "settings": "config configure check options show",
    "rules": "rule match headers",
    "top": "status watch monitor stat stats ps dashboard",
    "lab": "bench benchmark measure test",
    "make-sample": "sample generate create example demo",
    "plan": "size capacity calculate",
    "sync-mtimes": "stamp touch sync mtime mtimes",
    "fleet": "balance balancer cluster nodes",
    "fleet haproxy": "haproxy",
    "fleet envoy": "envoy",
    "fleet caddy": "caddy",
    "fleet compose": "compose docker-compose",
    "fleet k8s": "k8s kubernetes",
    "fleet simulate": "simulate simulation",
    "--help": "help manual",
    "--version": "version",
}
_OPTIONS = {
    "--host": "address addr ip interface iface hostname",
    "--memory": "mem ram budget max-memory memory-limit limit-memory m",
    '--memory ("freight plan --clients N" says how much)': "clients max-clients connections max-connections "
    "concurrency limit-concurrency",
    "--workers": "threads processes procs cores cpus jobs w j",
    "PATH, without an option": "dir root docroot document-root path file www",
    "--tls-cert": "cert certfile certificate ssl-cert ssl-certfile",
    "--tls-key": "key keyfile private-key ssl-key ssl-keyfile",
    "--tls-cert and --tls-key, or --tls-self-signed": "tls ssl https",
    "--tls-self-signed": "self-signed insecure",
    "--redirect-port": "redirect http-port redirect-http",
    "--idle-timeout": "timeout read-timeout write-timeout",
    "--keep-alive-timeout": "keep-alive keepalive timeout-keep-alive keepalive-timeout",
    "--admin-allow-host": "allowed-hosts allow-hosts allowed-host",
    "--shutdown-timeout": "graceful-timeout grace grace-period stop-timeout",
    "--rate-limit": "limit limit-rate max-rate bandwidth bwlimit throttle",
    "--client-rate-limit": "client-rate",
    "--max-per-client": "limit-conn",
    "--queue-size": "max-queue backlog",
    "--queue-timeout": "wait wait-timeout",
    "--follow-symlinks": "links symlinks follow L",
    "--show-hidden": "dotfiles all a",
    "--no-chunked": "length",
    "--header": "headers add-header response-header",
    "--cache-control": "cache max-age expires",
    "--index": "index-file directory-index spa",
    "--inline": "disposition show render",
    "--trusted-proxy": "proxy proxies proxy-headers trust-proxy forwarded-allow-ips real-ip",
    "--admin": "metrics status stats dashboard health healthz prometheus",
    "--haproxy-agent": "agent-check",
    "--log-format": "json log-json",
    "--log-file": "log logs access-log access-logfile logfile",
    "--config": "c config-file conf",
}


def explain(error: click.UsageError) -> str:
    """Return the line for a mistake that click found."""
    where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
    return f"{_explain(error)}{where}"


def no_such_command(name: str, context: click.Context | None) -> str:
    """Return the line for a word that is no command, and for freight itself no path either."""
    if context is None or not isinstance(context.command, click.Group):
        return f"{name!r}: no such command"
    group, alone = context.command_path, context.parent is None
    meant = _closest(name, context.command.list_commands(context))
    if alone:
        meant = f"serve --port {name}" if name.isdecimal() else _by_meaning(_COMMANDS, name.lower()) or meant
    if meant:
        return f'{name!r}: no such command; did you mean "{group} {meant}"?'
    return f"{name!r}: no such command{', and no file or directory has that name' if alone else ''}"


def _explain(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"{error.option_name}: no such option{_meant(error)}"
    if isinstance(error, click.BadOptionUsage) and "requires" in error.message:
        return f"{error.option_name}: needs a value"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{_name(error.param)}: is missing"
    if isinstance(error, click.BadParameter) and error.param is not None:
        return f"{_name(error.param)}: {error.message.rstrip('.')}"
    unknown = re.match(r"No such command '(.*?)'", error.message, re.DOTALL)
    if unknown is not None:
        return no_such_command(unknown[1], error.ctx)
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", error.message, re.DOTALL)
    if extra is not None:
        return f"{extra[1]!r}: unexpected extra argument{_too_much(error)}"
    return error.format_message().rstrip(".")


def _too_much(error: click.UsageError) -> str:
    """Return what to do about extra arguments, if that is known."""
    serves = error.ctx is not None and error.ctx.command.name in ("serve", "settings")
    return "; one PATH is served, and one with spaces needs quotes" if serves else ""


def _meant(error: click.NoSuchOption) -> str:
    """Return a question about what was probably meant, or ""."""
    command = error.ctx.command.name if error.ctx else ""
    meant = ""
    if command in ("serve", "settings", "rules", "freight"):
        before = "freight serve " if command == "freight" else ""
        name = error.option_name.lstrip("-")
        found = _renamed(name) or _by_meaning(_OPTIONS, name)
        meant = f"{before}{found}" if found else ""
    if not meant and error.possibilities:
        names = {alias: setting for setting in SETTINGS for alias in setting.aliases}
        meant = _option(error.possibilities[0], names)
    return f"; did you mean {meant}?" if meant else ""


def _renamed(name: str) -> str:
    """Return the option that had this name once, or the one that turned it off, or ""."""
    for setting in SETTINGS:
        if setting.former_name and name == setting.former_name:
            return setting.option
        if setting.former_name and name == f"no-{setting.former_name}":
            return setting.off_option
    return ""


def _option(name: str, aliases: dict[str, Setting]) -> str:
    return aliases[name].option if name in aliases else name


def _by_meaning(table: dict[str, str], word: str) -> str:
    return next((meant for meant, words in table.items() if word in words.split()), "")


def _closest(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, known, n=1)), "")


def _name(parameter: click.Parameter) -> str:
    """Return the name of a parameter in the manual: ``--size``, ``FILE``."""
    if isinstance(parameter, click.Option):
        return max(parameter.opts, key=len)
    return (parameter.metavar or parameter.name or "").strip("[]").upper()
