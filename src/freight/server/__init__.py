"""Sockets: accepting, reading heads, ending connections."""
