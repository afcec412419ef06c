"""The settings: one table, and where each gets its value."""
