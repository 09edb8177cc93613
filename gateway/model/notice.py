"""What the parts tell an operator. They write no log: whoever builds them decides how urgent it is."""

from collections.abc import Callable
from typing import Any

Notice = Callable[[str, dict[str, Any]], None]
"""Takes the name of an event, and its fields."""
