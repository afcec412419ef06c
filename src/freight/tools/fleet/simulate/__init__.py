"""``freight fleet simulate``: a model of a fleet of any size."""
