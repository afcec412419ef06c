"""Bytes to events, and responses to bytes. Pure: no file, no socket, no clock."""
