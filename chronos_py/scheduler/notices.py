"""Which events owners are told of, and the notices that are not delivered yet: they lie in the job store, so that
whoever leads next delivers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chronos_py.clock import Millis
from chronos_py.model.job import Job, JobState
from chronos_py.model.messages import Change, Delete, Notify, Put
from chronos_py.model.notice import CHRONOS_EVENTS, Notice, fields_of, subject_of

PREFIX = "notice:"  # of keys in the store's meta


@dataclass(frozen=True, slots=True)
class NoticePolicy:
    """The names of the channels (none: nothing is kept, only logged), what is told, and how subjects begin.

    `waiting_after` is how long a run waits for a place until that is told; 0: never.
    """

    channels: tuple[str, ...] = ()
    events: frozenset[str] = frozenset(CHRONOS_EVENTS)
    cluster: str = ""
    epsilon: str = "PT60S"
    waiting_after: Millis = 0


class Notices:
    """Notices on their way, oldest first."""

    def __init__(self, policy: NoticePolicy) -> None:
        self.policy = policy
        self.pending: dict[int, Notice] = {}
        self.told: set[int] = set()  # runs of which it has been told that they wait
        self._last = 0

    def load(self, meta: Mapping[str, Any]) -> list[str]:
        """Take over stored notices; return the keys of those that cannot be read."""
        bad = []
        for key, form in meta.items():
            if not key.startswith(PREFIX):
                continue
            try:
                notice = Notice.from_form(form)
            except ValueError:
                bad.append(key)
            else:
                self.pending[notice.number] = notice
        self.pending = dict(sorted(self.pending.items()))
        self._last = max(self.pending, default=0)
        return bad

    def wants(self, event: str) -> bool:
        return event in self.policy.events

    def make(self, event: str, job: Job, state: JobState, now: Millis, body: str | None) -> tuple[Notify, list[Change]]:
        """Return the effect that tells of an event, and what of it is to be stored."""
        self._last = max(self._last + 1, now * 1000)  # numbers of other leaders were given earlier
        notice = Notice(
            self._last, event, now, job.name, job.owner, subject_of(event, job.name, self.policy.cluster), body,
            fields_of(job, state, self.policy.epsilon), self.policy.channels,
        )  # fmt: skip
        if not notice.left:
            return Notify(notice), []
        self.pending[notice.number] = notice
        return Notify(notice), [Put("meta", f"{PREFIX}{notice.number}", notice.form())]

    def sent(self, number: int, channel: str) -> list[Change]:
        """Note that a channel is done with a notice; return what is to be stored."""
        notice = self.pending.get(number)
        if notice is None:
            return []
        notice = notice.without(channel)
        if notice.left:
            self.pending[number] = notice
            return [Put("meta", f"{PREFIX}{number}", notice.form())]
        del self.pending[number]
        return [Delete("meta", f"{PREFIX}{number}")]
