"""The server's certificate for HTTPS: from PEM, PKCS12 or a Java keystore, read again when its file changes."""

from __future__ import annotations

import os
import ssl
import threading
from base64 import b64encode
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

JAVA_MAGIC = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")  # JKS and JCEKS


class BadCertificate(Exception):
    """A file of certificates or keys cannot be used; the sentence says why."""


class ServerTls:
    """Gives the context for new connections. With `client_ca`, clients must show a certificate of those authorities.
    A file that cannot be used any more leaves the last good certificate in force."""

    def __init__(self, keystore: Path, password: str = "", client_ca: str = "") -> None:
        """Read the files. Raises BadCertificate."""
        self._keystore = keystore
        self._password = password
        self._client_ca = client_ca
        self._lock = threading.Lock()
        self._seen = self._mark()
        self._context = self._make()

    def context(self) -> ssl.SSLContext:
        """Return the context of the present certificate."""
        with self._lock:
            mark = self._mark()
            if mark != self._seen:
                self._seen = mark
                try:
                    self._context = self._make()
                    log.info("certificate read again", file=str(self._keystore))
                except BadCertificate as error:
                    log.error("the certificate stays as it was", file=str(self._keystore), reason=str(error))
            return self._context

    def _mark(self) -> tuple[int, ...]:
        try:
            found = self._keystore.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _make(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            content = self._keystore.read_bytes()
            if content.lstrip().startswith(b"-----BEGIN"):
                context.load_cert_chain(self._keystore, password=lambda: self._password)  # it never asks a terminal
            else:
                java = content.startswith(JAVA_MAGIC)
                pem = _from_java(content, self._password) if java else _from_pkcs12(content, self._password)
                _load(context, pem)
        except (OSError, ValueError) as error:  # ssl's errors are OSErrors
            raise BadCertificate(f"cannot be used: {str(error) or type(error).__name__}") from None
        if self._client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self._client_ca)
            except OSError as error:
                raise BadCertificate(f"no authorities can be read from {self._client_ca}: {error}") from None
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Load key and certificates from memory: the key is written to no disk."""
    descriptor = os.memfd_create("certificate")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _from_pkcs12(content: bytes, password: str) -> bytes:
    try:
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
    except ImportError:
        raise BadCertificate("a PKCS12 keystore needs cryptography: install chronos-py[tls]") from None
    key, own, others = pkcs12.load_key_and_certificates(content, password.encode() or None)
    if key is None or own is None:
        raise BadCertificate("the keystore has no key with its certificate")
    parts = [key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())]
    parts += [certificate.public_bytes(Encoding.PEM) for certificate in (own, *others)]
    return b"".join(parts)


def _from_java(content: bytes, password: str) -> bytes:
    try:
        import jks
    except ImportError:
        raise BadCertificate("a Java keystore needs pyjks: install chronos-py[jks]") from None
    try:
        entries = sorted(jks.KeyStore.loads(content, password).private_keys.items())
    except jks.KeystoreException as error:
        raise BadCertificate(f"the Java keystore cannot be read: {type(error).__name__} {error}") from None
    if not entries:
        raise BadCertificate("the keystore has no key with its certificate")
    _, entry = entries[0]  # by name: Java takes any
    return _pem("PRIVATE KEY", entry.pkey_pkcs8) + b"".join(_pem("CERTIFICATE", der) for _, der in entry.cert_chain)


def _pem(label: str, der: bytes) -> bytes:
    text = b64encode(der).decode()
    lines = "\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()
