"""Whether the Mesos master of --master can be reached and would take us; it is only asked, nobody registers."""

from __future__ import annotations

import re
import ssl
import threading
from typing import Any

import requests

from chronos_py.config import Settings
from chronos_py.doctor.checkup import CheckUp
from chronos_py.drivers.mesos.masters import ElectedMaster, find_masters

PATIENCE_S = 10.0
OLDEST = (1, 4)
FLAG = "check --master, and whether a master leads there"


def check_master(found: CheckUp, settings: Settings) -> None:
    """Add what is to be said of the master; with --master local there is none."""
    master = settings.master
    if master == "local":
        found.facts["Master"] = "none: tasks run on this machine"
        return
    secure = settings.mesos_tls or master.startswith("https://")
    url = _leading(found, master, ssl.create_default_context() if secure else None)
    if not url:
        return
    found.facts["Master"] = url
    with requests.Session() as session:
        session.trust_env = False
        session.verify = settings.mesos_ca_file or True
        try:
            version = _ask(session, f"{url}/version")
        except (requests.RequestException, ValueError) as error:
            text = f"the master at {url} cannot be asked: {_short(error)}"
            found.add("master", "fatal", text, "check --master, --mesos_tls, --mesos_ca_file and the network")
            return
        _version(found, str(version.get("version", "")))
        _elected(found, session, url)
        _flags(found, session, url, settings)


def _leading(found: CheckUp, master: str, tls: ssl.SSLContext | None) -> str:
    """Return the leading master's URL, empty when there is none."""
    masters = find_masters(master, tls)
    if not isinstance(masters, ElectedMaster):
        return masters.current().url
    known = threading.Event()
    masters.start(known.set)
    try:
        known.wait(PATIENCE_S)
        endpoint = masters.current()
    finally:
        masters.stop()
    if endpoint is None:
        where = re.sub(r"//[^/@]*@", "//", master)
        found.add("master", "fatal", f"no leading master is to be found by {where}", FLAG)
        return ""
    return endpoint.url


def _ask(session: requests.Session, url: str) -> dict[str, Any]:
    """Return a JSON object. Raises RequestException, ValueError."""
    answer = session.get(url, timeout=PATIENCE_S, allow_redirects=False)
    answer.raise_for_status()
    form = answer.json()
    if not isinstance(form, dict):
        raise ValueError(f"{url}: the answer is no object; is this a Mesos master?")
    return form


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]


def _version(found: CheckUp, version: str) -> None:
    found.facts["Mesos"] = version or "of unknown version"
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if numbers and numbers < OLDEST:
        text = f"Mesos {version} is older than 1.4: the API that frameworks subscribe by is not complete there"
        found.add("mesos_version", "fatal", text, "update Mesos; masters first, then agents")


def _elected(found: CheckUp, session: requests.Session, url: str) -> None:
    try:
        figures = _ask(session, f"{url}/metrics/snapshot")
    except (requests.RequestException, ValueError):
        return  # masters may be told to show it to nobody
    if figures.get("master/elected") == 0:
        text = "this master does not lead: it redirects to the one that does, until it is stopped"
        found.add("follower", "warning", text, "give --master zk://host:port,.../path, so that any may lead")
    if figures.get("master/slaves_active") == 0:
        found.add("no_agents", "warning", "the master has no agents: nothing can run", "start agents")


def _flags(found: CheckUp, session: requests.Session, url: str, settings: Settings) -> None:
    try:
        flags = _ask(session, f"{url}/flags").get("flags")
    except (requests.RequestException, ValueError) as error:
        text = f"the master does not show its flags, so credentials and roles were not checked: {_short(error)}"
        found.add("flags", "note", text)
        return
    if not isinstance(flags, dict):
        return
    principal = str(settings.mesos_authentication_principal)
    asks = str(flags.get("authenticate_http_frameworks", "false")).lower() == "true"
    by = str(flags.get("http_framework_authenticators", ""))
    if asks and not (principal and settings.mesos_authentication_secret_file):
        fix = "give --mesos_authentication_principal and --mesos_authentication_secret_file"
        found.add("credentials", "fatal", "the master takes only frameworks that show who they are", fix)
    elif asks and by and "basic" not in by:
        text = f"the master asks frameworks by {by}; ours knows HTTP Basic alone"
        found.add("authenticator", "fatal", text, "give masters --http_framework_authenticators=basic")
    elif settings.mesos_authentication_secret_file and not asks:
        text = "the master does not ask HTTP frameworks who they are: the secret is of no use"
        fix = "give masters --authenticate_http_frameworks and --http_framework_authenticators=basic"
        found.add("no_authentication", "warning", text, fix)
    allowed = [role for role in str(flags.get("roles") or "").split(",") if role]
    refused = [role for role in settings.roles if allowed and role not in (*allowed, "*")]
    if refused:
        text = "the master has a list of roles, and these are not on it"
        found.add("roles", "fatal", text, "give --mesos_role as it is there, or masters --roles", refused)
