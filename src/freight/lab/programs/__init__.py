"""Small servers that the lab runs beside freight: one way of handing out a file each, short enough to be read."""
