"""HTTPS: from each kind of keystore, with client certificates, and a certificate that changes while the server runs."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jks
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)
from cryptography.x509 import load_pem_x509_certificate

from chronos_py.config import BadSetting, settle
from chronos_py.tls import BadCertificate, ServerTls
from tests.test_cli import Servers

PASSWORD = "changeit"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve() -> Iterator[Servers]:
    servers = Servers()
    yield servers
    servers.end()


def pem(leaf: trustme.LeafCert) -> bytes:
    return leaf.private_key_and_cert_chain_pem.bytes()


def store(kind: str, leaf: trustme.LeafCert) -> bytes:
    """Return a keystore with a certificate and its key."""
    if kind == "pem":
        return pem(leaf)
    key: Any = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    certificate = load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    if kind == "pkcs12":
        return pkcs12.serialize_key_and_certificates(
            b"chronos",
            key,
            certificate,
            None,
            BestAvailableEncryption(PASSWORD.encode()),
        )
    der = [ssl.PEM_cert_to_DER_cert(leaf.cert_chain_pems[0].bytes().decode())]
    raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    entry = jks.PrivateKeyEntry.new("chronos", der, raw, "pkcs8")
    content: bytes = jks.KeyStore.new("jks", [entry]).saves(PASSWORD)
    return content


@pytest.mark.parametrize("kind", ["pem", "pkcs12", "jks"])
def test_kinds_of_keystores(tmp_path: Path, authority: trustme.CA, kind: str):
    file = tmp_path / "store"
    file.write_bytes(store(kind, authority.issue_cert("127.0.0.1")))
    assert ServerTls(file, PASSWORD).context().minimum_version is ssl.TLSVersion.TLSv1_2
    if kind != "pem":
        with pytest.raises(BadCertificate):
            ServerTls(file, "wrong")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN nonsense", b"\xfe\xed\xfe\xedxxx"])
def test_files_that_are_none(tmp_path: Path, content: bytes):
    file = tmp_path / "store"
    file.write_bytes(content)
    with pytest.raises(BadCertificate):
        ServerTls(file, PASSWORD)


def test_https_beside_http_and_a_new_certificate(tmp_path: Path, authority: trustme.CA, serve: Servers):
    file, ca = tmp_path / "store", tmp_path / "ca.pem"
    file.write_bytes(store("jks", authority.issue_cert("127.0.0.1")))
    authority.cert_pem.write_to_path(ca)
    options = ("--ssl_keystore_path", str(file), "--ssl_keystore_password", PASSWORD, "--https_port", "0")
    server = serve(tmp_path, *options).wait()
    url = f"https://127.0.0.1:{int((server.folder / 'https_port').read_text())}"
    with requests.Session() as session:
        session.trust_env, session.verify = False, str(ca)
        for _ in range(3):  # over one connection
            assert session.get(f"{url}/ping", timeout=20).text == "pong\n"
        body = {"name": "a", "command": "true", "schedule": "R/2040-01-01T00:00:00Z/P1D", "description": "x" * 100_000}
        assert session.post(f"{url}/v1/scheduler/iso8601", json=body, timeout=20).status_code == 204
    assert server.jobs() == ["a"]
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{url}/ping", timeout=20)
    other = trustme.CA()
    new = tmp_path / "new"
    new.write_bytes(store("pkcs12", other.issue_cert("127.0.0.1")))
    os.replace(new, file)
    other.cert_pem.write_to_path(ca)
    assert requests.get(f"{url}/ping", verify=str(ca), timeout=20).text == "pong\n"
    file.write_bytes(b"broken")
    assert requests.get(f"{url}/ping", verify=str(ca), timeout=20).text == "pong\n"


def test_https_alone_with_client_certificates(tmp_path: Path, authority: trustme.CA, serve: Servers):
    file, ca, client = tmp_path / "store", tmp_path / "ca.pem", tmp_path / "client.pem"
    file.write_bytes(store("pem", authority.issue_cert("127.0.0.1")))
    authority.cert_pem.write_to_path(ca)
    client.write_bytes(pem(authority.issue_cert("client@example.org")))
    options = ("--ssl_keystore_path", str(file), "--ssl_client_ca_file", str(ca), "--https_port", "0", "--disable_http")
    server = serve(tmp_path, *options)
    with requests.Session() as session:
        session.trust_env, session.verify, session.cert = False, str(ca), str(client)
        port = server.folder / "https_port"
        while not (port.exists() and port.read_text().endswith("\n")):
            assert server.process.poll() is None, server.log.read_text()
            time.sleep(0.02)
        url = f"https://127.0.0.1:{int(port.read_text())}"
        assert session.get(f"{url}/ping", timeout=30).text == "pong\n"
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.get(f"{url}/ping", verify=str(ca), timeout=20)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"disable_http": True}, "--disable_http True: is of no use without"),
        ({"ssl_keystore_path": "/nowhere"}, "cannot be read"),
        ({"ssl_keystore_password": "x"}, r"--ssl_keystore_password \(not shown\): is of no use"),
        ({"ssl_keystore_path": __file__, "disable_http": True, "zk_hosts": "z:1"}, "nodes speak HTTP"),
        ({"ssl_keystore_path": __file__, "https_port": 8080}, "is the port for HTTP, too"),
    ],
)
def test_bad_flags(flags: dict[str, object], sentence: str):
    with pytest.raises(BadSetting, match=sentence):
        settle(flags, {})
