"""Sums that are kept while runs change agree with those that are made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chronos_py.model.capacity import Parts
from chronos_py.model.run import Phase, Run, Trigger
from chronos_py.model.tally import Tally

NEEDS: dict[str, Parts] = {"a": (100, 5, 0, 0, 0), "b": (0, 0, 0, 0, 0), "c": (1, 2, 3, 4, 5)}


def need(run: Run) -> Parts:
    return NEEDS[run.job]


changes = st.lists(
    st.tuples(
        st.integers(0, 8), st.sampled_from("abc"), st.sampled_from([None, *Phase]), st.sampled_from("xy"),
        st.integers(-1, 2), st.integers(0, 5),
    ),
    max_size=60,
)  # fmt: skip


@given(changes)
def test_a_tally_is_what_a_recount_finds(steps: list[tuple[int, str, Phase | None, str, int, int]]) -> None:
    tally, runs = Tally(), dict[int, Run]()
    for number, job, phase, agent, priority, due in steps:
        if phase is None:
            runs.pop(number, None)
            tally.drop(number)
            continue
        before = runs.get(number)
        run = Run(
            number, before.job if before else job, Trigger.MANUAL, before.due if before else due, 0, 0, phase,
            agent_id=agent if phase in (Phase.RUNNING, Phase.LAUNCHING) else "", priority=priority,
        )  # fmt: skip
        runs[number] = run
        tally.put(run, need)
    again = Tally(runs.values(), need)
    used = {agent: amounts for agent, amounts in again.by_agent.items() if any(amounts)}
    assert {agent: amounts for agent, amounts in tally.by_agent.items() if any(amounts)} == used
    assert tally.running == again.running == sum(run.on_agent for run in runs.values())
    assert tally.waiting() == again.waiting()
    waits = [run for run in runs.values() if run.phase in (Phase.QUEUED, Phase.RETRYING)]
    for level, (count, due, oldest) in tally.waiting().items():
        those = [run for run in waits if run.priority == level]
        assert (count, due, oldest) == (len(those), *min((run.due, run.id) for run in those))
    assert len(tally.waiting()) == len({run.priority for run in waits})
