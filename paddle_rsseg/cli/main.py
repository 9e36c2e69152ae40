"""The command line: ``rsseg VERB …``, the same as ``python tools/VERB.py …``."""

from __future__ import annotations

import argparse
import ast
import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from paddle_rsseg import __version__, runtime
from paddle_rsseg.errors import RssegError, did_you_mean

#: in the order of a project's life; each is a module of this package with ``add_arguments`` and ``run``,
#: the first line of its docstring is its help, and ``NEEDS_PADDLE = True`` says that it computes
VERBS = (
    "synth", "data", "prepare", "stats", "choose", "soften", "doctor", "train", "val", "predict", "combine",
    "vectorize", "export", "convert", "weights", "align", "info",
)  # fmt: skip
HERE = Path(__file__).parent
#: what the machine refuses, wherever it happens: no room, no right. Told in one line; other OSErrors are our mistakes
MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class Parser(argparse.ArgumentParser):
    """Refuses in one line, and says which option may have been meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}; '{self.prog} --help' shows the arguments\n")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def, override]
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:  # refused here, by the innermost parser, which knows what it could have been
            option = unknown[0].partition("=")[0]
            choices = [known for known in self._option_string_actions if known.startswith("--")]
            hint = f"; {did_you_mean(option, choices)}" if option.startswith("-") else ""
            self.error(f"unknown argument {option!r}{hint}")
        return namespace, unknown


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: verb and its arguments, ``sys.argv[1:]`` if None.

    Returns:
        Exit code: 0, or what the command returns; 2 for bad input, told in one line; 130 after Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    args = _parse(argv)
    rank = os.environ.get("PADDLE_TRAINER_ID", "0")
    logging.basicConfig(format="%(message)s", level=logging.WARNING if rank == "0" else logging.ERROR)
    runtime.ignore_remarks()
    try:
        if getattr(args.module, "NEEDS_PADDLE", False):
            if not args.no_reexec and _is_this_process():
                runtime.restart_for_cpu(getattr(args, "device", None))
            runtime.quiet_paddle()
        code = args.module.run(args) or 0
        sys.stdout.flush()  # here, where a closed pipe can still be caught
        return code
    except RssegError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `rsseg info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in MACHINE:
            raise
        print(f"error: {error.filename or 'writing'}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def verbs() -> dict[str, str]:
    """Name → one line of help of every command there is, without importing any of them."""
    found = {}
    for verb in VERBS:
        path = HERE / f"{verb}.py"
        if path.exists():
            found[verb] = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    return found


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(
        prog="rsseg", description="Remote-sensing segmentation on PaddlePaddle.", allow_abbrev=False,
        epilog="'rsseg VERB --help' shows the arguments of a verb.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"paddle_rsseg {__version__}")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    known = verbs()
    chosen = next((word for word in argv if not word.startswith("-")), None)
    if chosen is not None and chosen not in known:
        parser.error(f"unknown verb {chosen!r}; {did_you_mean(chosen, known)}")
    for verb, line in known.items():
        command = commands.add_parser(verb, help=line, description=line, allow_abbrev=False)
        if verb == chosen:  # the arguments of the others are not needed, so their modules are not imported
            module = importlib.import_module(f"paddle_rsseg.cli.{verb}")
            module.add_arguments(command)
            if getattr(module, "NEEDS_PADDLE", False):
                command.add_argument(
                    "--no-reexec", action="store_true", help="leave the CPU's thread switches as they are"
                )
            command.set_defaults(module=module)
    return parser.parse_args(argv)


def _is_this_process() -> bool:
    """Is the process itself this command, so that starting it again is starting the command again?

    Not so when a test or a notebook calls :func:`main`.
    """
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "").resolve()
    return script.stem == "rsseg" or script == HERE / "main.py" or HERE.parents[1] / "tools" in script.parents


if __name__ == "__main__":
    sys.exit(main())
