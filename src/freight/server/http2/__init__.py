"""Connections of HTTP/2: one socket for many streams. Loaded when a client speaks it."""
