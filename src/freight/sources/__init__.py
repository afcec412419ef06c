"""Sources of representations. Each implements :class:`freight.protocols.Source`. Sources do not import one another."""
