"""``freight stamp``: the same times on every replica, by a manifest of what is right."""
