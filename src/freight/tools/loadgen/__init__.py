"""Clients in a process of their own, the network between them and a server, and what the server costs meanwhile."""
