"""Files of users, tokens and keys, and the admin's token, must not be among what is served."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from freight.config.served_secrets import check_not_served
from freight.config.settings import Settings, read_settings
from freight.errors import ConfigurationError
from freight.http.rules import Rule


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("data/keys", "data/deep/keys", "data/.keys", "database/keys", "mounted/keys", "linked/keys"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    os.symlink("../data", tmp_path / "database" / "to-data")
    os.symlink("data", tmp_path / "same")
    return tmp_path


def settings(tree: Path, **given: str) -> Settings:
    texts = {name.replace("_", "-"): text.replace("TREE", str(tree)) for name, text in given.items()}
    return read_settings({"path": f"{tree}/data", **texts})


@pytest.mark.parametrize("name", ["users", "tokens", "signing_keys", "admin_token_file"])
@pytest.mark.parametrize("file", ["data/keys", "data/deep/keys", "database/to-data/keys", "data/../data/keys"])
def test_a_secret_below_the_served_path_is_refused(tree: Path, name: str, file: str) -> None:
    with pytest.raises(ConfigurationError, match="clients could download it"):
        check_not_served(settings(tree, **{name: f"TREE/{file}"}))


@pytest.mark.parametrize(
    "given",
    [
        {"path": "TREE/same"},
        {"path": "TREE/data/keys"},
        {"path": "TREE/database", "mount": "/m=TREE/data"},
        {"path": "TREE/database", "mount": "/m=TREE/data/keys"},
        {"path": "TREE/database", "allow_links_to": "TREE/data"},
        {"path": "/"},
    ],
)
def test_every_path_that_is_served_counts(tree: Path, given: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="clients could download it"):
        check_not_served(settings(tree, signing_keys="TREE/data/keys", **given))


def test_files_elsewhere_and_hidden_ones_are_accepted(tree: Path) -> None:
    check_not_served(settings(tree, users="TREE/database/keys", tokens="TREE/data/.keys"))
    check_not_served(settings(tree, path="TREE/data/deep/keys", signing_keys="TREE/data/keys"))


def test_a_hidden_name_counts_where_such_names_are_served(tree: Path) -> None:
    hidden = settings(tree, signing_keys="TREE/data/.keys")
    for shown in (replace(hidden, show_hidden=True), replace(hidden, rule=(Rule(hidden=(".keys",)),))):
        with pytest.raises(ConfigurationError, match="clients could download it"):
            check_not_served(shown)
