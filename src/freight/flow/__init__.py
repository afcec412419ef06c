"""How much may flow, and the flowing."""
