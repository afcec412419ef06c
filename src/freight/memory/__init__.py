"""The memory budget: what clients may hold, and what the kernel and the process do hold."""
