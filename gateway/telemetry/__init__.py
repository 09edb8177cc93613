"""Metrics, health and logs: what the gateway tells its operators."""
