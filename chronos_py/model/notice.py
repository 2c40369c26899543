"""What owners are told: subjects and texts as Chronos words them, and how a notice lies in the job store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chronos_py.clock import Millis, iso_utc
from chronos_py.model import java
from chronos_py.model.job import Job, JobState

CHRONOS_EVENTS = ("failed", "disabled", "exhausted", "deleted")  # always told, as Chronos does
OPT_IN_EVENTS = ("late", "missed", "recovered", "timed_out", "waiting")
EVENTS = CHRONOS_EVENTS + OPT_IN_EVENTS
TEST_EVENT = "test"
_ENDS = {
    "failed": "job '{}' failed!",
    "disabled": "job '{}' disabled",
    "exhausted": "job '{}' disabled",
    "deleted": "Your job '{}' was deleted!",
    "late": "job '{}' is late",
    "missed": "job '{}' missed a run",
    "recovered": "job '{}' recovered",
    "timed_out": "job '{}' timed out",
    "waiting": "job '{}' waits too long",
    "test": "test notification for '{}'",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class Notice:
    """One event of a job, as it was when it happened. `body` None: the event has no text.

    `number` is never given twice and grows with time. `fields` are the job's values by the names and in the order of
    Chronos's HTTP notification, all of them text. `left` are the channels that have not delivered it yet.
    """

    number: int
    event: str
    at: Millis
    job: str
    owner: str
    subject: str
    body: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    left: tuple[str, ...] = ()

    @property
    def owners(self) -> tuple[str, ...]:
        """Return whom to tell, each once; a job without owner has one, the empty text."""
        return tuple(dict.fromkeys(part.strip() for part in self.owner.split(",") if part.strip())) or ("",)

    @property
    def size(self) -> int:
        """Return about how many characters it takes."""
        return 200 + len(self.subject) + len(self.body or "") + sum(len(value) for _, value in self.fields)

    def without(self, channel: str) -> Notice:
        """Return the notice as it is once `channel` is done with it."""
        return replace(self, left=tuple(name for name in self.left if name != channel))

    def form(self) -> dict[str, Any]:
        """Return the JSON value that `from_form` reads."""
        return {
            "number": self.number, "event": self.event, "at": self.at, "job": self.job, "owner": self.owner,
            "subject": self.subject, "body": self.body, "fields": [list(pair) for pair in self.fields],
            "left": list(self.left),
        }  # fmt: skip

    @classmethod
    def from_form(cls, form: Any) -> Notice:
        """Read a stored notice. Raises ValueError for anything else."""
        try:
            notice = cls(
                int(form["number"]), str(form["event"]), int(form["at"]), str(form["job"]), str(form["owner"]),
                str(form["subject"]), None if form["body"] is None else str(form["body"]),
                tuple((str(name), str(value)) for name, value in form["fields"]),
                tuple(str(name) for name in form["left"]),
            )  # fmt: skip
        except (KeyError, TypeError) as error:
            raise ValueError(f"is no notice: {error!r}") from None
        return notice


def subject_of(event: str, job: str, cluster: str = "") -> str:
    """Return the subject. The blank after the prefix is there without a prefix too, as Chronos has it."""
    prefix = f"[{cluster}]" if cluster else ""
    return _CONTROL.sub(" ", f"{prefix} [Chronos] {_ENDS[event].format(job)}")


def failed_body(at: Millis, retries: int, task_id: str, message: str) -> str:
    """Return the text of a failure beyond retries; the number is the job's setting, not the attempts made."""
    return _with_message(f"\n'{iso_utc(at)}'. Retries attempted: {retries}.\nTask id: {task_id}\n", message)


def disabled_body(at: Millis, failures: int, task_id: str, message: str) -> str:
    """Return the text of a job that is disabled for its failures in a row."""
    text = f"\nFailed at '{iso_utc(at)}', {failures} failures since last success\nTask id: {task_id}\n"
    return _with_message(text, message)


def exhausted_body(job: str) -> str:
    """Return the text of a job that has no repetition left."""
    return (
        f"Job '{job}' has exhausted all of its recurrences and has been disabled.\n"
        "Please consider either removing your job, or updating its schedule and re-enabling it.\n"
    )


def own_body(at: Millis, sentence: str) -> str:
    """Return the text of an event that Chronos does not tell."""
    return f"\n'{iso_utc(at)}'. {sentence}\n"


def _with_message(text: str, message: str) -> str:
    return f"{text}The scheduler provided this message:\n\n{message}" if message else text


def fields_of(job: Job, state: JobState, epsilon: str) -> tuple[tuple[str, str], ...]:
    """Return the values that tell of a job, all as text; `async` and `epsilon` are of Chronos 2 alone."""
    values: Mapping[str, Any] = {
        "job": job.name,
        "command": job.command,
        "cpus": java.double_text(job.cpus),
        "async": job.is_async,
        "softError": job.soft_error,
        "epsilon": job.epsilon or epsilon,
        "errorCount": state.error_count,
        "errorsSinceLastSuccess": state.errors_since_last_success,
        "executor": job.executor,
        "executorFlags": job.executor_flags,
        "lastError": state.last_error,
        "lastSuccess": state.last_success,
        "mem": java.double_text(job.mem),
        "retries": job.retries,
        "successCount": state.success_count,
        "uris": ",".join([*(fetch.uri for fetch in job.fetch), *job.uris]),
    }
    return tuple((name, java.text(value)) for name, value in values.items())
