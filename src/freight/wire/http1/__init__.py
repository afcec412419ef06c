"""HTTP/1: bytes to requests, and responses to bytes."""
