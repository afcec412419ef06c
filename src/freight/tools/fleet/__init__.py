"""``freight fleet``: many nodes behind an engine that balances them."""
