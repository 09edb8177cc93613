"""The replaceable parts: sources, authenticators, policies, mutators."""
