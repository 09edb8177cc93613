"""Words and errors that every floor shares."""
