"""Fuzzing: `python -m tests.fuzz`; see docs/fuzzing.md."""
