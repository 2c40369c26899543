"""HTTPS to the master: certificates are checked, and calls go the same way as the stream."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from chronos_py.drivers.mesos import MesosDriver, MesosSettings
from chronos_py.model.messages import DriverReady, Revive
from tests.drivers.mesos.scripted import ScriptedMaster, a_master
from tests.drivers.rig import Listener, ends_soon


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def master(authority: trustme.CA) -> Iterator[ScriptedMaster]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with a_master(context) as master:
        yield master


def a_driver(master: ScriptedMaster, ca_file: Path | str) -> tuple[MesosDriver, Listener]:
    listener = Listener()
    settings = MesosSettings(f"https://{master.address}", ca_file=str(ca_file), call_timeout=5, longest_back_off=0.2)
    driver = MesosDriver(settings)
    driver.start(listener.events.put, "")
    return driver, listener


def test_a_master_with_a_certificate_of_a_trusted_authority(master, authority, tmp_path):
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    driver, listener = a_driver(master, tmp_path / "ca.pem")
    try:
        master.subscribed()
        listener.wait(lambda event: isinstance(event, DriverReady))
        driver.perform(Revive())
        assert master.call("REVIVE")["framework_id"] == {"value": "framework-1"}
    finally:
        driver.stop()


def test_a_certificate_of_nobody_we_trust_is_refused(master, tmp_path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    driver, listener = a_driver(master, tmp_path / "other.pem")
    try:
        assert ends_soon(lambda: "CERTIFICATE_VERIFY_FAILED" not in driver.status().detail["problem"])
        assert not driver.status().live
        assert master.subscriptions.empty() and listener.events.empty()
    finally:
        driver.stop()


def test_a_file_that_holds_no_certificate(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(OSError, match=r"PEM|certificate|CERTIFICATE"):
        MesosDriver(MesosSettings("https://127.0.0.1:1", ca_file=str(tmp_path / "ca.pem")))
