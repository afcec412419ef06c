"""A server inside an application. ``freight.Server`` and the other public names are made from this package."""
