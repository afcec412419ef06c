"""``freight lab``: measure, from outside, what servers and their clients cost. Each server is a separate process."""
