"""Whom a client over HTTP trusts."""

import ssl

from shared.adapters.loopback import PLAIN, trusted


def test_over_https_it_is_whom_the_machine_trusts() -> None:
    """Also on loopback: only what cannot ask for certificates goes without."""
    assert trusted("https://127.0.0.1:8321") is True
    assert trusted("http://gateway:8321") is PLAIN


def test_what_knows_no_authority_trusts_nobody() -> None:
    """Were it ever used for https it would refuse, and not believe everybody."""
    assert PLAIN.verify_mode is ssl.CERT_REQUIRED
    assert PLAIN.check_hostname
    assert PLAIN.get_ca_certs() == []
