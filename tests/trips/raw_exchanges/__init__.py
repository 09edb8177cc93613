"""Malformed and ambiguous HTTP/1.1 exchanges, both ends raw sockets, through the real gateway."""
