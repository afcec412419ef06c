"""Programs beside the server: each a command of its own. The server imports none of them."""
