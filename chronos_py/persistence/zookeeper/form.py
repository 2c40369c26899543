"""The form of a job's document that someone else wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chronos_py.model.documents import Read
from chronos_py.model.job import Job, JobState
from chronos_py.model.stored import amended


@dataclass(slots=True)
class Form:
    """A job's document as someone else wrote it: we change only what runs change, so that nothing else gets lost.

    `reader` reads it when it has to be compared with the job; `read` is what came out.
    """

    value: bytes
    reader: Callable[[bytes], Read]
    read: Read | None = None

    def amended(self, job: Job, state: JobState, schedule: str | None) -> Form | None:
        """Return the document with what runs have changed, None when the job itself is another one by now."""
        try:
            was = self.read = self.read or self.reader(self.value)
        except ValueError:
            return None
        text = amended(self.value, was, job, state, schedule)
        if text is None:
            return None
        value = text.encode("utf-8")
        return self if value == self.value else Form(value, self.reader)
