"""The ways to prove who logs in. A new one is its own file, and its name here."""

from gateway.mechanisms.logins.backend import BackendLoginSettings
from gateway.mechanisms.logins.base import Attempt, Login, ProvenUser
from gateway.mechanisms.logins.guarded import GuardedLogin
from gateway.mechanisms.logins.slowing import Slowing, SlowingSettings
from gateway.mechanisms.logins.users_file import UsersFileSettings

__all__ = [
    "Attempt",
    "BackendLoginSettings",
    "GuardedLogin",
    "Login",
    "ProvenUser",
    "Slowing",
    "SlowingSettings",
    "UsersFileSettings",
]
