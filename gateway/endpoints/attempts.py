"""What was tried at the endpoints of this process: guessing stays slow, whatever else is reloaded."""

from gateway.config.sessions import SessionsSettings
from gateway.endpoints.junk import JunkLimit
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings
from gateway.model.clock import Clock


class Attempts:
    """One per process."""

    def __init__(self, clock: Clock) -> None:
        self.slowing = Slowing(SlowingSettings())
        self.junk = JunkLimit(1, clock)

    def adapt(self, settings: SessionsSettings) -> None:
        """Go by other settings from now on, and forget nothing."""
        self.slowing.adapt(SlowingSettings() if settings.login is None else settings.login.slowing)
        self.junk.per_minute = settings.junk_per_minute
