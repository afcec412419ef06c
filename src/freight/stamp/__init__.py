"""``freight stamp``: equal modification times on all replicas, by a manifest of the right ones."""
