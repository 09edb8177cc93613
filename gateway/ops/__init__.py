"""Metrics and health on their own port."""
