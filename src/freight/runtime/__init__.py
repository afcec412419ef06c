"""One running server: its parts on an event loop, its signals, its end, and the programs around it."""
