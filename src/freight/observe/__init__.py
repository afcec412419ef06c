"""Observability: log, status, metrics, events, dashboard. The data path never imports it."""
