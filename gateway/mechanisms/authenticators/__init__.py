"""The ways to prove a caller."""
