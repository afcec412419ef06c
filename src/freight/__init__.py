"""Files of any size, to any number of clients, from a fixed amount of memory."""

__version__ = "0.1.0"
