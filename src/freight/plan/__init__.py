"""``freight plan``: how many clients a budget carries, and which budget so many need."""
