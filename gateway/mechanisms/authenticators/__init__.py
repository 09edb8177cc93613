"""The ways to prove a caller. A new one is its own file, and one more member of this union."""

from gateway.mechanisms.authenticators.jwt import JwtSettings

AuthenticatorSettings = JwtSettings
