"""The environment Paddle needs on a CPU, which has to be there before the process starts.

``import paddle`` sets OMP_NUM_THREADS to 1, and its MKL of 2019 takes a slow path on AMD processors. Both are
switched by environment variables that are read when the libraries load, so the command line runs itself once more
with them set: four to five times faster on AMD with AVX-512, and as fast as there are cores elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import os
import platform
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from paddle_rsseg.errors import RssegError

#: set to anything: never start again
OPT_OUT = "RSSEG_NO_REEXEC"
#: cores that a worker of a cluster was given
CORES = "RSSEG_CORES"
#: the process that was started again carries its own number here; a child of it is another process
MARK = "RSSEG_REEXEC_PID"
#: how lines begin that Paddle prints about threads at every import, and about its own flags in every rank
_PADDLE_NOISE = (
    "WARNING: OMP_NUM_THREADS set to", "PLEASE USE OMP_NUM_THREADS WISELY",
    "======================= Modified FLAGS", "FLAGS(name=", "=" * 71 + "\n",
)  # fmt: skip


def available_cores() -> int:
    """Cores this process may use: its affinity, and the quota of its container where that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = container_quota(Path("/sys/fs/cgroup"))
    return max(1, min(cores, int(quota)) if quota else cores)


def process_cores() -> int:
    """Cores for this process: what who started it says, else all that there are, shared with the other processes of a
    distributed run."""
    if os.environ.get(CORES):
        return int(os.environ[CORES])
    ranks = int(os.environ.get("PADDLE_LOCAL_SIZE") or os.environ.get("PADDLE_TRAINERS_NUM") or 1)
    return max(1, available_cores() // ranks)


def container_quota(root: Path) -> float | None:
    """Cores by the CPU quota of cgroup v2 or v1, None where there is none."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def slow_mkl(cpuinfo: str) -> bool:
    """Does ``/proc/cpuinfo`` show an AMD processor with AVX-512, which the old MKL must be told to use?

    Without AVX-512 the switch would select instructions that the processor does not have.
    """
    lines = dict(line.split(":", 1) for line in cpuinfo.splitlines() if ":" in line)
    fields = {key.strip(): value.split() for key, value in lines.items()}
    return fields.get("vendor_id") == ["AuthenticAMD"] and "avx512f" in fields.get("flags", [])


def cpu_environment(environ: Mapping[str, str], cores: int, cpuinfo: str) -> dict[str, str]:
    """The variables that should be set and are not; what the user has set stays.

    One of several processes of ``paddle.distributed.launch`` gets its share of the cores. There
    OMP_NUM_THREADS=1 is the launcher's doing (it has imported Paddle), not the user's.
    """
    wanted = {}
    ranks = int(environ.get("PADDLE_LOCAL_SIZE") or environ.get("PADDLE_TRAINERS_NUM") or 1)
    threads = environ.get("OMP_NUM_THREADS")
    launched = "PADDLE_TRAINER_ID" in environ
    if threads is None or (launched and threads == "1"):
        share = str(max(1, cores // ranks))
        if share != (threads or "1"):
            wanted["OMP_NUM_THREADS"] = share
    if "MKL_DEBUG_CPU_TYPE" not in environ and slow_mkl(cpuinfo):
        wanted["MKL_DEBUG_CPU_TYPE"] = "7"
    return wanted


def heap_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Keep freed memory in the process, for the glibc allocator; what the user has set stays.

    Every feature map is large enough that glibc maps it afresh and gives it back at once, and the kernel zeroes its
    pages each time: a fifth of the processor's time in a FarSeg step went there. The peak does not grow by this.
    """
    if platform.libc_ver()[0] != "glibc":
        return {}
    wanted = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
    return {key: value for key, value in wanted.items() if key not in environ}


def uses_gpu(device: str | None) -> bool:
    """Will the command compute on a GPU? Decided without importing Paddle."""
    if device is not None:
        return not device.startswith("cpu")
    if version_of("paddlepaddle-gpu") is None:
        return False
    return Path("/dev/nvidia0").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "0") not in ("", "-1")


def restart_for_cpu(device: str | None = None) -> None:
    """Replace this process by the same command in the right environment; return if there is nothing to gain.

    Nothing happens when ``RSSEG_NO_REEXEC`` is set, on a GPU, after Paddle has been imported, or a second time.
    The process keeps its number, so a launcher that started it notices nothing.

    Args:
        device: the command's ``--device``; None if it leaves that to Paddle.
    """
    if os.environ.get(OPT_OUT) or os.environ.get(MARK) == str(os.getpid()) or sys.platform == "win32":
        return
    if "paddle" in sys.modules or uses_gpu(device):
        return
    cpuinfo = Path("/proc/cpuinfo")
    wanted = cpu_environment(os.environ, available_cores(), cpuinfo.read_text() if cpuinfo.exists() else "")
    if not wanted:
        return
    wanted |= heap_environment(os.environ)
    if os.environ.get("PADDLE_TRAINER_ID", "0") == "0":
        setting = " ".join(f"{key}={value}" for key, value in wanted.items() if not key.startswith("MALLOC"))
        print(f"running with {setting} for speed on this CPU ({OPT_OUT}=1 or --no-reexec: as it is)", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, **wanted, MARK: str(os.getpid())})


def version_of(*distributions: str) -> str | None:
    """Version of the first of these that is installed, without importing it."""
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def check_numpy(paddle: str | None, numpy: str | None) -> None:
    """Raise RssegError for the pair of versions that corrupts memory: nothing refuses it when it is installed."""
    if paddle and numpy and int(paddle.split(".")[0]) == 2 and int(numpy.split(".")[0]) >= 2:
        raise RssegError(
            "environment",
            f"PaddlePaddle {paddle} beside NumPy {numpy}: this pair silently corrupts memory",
            "numpy<2 for PaddlePaddle 2",
            "pip install 'numpy<2'",
        )


def ignore_remarks() -> None:
    """Ignore warnings of Paddle that tell a user nothing he could act on."""
    for message in ("No ccache found", "When training, we now always track global mean and variance"):
        warnings.filterwarnings("ignore", message=message, category=UserWarning)


def quiet_paddle() -> None:
    """Import Paddle without its remarks on ccache and threads; anything else it says is passed on.

    Its C++ half writes to the terminal by itself, across a progress bar: errors only, unless GLOG_minloglevel is set.

    Raises:
        RssegError: no Paddle, or one that cannot work with the NumPy that is there.
    """
    version = version_of("paddlepaddle-gpu", "paddlepaddle")
    if version is None and importlib.util.find_spec("paddle") is None:
        raise RssegError("environment", "PaddlePaddle is not installed", fix="pip install paddlepaddle (or -gpu)")
    check_numpy(version, version_of("numpy"))
    ignore_remarks()
    os.environ.setdefault("GLOG_minloglevel", "2")  # read when the library loads
    with without_noise():
        import paddle  # noqa: F401


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Hold back what Python code of the block writes to stderr, and pass on all but Paddle's remarks at the end."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    finally:
        for line in said.getvalue().splitlines(keepends=True):
            if not line.startswith(_PADDLE_NOISE):
                sys.stderr.write(line)
