"""`chronos-py notify-test`: one notice through every channel, at once and without a queue."""

from __future__ import annotations

from chronos_py.clock import SystemClock
from chronos_py.config import Settings
from chronos_py.model.job import Job, JobState
from chronos_py.model.notice import TEST_EVENT, Notice, fields_of, own_body, subject_of
from chronos_py.notify.base import Failed, Refused
from chronos_py.notify.settings import channels_of


def try_all(settings: Settings, owner: str = "") -> dict[str, str]:
    """Return what each channel says of a test notice: empty when it was delivered. Raises BadSetting."""
    now, job = SystemClock().now(), Job(name="notify-test", owner=owner)
    fields = fields_of(job, JobState(), f"PT{settings.task_epsilon}S")
    subject = subject_of(TEST_EVENT, job.name, settings.cluster_name)
    body = own_body(now, f"This was sent by chronos-py notify-test on {settings.host}.")
    notice = Notice(now * 1000, TEST_EVENT, now, job.name, owner, subject, body, fields)
    results = {}
    for channel in channels_of(settings):
        results[channel.name] = ""
        for one in notice.owners:
            try:
                if not channel.send(notice, one):
                    results[channel.name] = "not sent: say with --to whom to tell"
            except (Failed, Refused) as error:
                results[channel.name] = str(error)
    return results
