"""Jobs as those see them who may not see secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from chronos_py.api.backend import Revisions
from chronos_py.logs import HIDDEN
from chronos_py.model.job import Fetch, Job
from chronos_py.model.register import Register, Wanted
from chronos_py.model.revision import Revision
from chronos_py.model.run import Run
from chronos_py.model.view import JobView, View

# Of text that may be JSON: what stands between quotes is one value. The first part may be a user, or a token alone.
_IN_URL = re.compile(r"""(://)[^/\s"'\\<>@]*(?:@[^/\s"'\\<>@]*)*@""")

_USER = rb"""([^/\s"'\\<>@]*(?:@[^/\s"'\\<>@]*)*@)"""
_IN_BYTES = re.compile(rb"(://)" + _USER)
_IN_BYTES_SO_FAR = re.compile(rb"(://)((?:" + _USER[1:-1] + rb""")|[^/\s"'\\<>@]+\Z)""")
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"';&|]+)"""
_ASSIGNED = re.compile(rf"([A-Za-z_][\w.-]*)(=){_VALUE}")
_OPTION = re.compile(rf"(?<!\S)(--?[A-Za-z][\w-]*)(\s+)(?!-){_VALUE}")
_OPTION_ALONE = re.compile(r"--?[A-Za-z][\w-]*")
_HEADER = re.compile(r"(?i)(authorization:\s*(?:(?:basic|bearer|token)\s+)?)[^\s\"']+")
LOGIN_OPTIONS = ("-u", "--user")
_LOGIN = re.compile(r"((?<!\S)(?:-u|--user)[\s=]+[\"']?[^\s:\"']*:)[^\s\"']+")


def without_url_secrets(text: str) -> str:
    """Return the text with user and password of all URLs hidden."""
    return _IN_URL.sub(rf"\g<1>{HIDDEN}@", text) if "://" in text and "@" in text else text


def same_length_without_url_secrets(data: bytes, *, more: bool) -> bytes:
    """Return the bytes with stars for user and password of all URLs, @ included; `more`: what follows is not known, so
    that what may be the beginning of a password at the end is one."""
    if b"://" not in data:
        return data
    pattern = _IN_BYTES_SO_FAR if more else _IN_BYTES
    return pattern.sub(lambda found: found[1] + b"*" * len(found[2]), data)


class Mask:
    """Hides what is secret. `names` matches the names of variables and options whose values are."""

    def __init__(self, names: re.Pattern[str]) -> None:
        self._names = names

    def text(self, text: str) -> str:
        """Return a command without secrets, as far as they can be told: NAME=value, --name value, -u user:password, an
        Authorization header, URLs."""

        def hidden(found: re.Match[str]) -> str:
            return f"{found[1]}{found[2]}{HIDDEN}" if self._names.search(found[1]) else found[0]

        text = _ASSIGNED.sub(hidden, without_url_secrets(text))
        text = _OPTION.sub(hidden, text)
        return _LOGIN.sub(rf"\g<1>{HIDDEN}", _HEADER.sub(rf"\g<1>{HIDDEN}", text))

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        found, secret = [], False
        for argument in arguments:
            found.append(HIDDEN if secret else self.text(argument))
            option = _OPTION_ALONE.fullmatch(argument) is not None
            secret = option and (argument in LOGIN_OPTIONS or self._names.search(argument) is not None)
        return found

    def value(self, name: str, value: str) -> str:
        return HIDDEN if self._names.search(name) else self.text(value)

    def job(self, job: Job) -> Job:
        container = job.container
        if container is not None:
            parameters = tuple(replace(one, value=self.value(one.key, one.value)) for one in container.parameters)
            container = replace(container, parameters=parameters)
        return replace(
            job,
            command=self.text(job.command),
            arguments=tuple(self.arguments(job.arguments)),
            executor_flags=self.text(job.executor_flags),
            task_info_data=self.text(job.task_info_data),
            container=container,
            uris=tuple(map(without_url_secrets, job.uris)),
            fetch=tuple(self._fetch(fetch) for fetch in job.fetch),
            environment=tuple(replace(one, value=self.value(one.name, one.value)) for one in job.environment),
        )

    def document(self, text: str | None) -> str | None:
        """Return a job's document, as JSON, as `job` would have it."""
        if not text:
            return text
        document = json.loads(text)
        for variable in document.get("environmentVariables") or ():
            variable["value"] = self.value(str(variable.get("name", "")), str(variable.get("value", "")))
        for parameter in (document.get("container") or {}).get("parameters") or ():
            parameter["value"] = self.value(str(parameter.get("key", "")), str(parameter.get("value", "")))
        for field in ("command", "executorFlags", "taskInfoData"):
            if document.get(field):
                document[field] = self.text(str(document[field]))
        if document.get("arguments"):
            document["arguments"] = self.arguments([str(argument) for argument in document["arguments"]])
        return without_url_secrets(json.dumps(document))

    @staticmethod
    def _fetch(fetch: Fetch) -> Fetch:
        return replace(fetch, uri=without_url_secrets(fetch.uri))


class MaskedRevisions:
    """Revisions with the secrets in their documents hidden; all of them, for who owned a job then is not asked."""

    def __init__(self, revisions: Revisions, mask: Mask) -> None:
        self._revisions, self._mask = revisions, mask

    def of_job(self, job: str, limit: int, before: int | None = None) -> list[Revision]:
        return [self._masked(revision) for revision in self._revisions.of_job(job, limit, before)]

    def get(self, job: str, number: int) -> Revision | None:
        found = self._revisions.get(job, number)
        return None if found is None else self._masked(found)

    def _masked(self, revision: Revision) -> Revision:
        return replace(revision, before=self._mask.document(revision.before), after=self._mask.document(revision.after))


Kept = dict[str, tuple[JobView, JobView]]  # by name: the job as it is, and as it is shown


class MaskedJobs(dict[str, JobView]):
    """A view's jobs with secrets hidden where `sees` says so; made when asked for, kept while the job is the same."""

    def __init__(
        self,
        jobs: Mapping[str, JobView],
        mask: Mask,
        sees: Callable[[Job], bool],
        kept: Kept,
    ) -> None:
        super().__init__()
        self._jobs, self._mask, self._sees, self._kept = jobs, mask, sees, kept

    def _masked(self, view: JobView) -> JobView:
        if self._sees(view.job):
            return view
        name = view.job.name
        found = self._kept.get(name)
        if found is None or found[0] is not view:
            found = self._kept[name] = view, replace(view, job=self._mask.job(view.job), cache={})
        return found[1]

    def get(self, name: str, default: JobView | None = None) -> JobView | None:  # type: ignore[override]
        view = self._jobs.get(name)
        return default if view is None else self._masked(view)

    def __getitem__(self, name: str) -> JobView:
        return self._masked(self._jobs[name])

    def __contains__(self, name: object) -> bool:
        return name in self._jobs

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._jobs))

    def keys(self):  # type: ignore[no-untyped-def]
        return self._jobs.keys()

    def values(self) -> list[JobView]:  # type: ignore[override]
        return [self._masked(view) for view in list(self._jobs.values())]

    def items(self) -> list[tuple[str, JobView]]:  # type: ignore[override]
        return [(name, self._masked(view)) for name, view in list(self._jobs.items())]


class MaskedRegister(Register):
    """Immediate jobs with secrets hidden where `sees` says so."""

    def __init__(self, register: Register, mask: Mask, sees: Callable[[Job], bool]) -> None:
        super().__init__()
        self._register, self._mask, self._sees = register, mask, sees

    def __len__(self) -> int:
        return len(self._register)

    @property
    def counts(self) -> dict[str, int]:
        return self._register.counts

    def get(self, name: str) -> Run | None:
        run = self._register.get(name)
        return None if run is None else self._masked(run)

    def find(self, wanted: Wanted) -> tuple[int, list[Run]]:
        count, runs = self._register.find(wanted)
        return count, [self._masked(run) for run in runs]

    def _masked(self, run: Run) -> Run:
        if run.immediate is None or self._sees(run.immediate.job):
            return run
        return replace(run, immediate=replace(run.immediate, job=self._mask.job(run.immediate.job)))


class MaskedViews:
    """Makes masked views; what it has masked is kept once for all who see the same."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._kept: Kept = {}

    def of(self, view: View, sees: Callable[[Job], bool], *, partial: bool) -> View:
        """Return the view as one sees it who sees the secrets of some jobs only; not to be changed."""
        if len(self._kept) > 2 * len(view.jobs) + 1000:
            self._kept.clear()  # deleted jobs
        return replace(
            view,
            masked=True,
            partial=partial,
            jobs=MaskedJobs(view.jobs, self._mask, sees, self._kept),
            immediate=MaskedRegister(view.immediate, self._mask, sees),
        )
