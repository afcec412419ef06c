"""The laboratory: servers as processes of their own, a crowd of clients, and what it costs, seen from outside."""
