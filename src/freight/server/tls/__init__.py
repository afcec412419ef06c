"""TLS on a connection, and certificates. Loaded when it is asked for."""
