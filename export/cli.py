"""The command line `goodparts-export`: fetch, convert, build, verify, bundle. Run offline, never on a box.

Exit codes are those of `goodparts`: 0 done; 2 bad usage or configuration, an environment without torch
included; 130 interrupted; 1 anything else, with a message and no traceback.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from types import FrameType

from engines.errors import EngineError
from export.errors import ExportError

COMMANDS = ("fetch", "unet", "encoder", "clip", "engine", "verify", "all", "bundle")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    if importlib.util.find_spec("torch") is None:
        print(
            "goodparts-export: PyTorch is not installed here; run make env-export, then "
            ".venv-export/bin/goodparts-export.",
            file=sys.stderr,
        )
        return 2
    options = _parser().parse_args(arguments)
    previous = signal.signal(signal.SIGTERM, _interrupt)  # a stopped export cleans up as Ctrl-C does
    try:
        code: int = options.run(options)
        return code
    except ExportError as error:
        return _fail(str(error), error.exit_code)
    except EngineError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written is left.", INTERRUPTED)
    except BrokenPipeError:
        return 0  # the reader of our output went away, as `| head` does: no fault
    except MemoryError:
        return _fail("the memory does not suffice. Close other programs, or export on a larger machine.", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}. Check the disk and the rights.", 1)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _fail(message: str, code: int) -> int:
    print(f"goodparts-export: {message}", file=sys.stderr)
    return code


def _interrupt(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="goodparts-export",
        description="Turns published networks into engines that a box without PyTorch runs, and proves that "
        "each computes what the original computes.",
    )
    parser.add_argument("--version", action="version", version=f"goodparts-export {version('goodparts')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in COMMANDS:
        importlib.import_module(f"export.commands.{name}").add_parser(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
