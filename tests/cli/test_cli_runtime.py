"""The environment a CPU process starts with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paddle_rsseg import runtime
from paddle_rsseg.errors import RssegError

ROOT = Path(__file__).parents[2]
AMD = "processor: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f avx512dq\n"
OLD_AMD = AMD.replace("avx512f avx512dq", "")
INTEL = AMD.replace("AuthenticAMD", "GenuineIntel")


@pytest.mark.parametrize(
    ("environ", "cores", "cpuinfo", "wanted"),
    [
        ({}, 8, INTEL, {"OMP_NUM_THREADS": "8"}),
        ({}, 8, AMD, {"OMP_NUM_THREADS": "8", "MKL_DEBUG_CPU_TYPE": "7"}),
        ({}, 8, OLD_AMD, {"OMP_NUM_THREADS": "8"}),
        ({}, 1, INTEL, {}),  # one thread is what Paddle does anyway
        ({}, 8, "", {"OMP_NUM_THREADS": "8"}),
        ({"OMP_NUM_THREADS": "3"}, 8, INTEL, {}),
        ({"OMP_NUM_THREADS": "1"}, 8, INTEL, {}),
        ({"OMP_NUM_THREADS": "3"}, 8, AMD, {"MKL_DEBUG_CPU_TYPE": "7"}),
        ({"MKL_DEBUG_CPU_TYPE": "5"}, 8, AMD, {"OMP_NUM_THREADS": "8"}),
        # in a process of paddle.distributed.launch the 1 is the launcher's
        (
            {"PADDLE_TRAINER_ID": "1", "PADDLE_LOCAL_SIZE": "2", "OMP_NUM_THREADS": "1"},
            8,
            INTEL,
            {"OMP_NUM_THREADS": "4"},
        ),
        ({"PADDLE_TRAINER_ID": "0", "PADDLE_TRAINERS_NUM": "2", "OMP_NUM_THREADS": "1"}, 2, INTEL, {}),
        ({"PADDLE_TRAINER_ID": "0", "PADDLE_LOCAL_SIZE": "2", "OMP_NUM_THREADS": "2"}, 8, INTEL, {}),
    ],
)
def test_which_variables_are_set(environ, cores, cpuinfo, wanted):
    assert runtime.cpu_environment(environ, cores, cpuinfo) == wanted


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "200000 100000\n"}, 2.0),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container_counts(tmp_path, files, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert runtime.container_quota(tmp_path) == quota


@pytest.mark.parametrize(("device", "gpu"), [("cpu", False), ("gpu", True), ("gpu:1", True)])
def test_a_gpu_needs_no_threads(device, gpu):
    assert runtime.uses_gpu(device) is gpu


@pytest.mark.parametrize(("paddle", "numpy", "safe"), [
    ("2.6.2", "2.4.6", False), ("2.6.2", "1.26.4", True), ("3.3.1", "2.4.6", True), (None, "2.4.6", True),
])  # fmt: skip
def test_the_pair_of_versions_that_corrupts_memory_is_refused(paddle, numpy, safe):
    if safe:
        runtime.check_numpy(paddle, numpy)
    else:
        with pytest.raises(RssegError, match="corrupts memory; expected numpy<2"):
            runtime.check_numpy(paddle, numpy)


@pytest.fixture
def tool(tmp_path):
    """A command of a copy of the command line that shows its environment instead of computing."""
    package = tmp_path / "paddle_rsseg"
    (package / "cli").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "runtime.py", "cli/main.py"):
        (package / name).write_text((ROOT / "paddle_rsseg" / name).read_text())
    (package / "cli/__init__.py").write_text("")
    (package / "cli/train.py").write_text(
        '"""Show."""\nNEEDS_PADDLE = True\nimport os\n'
        'def add_arguments(parser): parser.add_argument("--device"); parser.add_argument("words", nargs="*")\n'
        "def run(args):\n"
        '    import paddle\n    print(os.getpid(), args.words, os.environ.get("OMP_NUM_THREADS"))\n'
    )
    (tmp_path / "tools").mkdir()

    def run(*words: str, prelude: str = "", **environ: str) -> tuple[str, str]:
        (tmp_path / "tools/train.py").write_text(prelude + (ROOT / "tools/train.py").read_text())
        clean = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "RSSEG_NO_REEXEC", "PYTHONPATH")}
        # -S: without the project installed beside this copy; the dependencies come by the path
        site = os.pathsep.join(p for p in sys.path if "site-packages" in p)
        command = [sys.executable, "-S", str(tmp_path / "tools/train.py"), *words]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**clean, "PYTHONPATH": site, **environ},
        )
        try:
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
        assert process.returncode == 0, err
        pid, _, rest = out.strip().partition(" ")
        assert int(pid) == process.pid  # replaced, not started beside itself
        return rest, err

    return run


@pytest.mark.skipif(runtime.available_cores() == 1, reason="one core has nothing to gain")
def test_a_command_starts_itself_again_once_and_says_so(tool):
    cores = str(runtime.available_cores())
    out, err = tool("a", "b c", "--device", "cpu")
    assert out == f"['a', 'b c'] {cores}"
    assert [line.split(" for ")[0] for line in err.splitlines()] == [
        f"running with OMP_NUM_THREADS={cores}"
    ] or "MKL" in err
    assert len(err.splitlines()) == 1, "neither Paddle's remark on threads nor that on ccache"


@pytest.mark.parametrize(
    ("words", "environ", "threads"),
    [
        (["--no-reexec"], {}, "1"),
        ([], {"RSSEG_NO_REEXEC": "1"}, "1"),
        ([], {"OMP_NUM_THREADS": "3", "MKL_DEBUG_CPU_TYPE": "0"}, "3"),
    ],
)
def test_it_can_be_told_not_to_and_respects_the_user(tool, words, environ, threads):
    out, err = tool("--device", "cpu", *words, **environ)
    assert out == f"[] {threads}"
    assert err == ""


@pytest.mark.skipif(runtime.available_cores() == 1, reason="one core has nothing to gain")
def test_never_a_third_time_even_where_something_unsets_the_variables(tool):
    out, err = tool("--device", "cpu", prelude="import os\nos.environ.pop('OMP_NUM_THREADS', None)\n")
    assert out == "[] 1"
    assert len(err.splitlines()) == 1


def test_a_worker_of_a_cluster_has_the_cores_it_was_given(monkeypatch):
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    monkeypatch.delenv("PADDLE_LOCAL_SIZE", raising=False)
    assert runtime.process_cores() == runtime.available_cores()
    monkeypatch.setenv(runtime.CORES, "3")
    assert runtime.process_cores() == 3
