"""What operators are shown of a running gateway: of one process, or of all its workers together."""
