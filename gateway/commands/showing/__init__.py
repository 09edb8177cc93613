"""Text for people: tables, the reference, points in time."""
