"""Which addresses are this machine's own: no proxy of the environment stands before them, as for kubectl."""

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether a URL's host is localhost or a loopback address."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # what is no URL is nobody's
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
