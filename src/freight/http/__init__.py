"""What a request means and what its response is. Pure: no clock, no descriptor, no socket."""
