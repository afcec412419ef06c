"""Bytes <-> events. Pure: no file, no socket, no clock is known here."""
