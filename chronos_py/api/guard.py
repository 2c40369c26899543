"""Between the HTTP views and the service: what each may see and change, and the record of what was changed.

Every change goes through `Guard.call`, whatever path it came by, so no path can be forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from flask import Blueprint, has_request_context, request
from flask.typing import ResponseReturnValue

from chronos_py.api.audit import NEWEST, AuditLog
from chronos_py.api.auth import PRINCIPAL
from chronos_py.api.backend import Backend, OutputChunk, Revisions
from chronos_py.api.forms import iso
from chronos_py.api.masking import Mask, MaskedRevisions, MaskedViews, same_length_without_url_secrets
from chronos_py.api.parameters import number
from chronos_py.api.principals import ANYONE, Principal, Role
from chronos_py.api.proxy import client_address
from chronos_py.api.transport import answer
from chronos_py.errors import Forbidden, InvalidInput
from chronos_py.logs import without_passwords
from chronos_py.model.job import Counters, Job, JobState
from chronos_py.model.messages import (
    ChangeJob,
    DeleteJob,
    KillRun,
    KillTasks,
    MarkSuccess,
    PurgeTasks,
    ReportProgress,
    ReportResult,
    Request,
    RunJob,
    SetPriority,
    StopImmediate,
    SubmitImmediate,
    SubmitJob,
)
from chronos_py.model.run import TaskId
from chronos_py.model.view import View

SECRET_VARIABLES = r"(?i)passw|passphrase|secret|token|credential|api_?key|private_?key|access_?key|auth"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
ASKING_PATH = "/api/jobs/immediate/status"  # a POST that changes nothing
ADMINS_PATHS = ("/logging", "/api/audit")
ACTIONS: dict[type, str] = {
    SubmitJob: "submit", ChangeJob: "change", DeleteJob: "delete", RunJob: "run", MarkSuccess: "mark success",
    KillTasks: "kill tasks", KillRun: "kill run", SetPriority: "set priority", PurgeTasks: "purge",
    ReportResult: "report result", ReportProgress: "report progress",
    SubmitImmediate: "submit immediate", StopImmediate: "stop immediate",
}  # fmt: skip
UNTOLD = (ReportProgress,)  # one of thousands from tasks, which changes nothing that anybody defined
DEFINITIONS = re.compile(
    r"(/v1)?/scheduler/(jobs|jobs/search|job/[^/]+)|/api/jobs(/(?!immediate$)[^/]+)?|/ui/(edit|add)", re.DOTALL
)
AROUND = 4096  # bytes before and after a part of output that are looked at: no longer URL is found
NOBODY = Principal("", Role.READER)


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """`asked`: whether requests carry credentials. `users`: the runAsUser that jobs may have, empty: any."""

    asked: bool = False
    users: frozenset[str] = frozenset()
    default_user: str = ""
    secret_variables: re.Pattern[str] = field(default_factory=lambda: re.compile(SECRET_VARIABLES))


@dataclass(frozen=True, slots=True)
class Masked:
    """See OutputChunk."""

    data: bytes
    offset: int
    size: int
    ended: bool


class Guard:
    """A backend that lets everyone do and see what they may. All else it passes on."""

    def __init__(self, backend: Backend, settings: GuardSettings, audit: AuditLog) -> None:
        self._backend = backend
        self._settings = settings
        self._audit = audit
        self._mask = Mask(settings.secret_variables)
        self._masked = MaskedViews(self._mask)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def principal(self) -> Principal:
        """Return who sends the present request."""
        if not self._settings.asked:
            return ANYONE
        found = request.environ.get(PRINCIPAL) if has_request_context() else None
        return found if isinstance(found, Principal) else NOBODY

    @property
    def view(self) -> View:
        principal = self.principal()
        if principal.role >= Role.OPERATOR and not principal.limited:
            return self._backend.view
        return self._masked.of(self._backend.view, principal.sees_secrets, partial=principal.role >= Role.OPERATOR)

    @property
    def revisions(self) -> Revisions:
        """Return what was changed; with secrets hidden from all but those who may see every job's."""
        principal = self.principal()
        if principal.role >= Role.OPERATOR and not principal.limited:
            return self._backend.revisions
        return MaskedRevisions(self._backend.revisions, self._mask)

    @property
    def output(self) -> Callable[..., OutputChunk]:
        """See Backend. What is returned may be called when the request is over, as streams do."""
        return self._masked_output if self.masks_answers else self._backend.output

    def _masked_output(self, task_id: str, stream: str, offset: int, length: int, agent_id: str = "") -> OutputChunk:
        """Return output with stars in place of URLs' users and passwords, so that each byte keeps its place."""
        chunk = self._backend.output(task_id, stream, offset, length, agent_id)
        if not chunk.data:
            return chunk
        start, end = max(0, chunk.offset - AROUND), chunk.offset + len(chunk.data)
        whole = self._backend.output(task_id, stream, start, end - start + AROUND, agent_id)
        before = chunk.offset - whole.offset
        if before < 0:  # what is old has gone meanwhile
            return whole if not whole.data else Masked(b"", chunk.offset, chunk.size, chunk.ended)
        data = same_length_without_url_secrets(whole.data, more=not whole.ended)
        return Masked(data[before : before + len(chunk.data)], chunk.offset, chunk.size, chunk.ended)

    def call(self, request: Request, timeout: float = 30.0) -> Any:
        """See Backend. Raises Forbidden, InvalidInput."""
        principal = self.principal()
        try:
            self._permit(principal, request)
            value = self._backend.call(self._restricted(principal, request), timeout)
        except Exception as error:
            self._note(principal, request, error)
            raise
        self._note(principal, request, None)
        return value

    # --- what may be done

    def _permit(self, principal: Principal, request: Request) -> None:
        if principal.role < Role.OPERATOR:
            raise Forbidden(f"{principal.name} is a reader, and may change nothing")
        if isinstance(request, PurgeTasks):
            if principal.role < Role.ADMIN or principal.limited:
                raise Forbidden("only an admin may purge the queue")
            return
        if not principal.limited or isinstance(request, SubmitImmediate):  # whose definitions are looked at
            return
        if isinstance(request, StopImmediate):
            self._permit_stop(principal, request)
            return
        name = self._job_name(request)
        view = self._backend.view.jobs.get(name)
        if view is None and isinstance(request, SubmitJob):
            return  # a new one, whose definition is looked at
        if not principal.may_change(view.job if view else None):
            raise Forbidden(f"job {name!r} is not among those that {principal.name} may change")

    def _permit_stop(self, principal: Principal, request: StopImmediate) -> None:
        if request.labels:
            raise Forbidden(f"{principal.name} may stop immediate jobs by their ids only")
        for name in request.ids:
            run = self._backend.view.immediate.get(name)
            if run is not None and run.immediate is not None and not principal.may_change(run.immediate.job):
                raise Forbidden(f"immediate job {name!r} is not among those that {principal.name} may change")

    def _restricted(self, principal: Principal, request: Request) -> Request:
        """Return the request so that it makes no job which its sender may not make."""
        if isinstance(request, SubmitJob):
            self._check(principal, request.job)
        elif isinstance(request, SubmitImmediate):
            for immediate in request.jobs:
                self._check(principal, immediate.job)
        elif isinstance(request, ChangeJob):
            return replace(request, change=self._changing(principal, request.change))
        return request

    def _changing(
        self, principal: Principal, change: Callable[[Job, JobState], tuple[Job, Counters]]
    ) -> Callable[[Job, JobState], tuple[Job, Counters]]:
        def checked(job: Job, state: JobState) -> tuple[Job, Counters]:
            if not principal.may_change(job):  # it may have changed hands since
                raise Forbidden(f"job {job.name!r} is not among those that {principal.name} may change")
            changed, counters = change(job, state)
            self._check(principal, changed)
            return changed, counters

        return checked

    def _check(self, principal: Principal, job: Job) -> None:
        if not principal.may_change(job):
            raise Forbidden(f"{principal.name} may make jobs of its own owners or labels only: this is {job.owner!r}'s")
        users = self._settings.users
        user = job.run_as_user or self._settings.default_user
        if users and user not in users:
            raise InvalidInput("runAsUser", user, "is not among the users that this server allows (--run_as_users)")

    def _job_name(self, request: Request) -> str:
        match request:
            case SubmitJob():
                return request.job.name
            case KillRun() | SetPriority():
                run = self._backend.view.runs.get(request.run)
                return run.job if run else ""
            case ReportResult():
                try:
                    return TaskId.parse(request.task_id).job
                except ValueError:
                    return ""
            case SubmitImmediate():
                return ", ".join(one.id for one in request.jobs[:20])
            case StopImmediate():
                return ", ".join(request.ids[:20])
            case PurgeTasks():
                return ""
            case _:
                return request.name

    # --- what was done

    def _note(self, principal: Principal, change: Request, error: Exception | None) -> None:
        if isinstance(change, UNTOLD) or (isinstance(change, SubmitJob | ChangeJob) and change.only_check):
            return
        entry: dict[str, Any] = {
            "at": iso(self._backend.now()),
            "who": principal.name,
            "role": principal.role.name.lower(),
            "from": client_address(request.environ) if has_request_context() else None,
            "action": ACTIONS[type(change)],
            "job": self._job_name(change),
        }
        if isinstance(change, KillRun | SetPriority):
            entry["run"] = change.run
        entry["done"] = error is None
        if error is not None:
            entry["error"] = without_passwords(f"{type(error).__name__}: {error}"[:500])
        self._audit.note(entry)

    def admit(self) -> None:
        """Refuse, before a view is asked, what the role has no part in. Raises Forbidden."""
        role = self.principal().role
        if role < Role.ADMIN and _below(request.path, ADMINS_PATHS):
            raise Forbidden("only an admin may do this")
        if role < Role.OPERATOR and request.method not in SAFE and request.path != ASKING_PATH:
            raise Forbidden("a reader may change nothing")

    @property
    def masks_answers(self) -> bool:
        """Tell whether URLs' passwords are hidden in the present answer, wherever they stand. Where there are only
        definitions, who may see those of some jobs gets these whole: what was hidden would be sent back so."""
        principal = self.principal()
        if principal.role < Role.OPERATOR:
            return True
        return principal.limited and not (has_request_context() and DEFINITIONS.fullmatch(request.path))

    @property
    def audit(self) -> AuditLog:
        return self._audit


def _below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def audit_blueprint(audit: AuditLog) -> Blueprint:
    """Return /api/audit, for admins."""
    blueprint = Blueprint("audit", __name__, url_prefix="/api")

    @blueprint.get("/audit")
    def newest() -> ResponseReturnValue:
        response = answer(orjson.dumps({"entries": audit.newest(number("limit", 100, 1, NEWEST))}))
        response.headers["Cache-Control"] = "no-store"
        return response

    return blueprint
