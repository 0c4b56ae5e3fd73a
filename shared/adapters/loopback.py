"""Which addresses are this machine's own: no proxy of the environment stands before them, as for kubectl."""

import ipaddress
import ssl
from typing import Final
from urllib.parse import urlsplit

PLAIN: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What a client of an http:// server needs to know of authorities: none. To read all of them takes 20 ms of CPU."""


def trusted(url: str) -> ssl.SSLContext | bool:
    """Return whom an HTTP client may trust, as httpx's `verify`: those whom the machine trusts, if they are asked."""
    return PLAIN if url.startswith("http://") else True


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
