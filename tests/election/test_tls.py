"""TLS to ZooKeeper: its certificate is checked, and ours is shown where it asks for one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from kazoo.handlers.threading import KazooTimeoutError

from chronos_py.election import ZooKeeperLeadership
from chronos_py.zookeeper import ZooKeeperAddress
from compat_tests.servers.chronos import free_port
from compat_tests.servers.zookeeper import answers, command, missing
from tests.waiting import until

# kazoo leaves sockets of failed handshakes to the garbage collector.
pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def write(certificate: trustme.LeafCert, file: Path) -> None:
    """Write key and chain in the one form of PEM that Java reads, which everybody else reads too."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    file.write_bytes(pem + b"".join(part.bytes() for part in certificate.cert_chain_pems))


class Server:
    """A ZooKeeper that speaks TLS, and shows no trust to clients without a certificate of its authority."""

    def __init__(self, folder: Path) -> None:
        if missing():
            pytest.skip(missing())
        self.authority = trustme.CA()
        self.ca_file, self.client_file = str(folder / "ca.pem"), str(folder / "client.pem")
        self.authority.cert_pem.write_to_path(self.ca_file)
        write(self.authority.issue_cert("localhost"), folder / "server.pem")
        write(self.authority.issue_cert("client"), folder / "client.pem")
        plain, secure = free_port(), free_port()
        self.hosts = f"localhost:{secure}"
        lines = [f"secureClientPort={secure}", "secureClientPortAddress=127.0.0.1", "ssl.clientAuth=need"]
        lines += ["serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"]
        lines += [f"ssl.keyStore.location={folder}/server.pem", "ssl.keyStore.type=PEM"]
        lines += [f"ssl.trustStore.location={folder}/ca.pem", "ssl.trustStore.type=PEM"]
        (folder / "data").mkdir()
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command(folder / "data", plain, lines), stdout=log, stderr=log)
        until(lambda: answers(plain), 60)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("zookeeper"))
    yield server
    server.close()


def test_an_election_over_tls(server: Server):
    own = server.client_file
    address = ZooKeeperAddress(
        server.hosts, timeout=6, tls=True, ca_file=server.ca_file, cert_file=own, key_file=own, auth="me:secret"
    )
    election = ZooKeeperLeadership(address.client, "/tls/candidate", "me:1", acl=address.acl(), timeout=6)
    election.start(lambda: None, lambda reason: None)
    until(election.is_leader, 60)
    election.stop()


@pytest.mark.parametrize("lacking", ["authority", "certificate", "name", "tls"])
def test_who_cannot_be_trusted_is_not_spoken_with(server: Server, tmp_path: Path, lacking: str):
    ca_file, own, hosts = server.ca_file, server.client_file, server.hosts
    if lacking == "authority":
        ca_file = str(tmp_path / "other.pem")
        trustme.CA().cert_pem.write_to_path(ca_file)
    elif lacking == "certificate":
        own = ""
    elif lacking == "name":
        hosts = hosts.replace("localhost", "127.0.0.1")
    address = ZooKeeperAddress(hosts, timeout=6, tls=lacking != "tls", ca_file=ca_file, cert_file=own, key_file=own)
    client = address.client()
    with pytest.raises(KazooTimeoutError):
        client.start(3)
    client.close()
