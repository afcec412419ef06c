"""``freight sync-mtimes``: equal modification times on all replicas, by a manifest."""
