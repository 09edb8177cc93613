"""An API gateway that validates bearer tokens in front of the services that exist."""

__version__ = "0.1.0"
