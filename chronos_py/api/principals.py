"""Who may ask: users and tokens with roles, from a file that is read anew when it changes."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import Type

from chronos_py.errors import ChronosError
from chronos_py.model.job import Job

log = structlog.get_logger(__name__)

HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1, type=Type.ID)  # what OWASP recommends
LARGEST_FILE = 4 * 1024 * 1024
_TOKEN_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_KEYS = {"hash", "role", "owners", "labels", "expires"}


class BadAccessFile(ChronosError):
    """The file of users and tokens cannot be used; the sentence says where and why."""


class Role(IntEnum):
    """What a role may, so may those above it. A reader sees, without secrets; an operator changes, runs and kills jobs;
    an admin besides purges the queue, changes log levels and reads the audit log."""

    READER = 1
    OPERATOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Principal:
    """Someone known. With `owners` or `labels`, only jobs of one of these owners, or with all these labels, may be
    changed, run and killed, and only their secrets are shown."""

    name: str
    role: Role
    owners: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    expires: float | None = None  # seconds since 1970

    @property
    def limited(self) -> bool:
        return bool(self.owners or self.labels)

    def may_change(self, job: Job | None) -> bool:
        """Tell whether the job is within the limits; None, a job that is not known, is within none."""
        if self.role < Role.OPERATOR:
            return False
        if not self.limited:
            return True
        if job is None:
            return False
        if any(owner.strip() in self.owners for owner in job.owner.split(",")):
            return True
        theirs = {(pair.key, pair.value) for pair in job.labels}
        return bool(self.labels) and theirs.issuperset(self.labels)

    def sees_secrets(self, job: Job) -> bool:
        return self.may_change(job)


ANYONE = Principal("anonymous", Role.ADMIN)  # where nobody is asked for credentials

Kind = Literal["users", "tokens"]


@dataclass(frozen=True, slots=True)
class Known:
    """A principal and the argon2 hash of its password or token."""

    principal: Principal
    hash: str


@dataclass(frozen=True, slots=True)
class AccessList:
    users: Mapping[str, Known] = field(default_factory=dict)
    tokens: Mapping[str, Known] = field(default_factory=dict)


def parse(text: str) -> AccessList:
    """Read the file's TOML. Raises BadAccessFile, naming table, key and value."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadAccessFile(f"is no TOML: {error}") from None
    for name in document.keys() - {"users", "tokens"}:
        raise BadAccessFile(f"{name}: there are users and tokens only")
    return AccessList(_section(document, "users"), _section(document, "tokens"))


def _section(document: Mapping[str, Any], kind: Kind) -> dict[str, Known]:
    section = document.get(kind, {})
    if not isinstance(section, dict):
        raise BadAccessFile(f"{kind}: must be tables, [{kind}.<name>]")
    return {name: _known(kind, name, entry) for name, entry in section.items()}


def _known(kind: Kind, name: str, entry: Any) -> Known:
    where = f"{kind}.{name}"
    if not isinstance(entry, dict):
        raise BadAccessFile(f"{where}: must be a table")
    if kind == "tokens" and not _TOKEN_NAME.fullmatch(name):
        raise BadAccessFile(f"{where}: a token's name has letters, digits, - and _ only")
    if kind == "users" and (not name or ":" in name):
        raise BadAccessFile(f"{where}: a user's name must not be empty or have a colon")
    for key in entry.keys() - _KEYS:
        raise BadAccessFile(f"{where}.{key}: is not one of {', '.join(sorted(_KEYS))}")
    try:
        role = Role[str(entry.get("role", "")).upper()]
    except KeyError:
        raise BadAccessFile(f"{where}.role: must be reader, operator or admin") from None
    owners, labels, expires = entry.get("owners", []), entry.get("labels", {}), entry.get("expires")
    if not isinstance(owners, list) or not all(isinstance(owner, str) and owner.strip() for owner in owners):
        raise BadAccessFile(f"{where}.owners: must be a list of texts")
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise BadAccessFile(f"{where}.labels: must be a table of texts")
    if expires is not None and not (isinstance(expires, datetime) and expires.tzinfo is not None):
        raise BadAccessFile(f"{where}.expires: must be a date and time with a zone, 2030-01-01T00:00:00Z")
    hashed = entry.get("hash")
    try:
        HASHER.check_needs_rehash(hashed if isinstance(hashed, str) else "")
    except InvalidHashError:
        raise BadAccessFile(f"{where}.hash: must be an argon2 hash, as `chronos-py access` prints it") from None
    assert isinstance(hashed, str)
    until = expires.astimezone(UTC).timestamp() if expires is not None else None
    limits = tuple(owner.strip() for owner in owners), tuple(sorted(labels.items()))
    return Known(Principal(f"{kind[:-1]} {name}", role, *limits, expires=until), hashed)


def fits(hashed: str, secret: str) -> bool:
    """Tell whether a secret has this hash; takes tens of milliseconds."""
    try:
        return HASHER.verify(hashed, secret)
    except Argon2Error:
        return False


class AccessFile:
    """The file's present content. What cannot be read later leaves the last good content in force."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises BadAccessFile."""
        self._path = path
        self._seen: tuple[int, ...] = ()
        self.version = 0
        self.content = AccessList()
        self._seen = self._mark()
        self.content = self._read()
        if path.stat().st_mode & 0o007:
            log.warning("the file of users and tokens is open to everybody on this machine", file=str(path))

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        try:
            mark = self._mark()
            if mark == self._seen:
                return
            self._seen = mark
            self.content = self._read()
            self.version += 1
        except BadAccessFile as error:
            if self._seen:
                log.error("the file of users and tokens stays as it was", file=str(self._path), reason=str(error))
        else:
            log.info("users and tokens read again", users=len(self.content.users), tokens=len(self.content.tokens))

    def _mark(self) -> tuple[int, ...]:
        try:
            found = os.stat(self._path)
        except OSError as error:
            if self._seen:
                return self._seen
            raise BadAccessFile(f"cannot be read: {error.strerror}") from None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> AccessList:
        try:
            with self._path.open(encoding="utf-8") as file:
                text = file.read(LARGEST_FILE + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise BadAccessFile(f"cannot be read: {error}") from None
        if len(text) > LARGEST_FILE:
            raise BadAccessFile(f"is longer than {LARGEST_FILE} characters")
        return parse(text)
