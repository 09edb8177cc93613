"""Asking a gateway that runs, through its admin API."""
