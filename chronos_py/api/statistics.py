"""Percentiles and durations in the original's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from chronos_py.model.history import AttemptRecord
from chronos_py.model.java import double_text, string_json
from chronos_py.model.run import Outcome

QUANTILES = {"75thPercentile": 0.75, "95thPercentile": 0.95, "98thPercentile": 0.98, "99thPercentile": 0.99}


def quantile(ordered: Sequence[int], share: float) -> float:
    """Return a quantile of sorted values, between neighbours in proportion; 0 of none. Source: Dropwizard metrics 3."""
    if not ordered:
        return 0.0
    position = share * (len(ordered) + 1)
    index = int(position)
    if index < 1:
        return float(ordered[0])
    if index >= len(ordered):
        return float(ordered[-1])
    low, high = ordered[index - 1], ordered[index]
    return low + (position - index) * (high - low)


def histogram(samples: Sequence[int]) -> Mapping[str, float]:
    """Return the original's seven figures, in its order, in milliseconds. Its `mean` is the median."""
    ordered = sorted(samples)
    figures = {name: quantile(ordered, share) for name, share in QUANTILES.items()}
    median = quantile(ordered, 0.5)
    return figures | {"median": median, "mean": median, "count": len(ordered)}


def histogram_json(samples: Sequence[int]) -> str:
    figures = histogram(samples)
    parts = (f'"{key}":{value if key == "count" else double_text(value)}' for key, value in figures.items())
    return "{" + ",".join(parts) + "}"


def _local_time(instant: int | None) -> str:
    if instant is None:
        return "N/A"
    return datetime.fromtimestamp(instant / 1000).astimezone().strftime("%m/%d/%y %H:%M:%S")


def duration_text(millis: int) -> str:
    """Return 1h2m3s: seconds always, other parts where there are any."""
    minutes, seconds = divmod(max(0, millis) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if minutes else ''}{seconds}s"


def attempt_json(attempt: AttemptRecord, elements: int | None) -> str:
    """Return one entry of a job's task history."""
    parts = [
        ("taskId", attempt.task_id),
        ("jobName", attempt.job),
        ("slaveId", attempt.agent_id),
        ("startTime", _local_time(attempt.started or attempt.launched)),
        ("endTime", _local_time(attempt.ended)),
        ("duration", duration_text(attempt.ended - (attempt.started or attempt.launched))),
        ("status", "Success" if attempt.outcome is Outcome.SUCCESS else "Fail"),
    ]
    texts = [f'"{key}":{string_json(value)}' for key, value in parts]
    if elements is not None:
        texts.append(f'"numElementsProcessed":{elements}')
    return "{" + ",".join(texts) + "}"
