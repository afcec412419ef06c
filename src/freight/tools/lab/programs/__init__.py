"""Small servers that the lab compares with freight: one way of sending a file each, short enough to read."""
