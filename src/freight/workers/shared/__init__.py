"""What the processes of one server share: counters, one budget, one gate, one set of rate limits."""
