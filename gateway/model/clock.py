"""Time is passed in, so that a test can set it."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Gives Unix seconds."""

unix_now: Clock = time.time
