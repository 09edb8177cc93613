"""What several commands read from the command line."""

import argparse

from pydantic import TypeAdapter, ValidationError

from gateway.model.settings import Seconds


def duration(text: str) -> float:
    """Return the seconds of a duration, as it is written in the configuration. Raises ArgumentTypeError."""
    try:
        seconds: float = TypeAdapter(Seconds).validate_python(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError("must be a duration: 10s, 5m, 1h, 1d") from error
    return seconds
