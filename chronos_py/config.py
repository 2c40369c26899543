"""The server's settings: each flag's value, from wherever it was given, and whether they can be used together.

A value comes from, in this order: the command line, the environment (CHRONOS_<FLAG>, and three older names), a file
(`--config`, TOML), a folder with one file a flag (`--config_dir`), the default.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from chronos_py.errors import ChronosError
from chronos_py.flagfiles import BadFile, Given, read_folder, read_toml
from chronos_py.flags import BY_NAME, FLAGS, Flag
from chronos_py.machine import Said, read_machine, read_order
from chronos_py.zookeeper import ZooKeeperAddress, clean_path, parse_hosts

GROUP_THREADS = 4  # the leader waits for news in one, gives orders in another

_HOST = r"(?:[\w.-]+|\[[0-9A-Fa-f:.]+\])"
_MASTER = re.compile(rf"(?:https?://)?{_HOST}(?::\d{{1,5}})?/?|(?:zk|zoo)://(?:[^/@\s]+@)?{_HOST}(?::\d{{1,5}})?"
                     rf"(?:,{_HOST}(?::\d{{1,5}})?)*/[^\s?#]+", re.ASCII)  # fmt: skip
_ROLE = re.compile(r"\*|(?!-)(?!\.{1,2}(?:/|$))[^\s*,\x00-\x1f\\]+")


class BadSetting(ChronosError):
    """A flag has a value that cannot be used: nothing was started. `source` tells where the value came from."""

    def __init__(self, flag: str, value: object, reason: str, source: str = "") -> None:
        origin = f" (from {source})" if source else ""
        super().__init__(f"--{flag} {value}{origin}: {reason}")
        self.flag = flag


@dataclass(frozen=True, slots=True)
class Settings:
    """All options' values, checked: `settings.http_port`. `sources` tells where each value that was given came from."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def host(self) -> str:
        return str(self.values["hostname"] or socket.gethostname())

    @property
    def folder(self) -> Path:
        return Path(self.values["data_dir"]).absolute()

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Return (user, password), split at the last colon that leaves both; None: the server is open."""
        found = re.fullmatch(r"(.+):(.+)", str(self.values["http_credentials"]), re.DOTALL)
        return (found[1], found[2]) if found else None

    @property
    def idle(self) -> list[Flag]:
        """Return the flags that were given and have no effect yet."""
        return [BY_NAME[name] for name in sorted(self.sources) if BY_NAME[name].use == "idle"]

    @property
    def machine(self) -> list[Said]:
        """Return what `--resources` says of each agent of this machine."""
        return read_machine(str(self.values["resources"]))

    @property
    def order_map(self) -> dict[str, str]:
        """Return what `--resource_order` says by role."""
        return read_order(str(self.values["resource_order"]))

    @property
    def attribute_map(self) -> dict[str, str]:
        return parse_attributes(str(self.values["attributes"]))

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the roles to register with in Mesos."""
        return tuple(role.strip() for role in str(self.values["mesos_role"]).split(","))

    @property
    def zookeeper(self) -> ZooKeeperAddress | None:
        """Return how ZooKeeper is reached, None without it. Raises ValueError."""
        if not self.zk_hosts:
            return None
        return ZooKeeperAddress(
            parse_hosts(str(self.zk_hosts)),
            timeout=self.zk_timeout / 1000,
            auth=self.zk_auth,
            tls=self.zk_tls,
            ca_file=self.zk_ca_file,
            cert_file=self.zk_cert_file,
            key_file=self.zk_key_file,
        )

    @property
    def quotas_text(self) -> str:
        """Return what `--quotas` says as JSON, or what the file says that it names. Raises BadSetting."""
        text = str(self.values["quotas"]).strip()
        if not text or text.startswith("{"):
            return text
        try:
            return Path(text).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting("quotas", text, f"is no JSON object, and no file that can be read: {error}") from None

    @property
    def own_address(self) -> str:
        """Return where this machine itself reaches the server."""
        address = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.http_address, self.http_address)
        return f"[{address}]" if ":" in address else address


def parse_attributes(text: str) -> dict[str, str]:
    """Read `rack:r1;dc:x`. Raises BadSetting."""
    attributes: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, value = (piece.strip() for piece in part.partition(":"))
        if not name or not colon:
            raise BadSetting("attributes", text, f"{part!r} is not of the form name:value")
        if name in attributes:
            raise BadSetting("attributes", text, f"{name} is given twice")
        attributes[name] = value
    return attributes


def settle(command_line: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> Settings:
    """Put all sources together and check them. Raises BadSetting, naming flag and value."""
    environment = os.environ if environment is None else environment
    given = _from_files(command_line, environment)
    for flag in FLAGS:
        for variable in flag.variables:
            if variable in environment:
                given[flag.name] = environment[variable], variable
                break
    given |= {name: (value, "") for name, value in command_line.items() if value is not None}
    values = {flag.name: flag.default for flag in FLAGS}
    values |= {name: _converted(BY_NAME[name], value, source) for name, (value, source) in given.items()}
    settings = Settings(values, {name: source for name, (_, source) in given.items()})
    _check(settings)
    return settings


def _from_files(command_line: Mapping[str, Any], environment: Mapping[str, str]) -> Given:
    def named(flag: str) -> Path | None:
        name = command_line.get(flag) or environment.get(f"CHRONOS_{flag.upper()}")
        return Path(str(name)) if name else None

    folder, file = named("config_dir"), named("config")
    try:
        given = read_folder(folder, {flag.name: flag.kind == "flag" for flag in FLAGS}) if folder else {}
    except BadFile as error:
        raise BadSetting("config_dir", error.what, error.reason) from None
    try:
        return given | (read_toml(file, BY_NAME) if file else {})
    except BadFile as error:
        raise BadSetting("config", error.what, error.reason) from None


def _converted(flag: Flag, value: Any, source: str) -> Any:
    """Return the value in the flag's type, within its limits. Raises BadSetting."""

    def refuse(reason: str) -> BadSetting:
        return BadSetting(flag.name, flag.shown(value), reason, source)

    text = str(value)
    if flag.kind == "text":
        if flag.choices and text not in flag.choices:
            raise refuse(f"must be one of {', '.join(flag.choices)}")
        if any(ord(character) < 32 for character in text):
            raise refuse("must not contain control characters")
        return text
    text = text.strip()
    if flag.kind == "flag":
        if text.lower() not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
            raise refuse("must be true or false")
        return text.lower() in ("true", "yes", "on", "1")
    if flag.kind == "int" and not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise refuse("must be a whole number")
    try:
        number = int(text) if flag.kind == "int" else float(text)
    except ValueError:
        raise refuse("must be a number") from None
    if not math.isfinite(number) or number > flag.highest:
        raise refuse(f"must be at most {flag.highest:.15g}")
    if flag.lowest is not None and number < flag.lowest:
        raise refuse(f"must be at least {flag.lowest:.15g}")
    return number


def _check(settings: Settings) -> None:
    """Refuse what would be unsafe to ignore, and texts that have a form of their own. Raises BadSetting."""

    def refuse(name: str, reason: str) -> BadSetting:
        flag = BY_NAME[name]
        return BadSetting(name, flag.shown(settings.values[name]), reason, settings.sources.get(name, ""))

    if settings.master != "local" and not _MASTER.fullmatch(settings.master):
        raise refuse("master", "must be local, host:port, https://host:port, or zk://host:port,.../path")
    if settings.master != "local" and not all(map(find_spec, ("httptools", "pymesos"))):
        raise refuse("master", "needs what chronos-py[mesos] installs")
    if not all(_ROLE.fullmatch(role) for role in settings.roles) or len(set(settings.roles)) != len(settings.roles):
        raise refuse("mesos_role", "must be roles, each once, with commas between them")
    if settings.mesos_authentication_secret_file and not settings.mesos_authentication_principal:
        raise refuse("mesos_authentication_secret_file", "is of no use without --mesos_authentication_principal")
    _check_zookeeper(settings, refuse)
    for name in ("mesos_authentication_secret_file", "mesos_ca_file", "zk_ca_file", "zk_cert_file", "zk_key_file"):
        file = settings.values[name]
        if file and not os.access(file, os.R_OK):
            raise refuse(name, "cannot be read")
    zookeeper = settings.zookeeper
    if zookeeper is not None and zookeeper.tls:
        try:
            zookeeper.check_files()
        except OSError as error:
            name = "zk_ca_file" if settings.zk_ca_file else "zk_cert_file"
            raise refuse(name, f"no certificate can be read from it or its companions: {error}") from None
    for name in sorted(settings.sources):
        if BY_NAME[name].use == "refused" and settings.values[name]:
            raise refuse(name, BY_NAME[name].why_refused)
    if "http_credentials" in settings.sources and settings.credentials is None:
        raise refuse("http_credentials", "must be user:password; without the flag the server is open to everybody")
    _check_tls(settings, refuse)
    if settings.access_file and not os.access(settings.access_file, os.R_OK):
        raise refuse("access_file", "cannot be read")
    try:
        re.compile(settings.secret_variables)
    except re.error as error:
        raise refuse("secret_variables", f"is no regular expression: {error}") from None
    if '"' in settings.http_realm or "\\" in settings.http_realm:
        raise refuse("http_realm", "must not contain quotes or backslashes")
    if not settings.data_dir:
        raise refuse("data_dir", "must not be empty")
    _check_machine(settings, refuse)
    parse_attributes(settings.attributes)
    if settings.history_url:
        _check_url(settings, refuse("history_url", "no database can be reached by this URL"))


def _check_machine(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about agents and their resources can be read, and go together."""
    name = "resources"
    try:
        agents = settings.machine
        name = "resource_order"
        unknown = settings.order_map.keys() - {"", *settings.roles}
    except ValueError as error:
        raise refuse(name, str(error)) from None
    if unknown:
        raise refuse(name, f"{sorted(unknown)[0]} is not one of --mesos_role")
    if len(agents) > 1 and settings.zk_hosts:
        raise refuse("resources", "a node of several, by --zk_hosts, is one agent")


def _check_tls(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about HTTPS go together."""
    for name in ("ssl_keystore_password", "ssl_client_ca_file", "disable_http"):
        if settings.values[name] and not settings.ssl_keystore_path:
            raise refuse(name, "is of no use without --ssl_keystore_path")
    for name in ("ssl_keystore_path", "ssl_client_ca_file"):
        if settings.values[name] and not os.access(settings.values[name], os.R_OK):
            raise refuse(name, "cannot be read")
    if settings.disable_http and settings.zk_hosts:
        raise refuse("disable_http", "cannot be with --zk_hosts: nodes speak HTTP with each other")
    if settings.ssl_keystore_path and settings.http_port == settings.https_port != 0 and not settings.disable_http:
        raise refuse("https_port", "is the port for HTTP, too")


def _check_zookeeper(settings: Settings, refuse: Callable[[str, str], BadSetting]) -> None:
    """See that the flags about ZooKeeper go together."""
    try:
        parse_hosts(settings.zk_hosts) if settings.zk_hosts else None
    except ValueError as error:
        raise refuse("zk_hosts", str(error)) from None
    try:
        clean_path(settings.zk_path)
    except ValueError as error:
        raise refuse("zk_path", str(error)) from None
    if settings.zk_auth and not re.fullmatch(r"[^:]+:.+", settings.zk_auth, re.DOTALL):
        raise refuse("zk_auth", "must be user:password")
    for name in ("zk_ca_file", "zk_cert_file", "zk_key_file"):
        if settings.values[name] and not settings.zk_tls:
            raise refuse(name, "is of no use without --zk_tls")
    if bool(settings.zk_cert_file) != bool(settings.zk_key_file):
        raise refuse("zk_cert_file" if settings.zk_cert_file else "zk_key_file", "needs the other file of the pair")
    if settings.zk_hosts and settings.master == "local" and settings.http_threads < GROUP_THREADS:
        raise refuse("http_threads", f"must be {GROUP_THREADS} at least with --zk_hosts and tasks on this machine")


def _check_url(settings: Settings, problem: BadSetting) -> None:
    """See that the history's URL is one, and that what speaks to its database is installed."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        make_url(settings.history_url).get_dialect().import_dbapi()
    except ImportError as error:
        raise BadSetting("history_url", "(not shown)", f"{error}; is chronos-py[postgresql] installed?") from None
    except SQLAlchemyError:
        raise problem from None
