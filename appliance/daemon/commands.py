"""The commands of the service on the command line. They import what they need when they run."""

from __future__ import annotations

import argparse
from pathlib import Path

DOCTOR = """\
Examines the box, the settings and what the service keeps, and says of everything that is not in order what to
do. Nothing is changed. Ask as the service's user: rights are those of whoever asks.
Exit code: 0 without a fault, 1 with one, 2 if the settings do not hold."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands' options; `options.command` then runs one."""
    _add_doctor(commands)


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find what keeps the service from working, and say what to do",
        description=DOCTOR,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (default: those of config/appliance.yaml)"
    )
    parser.add_argument("--json", action="store_true", help="for other software")
    parser.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    from appliance.daemon.checks.state import configuration_findings
    from appliance.daemon.doctor import CHECKS, examine, exit_code, findings_json, findings_text
    from appliance.errors import ConfigurationError
    from appliance.progress import Console
    from appliance.settings import default_settings, load

    progress = Console()

    def before_each(name: str) -> None:
        progress.advance(1)
        progress.step(f"examining: {name.replace('_', ' ')}")

    try:
        settings = default_settings() if options.config is None else load(options.config)
        progress.total(len(CHECKS))
        findings = list(examine(settings, options.config, before_each=before_each))
    except ConfigurationError as error:
        findings = list(configuration_findings(error.problems))
    finally:
        progress.close()
    print(findings_json(findings) if options.json else findings_text(findings))
    return exit_code(findings)
