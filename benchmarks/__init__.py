"""Measures freight beside the servers people would use instead. ``./scripts/bench`` runs it; README.md says how."""
