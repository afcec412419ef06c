"""``freight top``: a running server in a terminal, seen from a process of its own."""
