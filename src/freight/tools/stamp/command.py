"""``freight sync-mtimes`` on the command line. The modules that walk and read are imported when it runs."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import click

from freight.errors import ConfigurationError
from freight.tools.signals import exit_by_signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from freight.sources.beneath import Root
    from freight.tools.stamp.compare import Finding
    from freight.tools.stamp.tree import Found

DONE, DIFFER = 0, 1
_CLEAR_LINE = "\r\033[K"  # removes the progress bar


@click.command(
    "sync-mtimes",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    short_help="Give the files of replicas equal modification times.",
    epilog="""\b
Examples:
  freight sync-mtimes /data --write data.manifest       on the node with the right files
  freight sync-mtimes /data data.manifest --check       on each of the other nodes
  freight sync-mtimes /data data.manifest --dry-run     only report the differences
  freight sync-mtimes /data data.manifest --json | jq -r 'select(.state=="missing").path'

\b
Exit status:
  0    all files agree with the manifest and have its times
  1    some files differ, or could not be read; they are listed
  2    the command is wrong, or DIR or the manifest cannot be read""",
)
@click.argument("directory", metavar="DIR", type=click.Path())
@click.argument("manifest", required=False, metavar="[MANIFEST]", type=click.Path())
@click.option("--write", metavar="MANIFEST", type=click.Path(), help="Write a manifest of the files in DIR.")
@click.option("--check", is_flag=True, help="Also compare contents, by their SHA-256, not only sizes.")
@click.option("--dry-run", "-n", is_flag=True, help="Change nothing; only report the differences.")
@click.option("--show-hidden", is_flag=True, help="Include names that begin with a dot.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line, and one with the totals.")
def stamp(
    directory: str,
    manifest: str | None,
    write: str | None,
    check: bool,
    dry_run: bool,
    show_hidden: bool,
    as_json: bool,
) -> int:
    """Set the modification times of files from a manifest, so that their entity tags are equal on all replicas.

    freight makes entity tags from size and modification time. Files in DIR that agree with MANIFEST get its times.
    Files that differ, are missing, or are not in the manifest are listed and not changed. Links are not followed.
    """
    if (manifest is None) == (write is None):
        raise ConfigurationError("sync-mtimes: give either a MANIFEST to compare with, or --write MANIFEST to make one")
    if write is not None and (check or dry_run):
        raise ConfigurationError(
            "sync-mtimes: --check and --dry-run need a MANIFEST to compare with, and exclude --write"
        )
    from freight.sources.beneath import Root

    try:
        root = Root(directory)
    except OSError as error:
        raise ConfigurationError(f"{directory}: {error.strerror}") from None
    with root:
        if write is not None:
            return _write(_Tree(root, directory, show_hidden), write, as_json)
        assert manifest is not None
        return _apply(_Tree(root, directory, show_hidden), manifest, check, not dry_run, as_json)


class _Tree(NamedTuple):
    """The files below ``root``, which the user calls ``directory``."""

    root: Root
    directory: str
    show_hidden: bool

    def files(self, manifest: str) -> Iterator[Found]:
        """Yield the files in order, without the manifest."""
        from freight.tools.stamp.files import names_within
        from freight.tools.stamp.tree import walk

        return walk(self.root, self.show_hidden, names_within(self.directory, manifest))


def _write(tree: _Tree, manifest: str, as_json: bool) -> int:
    from freight.tools.stamp.files import write_manifest

    signal.signal(signal.SIGTERM, exit_by_signal)  # the default handler would leave the unfinished file
    total = sum(each.size for each in tree.files(manifest)) if _has_bar() else 0
    with _progress(f"reading {tree.directory}", total) as read:
        count, size = write_manifest(tree.root, tree.files(manifest), manifest, read)
    if as_json:
        click.echo(json.dumps({"manifest": manifest, "files": count, "bytes": size}))
    else:
        click.echo(f"{manifest}: {count} files, {size} bytes")
    return DONE


def _apply(tree: _Tree, manifest: str, check: bool, change: bool, as_json: bool) -> int:
    from freight.tools.stamp.compare import GOOD, State, compare
    from freight.tools.stamp.files import read_manifest

    # An invalid manifest must be reported before any file is changed.
    total = sum(each.size for each in read_manifest(manifest))
    states: Counter[State] = Counter()
    with _progress(f"reading {tree.directory}", total if check else 0) as read:
        found, wanted = tree.files(manifest), read_manifest(manifest)
        findings = compare(tree.root, found, wanted, check=check, change=change, read=read)
        for finding in findings:
            states[finding.state] += 1
            if finding.state not in GOOD:
                if _has_bar():
                    click.echo(_CLEAR_LINE, err=True, nl=False)
                click.echo(_line(finding, as_json))
    counts = {state.value: states[state] for state in State}
    if as_json:
        click.echo(json.dumps(counts | {"checked": "digest" if check else "size"}))
    else:
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        click.echo(f"{tree.directory}: {shown or 'no files'}; compared by {'digest' if check else 'size'}")
    return DONE if states.keys() <= GOOD else DIFFER


def _line(finding: Finding, as_json: bool) -> str:
    path = "/".join(finding.names)
    if as_json:
        return json.dumps({"path": path, "state": finding.state.value, "why": finding.why})
    shown = path if path.isprintable() else repr(path)
    return f"{finding.state.value:9}  {shown}" + (f" ({finding.why})" if finding.why else "")


def _has_bar() -> bool:
    return sys.stderr.isatty()


@contextmanager
def _progress(label: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function to call with the number of bytes read, which moves a progress bar on a terminal."""
    if not (_has_bar() and total):
        yield lambda _: None
        return
    from threading import Lock

    lock = Lock()
    bar = click.progressbar(length=total, label=label, file=sys.stderr, update_min_steps=max(1, total // 200))
    with bar:

        def read(count: int) -> None:
            with lock:
                bar.update(count)

        yield read
        bar.update(max(0, total - bar.pos))  # files that are missing, or have another size, were not read
