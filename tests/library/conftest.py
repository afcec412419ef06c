"""The fixture for applications, in the tests of the library itself."""

from freight.testing import freight_server

__all__ = ["freight_server"]
