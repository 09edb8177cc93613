"""Whether the modules that a request passes through run compiled. This one is compiled with them."""

from typing import Final

IS_COMPILED: Final = not __file__.endswith(".py")
