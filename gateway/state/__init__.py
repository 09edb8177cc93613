"""What outlives a request: sessions and revocations, in SQLite or Redis."""
