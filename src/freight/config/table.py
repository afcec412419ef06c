"""The table of settings, from which options, variables, keys and manual are made.

To add a setting, add a row to one of its two parts and a field to :class:`~freight.config.settings.Settings`; a test
compares the two. Defaults are texts as a user writes them, and are read and checked in the same way.
"""

from __future__ import annotations

from freight.config.download_settings import DOWNLOAD_SETTINGS
from freight.config.service_settings import SERVICE_SETTINGS
from freight.config.types import COMMON, GROUPS

__all__ = ["COMMON", "GROUPS", "SETTINGS"]

SETTINGS = (*DOWNLOAD_SETTINGS, *SERVICE_SETTINGS)
