"""The ways to prove who logs in. A new one is its own file, and a setting of `LoginSettings` (`config/sessions.py`)."""
