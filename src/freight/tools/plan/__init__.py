"""``freight plan``: how many clients fit in a memory budget, and which budget a number of clients needs."""
