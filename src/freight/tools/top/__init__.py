"""``freight top``: watch a running server in a terminal, from a process of its own."""
