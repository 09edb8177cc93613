"""What a session says of its client to the people who look at the list of sessions."""

from ipaddress import IPv6Address, ip_address, ip_network

_LONGEST = 128


def device_label(said: str | None, user_agent: str | None) -> str:
    """Return what the client calls itself, on one short line: `device`, or else its `User-Agent`."""
    text = "".join(char if char.isprintable() else " " for char in said or user_agent or "")
    return " ".join(text.split())[:_LONGEST]


def address_label(address: str) -> str:
    """Return an address without its last part: an IPv4 network of 256 addresses, an IPv6 network of one site."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return str(ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
