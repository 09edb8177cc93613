"""The data plane: bytes between a client and an upstream."""
