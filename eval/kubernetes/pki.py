"""The cluster's own certificate authority, its certificates, and the kubeconfigs that hold them."""

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from eval.kubeconfig import write_kubeconfig

CONTEXT: Final = "primum-test"
"""The name of the context in every kubeconfig of a test cluster."""
SERVER: Final = "https://127.0.0.1:6443"
_LIVES: Final = timedelta(days=30)


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Makes a certificate authority in a folder, and issues from it."""

    def __init__(self, folder: Path, now: datetime) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._folder, self._now = folder, now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "primum-test-ca")])
        own = self._begun(self._name, self._key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.ca = folder / "ca.crt"
        self.ca.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        self._write_key(folder / "ca.key", self._key)

    def issue(
        self, name: str, common_name: str, organization: str = "", hosts: Sequence[str] = (), lives: timedelta = _LIVES
    ) -> Pair:
        """Issue a certificate for a client and, if it has hosts (names or addresses), for a server.

        It ends after `lives`; less than nothing, down to some minutes, makes one that is out of date.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if hosts else [])]
        begun = (
            self._begun(x509.Name(parts), key.public_key(), lives)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            begun = begun.add_extension(names, critical=False)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        signed = begun.sign(self._key, hashes.SHA256())
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self._write_key(pair.key, key)
        return pair

    def signing_pair(self, name: str) -> Pair:
        """Make a bare key pair, for ServiceAccount tokens; the certificate's place holds the public key."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = Pair(self._folder / f"{name}.pub", self._folder / f"{name}.key")
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        pair.certificate.write_bytes(public)
        self._write_key(pair.key, key)
        return pair

    def kubeconfig(self, path: Path, pair: Pair) -> Path:
        """Write a kubeconfig that signs in with a certificate."""
        user = {"client-certificate": str(pair.certificate), "client-key": str(pair.key)}
        return write_kubeconfig(path, SERVER, user, context=CONTEXT, ca=self.ca)

    def _begun(
        self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, lives: timedelta = _LIVES
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - timedelta(minutes=5))
            .not_valid_after(self._now + lives)
        )

    @staticmethod
    def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
