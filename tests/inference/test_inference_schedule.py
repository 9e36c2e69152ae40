"""Whatever dies and whenever: every scene is assembled once, after its last band, or said to have failed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from paddle_rsseg.inference.schedule import Plan, Schedule, Task
from paddle_rsseg.inference.units import Extent, Unit

PLANS = st.builds(
    lambda bands, columns, lead, finished, written: Plan(
        Extent(bands, columns, lead), frozenset(b for b in finished if b < bands), (Path("old"),) if written else None
    ),
    st.integers(1, 30), st.integers(1, 5), st.integers(0, 2), st.sets(st.integers(0, 29)),
    st.sampled_from([False, False, False, True]),
)  # fmt: skip


@given(st.lists(PLANS, max_size=6), st.integers(1, 6), st.data())
def test_scenes_are_complete_or_have_failed(plans, workers, data):
    schedule = Schedule(len(plans), workers)
    finished = [set(plan.finished) for plan in plans]
    running: list[Task] = []
    assembled: list[int] = []
    while not schedule.over:
        while len(running) < workers and (task := schedule.take()):
            running.append(task)
        assert running, "nothing runs and nothing is handed out: a command that hangs"
        task = running.pop(data.draw(st.integers(0, len(running) - 1)))
        fate = data.draw(st.sampled_from(["good", "good", "good", "dies", "cannot"]))
        if fate != "good":
            schedule.failed(task, fate, final=fate == "cannot")
        elif task.kind == "plan":
            schedule.planned(task, plans[task.scene])
        elif task.kind == "compute":
            bands = set(range(task.unit.first, task.unit.last))
            assert not bands & finished[task.scene]  # nothing twice
            finished[task.scene] |= bands
            schedule.computed(task)
        else:
            assert finished[task.scene] == set(range(plans[task.scene].extent.bands))
            assembled.append(task.scene)
            schedule.assembled(task, (Path("new"),))
    assert sorted(assembled) == [s for s, files in sorted(schedule.outcome.written.items()) if files == (Path("new"),)]
    assert all(plans[s].written for s, files in schedule.outcome.written.items() if files == (Path("old"),))
    assert schedule.outcome.written.keys() | schedule.outcome.errors.keys() == set(range(len(plans)))
    assert not schedule.outcome.written.keys() & schedule.outcome.errors.keys()
    if not schedule.outcome.errors:
        assert schedule.done == schedule.total


def test_a_unit_that_kills_its_workers_is_given_up_and_the_other_scene_goes_on():
    schedule = Schedule(2, workers=1)
    for _ in range(2):
        schedule.planned(schedule.take(), Plan(Extent(4, 5, 1)))
    assert schedule.total == 40
    bad = schedule.take()
    for _ in range(2):
        schedule.failed(bad, "died")
        assert schedule.take() == bad
    schedule.failed(bad, "died")
    assert schedule.outcome.errors == {0: "died (3 tries)"}
    good = schedule.take()
    assert good == Task("compute", 1, Unit(1, 0, 4))
    schedule.computed(good)
    assert schedule.take() == Task("assemble", 1)
    schedule.assembled(Task("assemble", 1), (Path("b"),))
    assert schedule.over


def test_what_cannot_be_done_is_not_tried_again():
    schedule = Schedule(1, workers=3)
    schedule.failed(schedule.take(), "scene.tif: cannot be read", final=True)
    assert schedule.over
    assert schedule.outcome.errors == {0: "scene.tif: cannot be read"}


def test_a_scene_is_assembled_before_the_next_one_goes_on():
    schedule = Schedule(2, workers=1)
    for scene in (0, 1):
        schedule.planned(schedule.take(), Plan(Extent(12, 1, 0), frozenset(range(scene * 6))))
    first = schedule.take()
    while first.scene == 0 and first.kind == "compute":
        schedule.computed(first)
        first = schedule.take()
    assert first == Task("assemble", 0)
