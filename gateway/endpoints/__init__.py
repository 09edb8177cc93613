"""The gateway's own public routes."""
