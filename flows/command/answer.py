"""How the command line ends: its exit code, and what it says of errors."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from typing import NoReturn

import click

from tasks.run.errors import said
from tasks.settings.case import Case

STOPPED = 130
"""As shells have it of a command that an interrupt ended."""


def answer(command: click.Command) -> NoReturn:
    """Run the command line: what a person can act on is one line and exit code 2."""
    for sign in (signal.SIGINT, signal.SIGTERM):  # either stops the servers that we started
        signal.signal(sign, signal.default_int_handler)
    if isinstance(sys.stdout, TextIOWrapper):  # names that are not UTF-8, terminals that are not
        # line by line, so that what the commands that we start print stays in its place
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
    try:
        code = command(standalone_mode=False) or 0
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        sys.exit(2)
    except click.ClickException as error:
        fail(f"{error.format_message()} See acme --help.")
    except (click.Abort, KeyboardInterrupt):
        fail("stopped; finished steps are kept, run the same command to go on", STOPPED)
    except BrokenPipeError:  # who read our output has gone: `acme fleet | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1  # as click has it
    except Exception as error:
        code = told(error)
    sys.exit(code)


def told(error: Exception) -> int:
    """The exit code for an error that a person can act on, who is told it in one line.

    Raises:
        Exception: the error itself, if nobody can.
    """
    words = said(error)
    if words is None:
        raise error
    return tell(words, 2)


def fail(message: str, code: int = 2) -> NoReturn:
    """One line on standard error, and out."""
    sys.exit(tell(message, code))


def tell(message: str, code: int) -> int:
    """One line on standard error, which in a case's folder says whose; gives the exit code."""
    words = " ".join(message.split())
    try:
        case = Case.here()
    except FileNotFoundError:
        words += " (The working folder is gone: cd to another.)"
    else:
        words = f"case {case.name}: {case.addressed(words)}" if case.name and code == 2 else words
    print(f"acme: {words}", file=sys.stderr)
    return code
