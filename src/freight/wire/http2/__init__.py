"""HTTP/2: frames to requests, and responses to frames."""
