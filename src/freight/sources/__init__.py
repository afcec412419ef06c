"""Where bytes come from. Each source implements :class:`freight.ports.Source`; none knows another."""
