"""Admission, transfers and their limits: which requests run, and how their bodies are sent."""
