"""The decisions, pure: what a request means and what its answer is, without a clock, a descriptor or a socket."""
