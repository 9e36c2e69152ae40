"""Two processes meet, however late one is, share their errors, and do not wait for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from paddle_rsseg import ranks
from paddle_rsseg.errors import RssegError


def launch(tmp_path, body, timeout=200):
    """Run ``body`` as two ranks; (exit code, what each printed). TimeoutExpired where one waits for ever."""
    script = tmp_path / "script.py"
    head = """
    import os, signal, time
    from paddle_rsseg import ranks
    from paddle_rsseg.errors import RssegError
    ranks.setup("cpu")
    me = ranks.rank()
    """
    script.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    command = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "--log_dir", str(tmp_path / "log"), str(script)],
        capture_output=True, text=True, timeout=timeout, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.returncode, [(tmp_path / "log" / f"workerlog.{i}").read_text() for i in (0, 1)]


def test_a_single_process_meets_nobody():
    assert (ranks.rank(), ranks.world_size(), ranks.joined(), ranks.is_main()) == (0, 1, (0, 1), True)
    assert ranks.gather("a") == ["a"]
    assert ranks.together(lambda: 5) == [5]
    assert ranks.on_main(lambda: 6) == 6
    ranks.barrier()
    with pytest.raises(RssegError, match="here"):
        ranks.together(lambda: (_ for _ in ()).throw(RssegError("here", "seen")))


def test_what_two_processes_share(tmp_path):
    code, logs = launch(
        tmp_path,
        """
        print("all", ranks.gather(me * 10), ranks.together(lambda: me), ranks.on_main(lambda: me), ranks.joined())
        def fail():
            if me == 1:
                raise RssegError("file of rank 1", "is broken")
        try:
            ranks.together(fail)
        except RssegError as error:
            print("told:", error)
        ranks.barrier()
        ranks.PATIENCE = 2.0
        if me == 1:
            time.sleep(6)
        try:
            ranks.gather(me)
        except RssegError as error:
            print("alone:", error)
            time.sleep(6)  # the store of the other one lives here
            raise SystemExit(3)
        """,
    )
    for i, log in enumerate(logs):
        assert f"all [0, 10] [0, 1] 0 ({i}, 2)" in log
        assert "told: file of rank 1: is broken" in log
    assert code != 0
    assert "alone: rank 0: 1 of 2 processes came" in logs[0]


@pytest.mark.slow
def test_a_rank_may_be_later_than_gloo_waits(tmp_path):
    code, logs = launch(tmp_path, "time.sleep(40 * me)\nprint(ranks.gather(me))")
    assert code == 0, logs
    assert "[0, 1]" in logs[0]
    assert "[0, 1]" in logs[1]


@pytest.mark.slow
@pytest.mark.parametrize("dies", [0, 1])
def test_the_launcher_ends_all_when_one_dies(tmp_path, dies):
    code, logs = launch(
        tmp_path,
        f"""
        if me == {dies}:
            time.sleep(2)
            os.kill(os.getpid(), signal.SIGKILL)
        ranks.gather(me)
        print("met")
        """,
    )
    assert code != 0
    assert not any("met" in log for log in logs)
