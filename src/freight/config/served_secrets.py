"""Refuse to serve the files that decide who may read what. Loaded only if there are such files."""

from __future__ import annotations

import os
from pathlib import Path

from freight.config.settings import Settings
from freight.errors import ConfigurationError


def check_not_served(settings: Settings) -> None:
    """Raise ConfigurationError if clients could download a file of users, tokens or keys, or the admin's token.

    Symbolic links are resolved. A name with a leading dot is served only where settings allow that.
    """
    paths = (settings.path, *(mount.path for mount in settings.mount), *settings.allow_links_to)
    roots = [os.path.realpath(path) for path in paths if path is not None]
    shows_hidden = settings.show_hidden or any(rule.hidden for rule in settings.rule)
    for name, file in (
        ("users", settings.users),
        ("tokens", settings.tokens),
        ("signing-keys", settings.signing_keys),
        ("admin-token-file", settings.admin_token_file),
    ):
        for root in roots if file is not None else ():
            assert file is not None
            if _is_served(os.path.realpath(file), root, shows_hidden=shows_hidden):
                raise ConfigurationError(
                    f"{file} is in {root}, which is served, so that clients could download it; move it", name
                )


def _is_served(file: str, root: str, *, shows_hidden: bool) -> bool:
    if file == root:
        return True
    try:
        names = Path(file).relative_to(root).parts
    except ValueError:
        return False
    return shows_hidden or not any(name.startswith(".") for name in names)
