"""The ways to prove a caller. A new one is its own file, and one more member of this union."""

from typing import Annotated

from pydantic import Field

from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import JwtSettings

AuthenticatorSettings = Annotated[JwtSettings | IssuedSettings, Field(discriminator="type")]
