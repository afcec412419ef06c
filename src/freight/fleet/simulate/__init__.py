"""``freight fleet simulate``: a model of a fleet, for planning past the machine at hand."""
