"""Where torch computes, and that it computes the same every time."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import torch

from tasks.run.errors import SettingsError
from tasks.run.words import counted


def prepare(compute: str, threads: int) -> torch.device:
    """Set torch up for reproducible work and say where modules go.

    Args:
        compute: ``auto`` takes CUDA where there is one, else the CPU; ``cpu`` and ``cuda`` insist.

    Raises:
        SettingsError: ``cuda`` is asked for and there is none.
    """
    torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports a compiler
    if compute == "cuda" and not torch.cuda.is_available():
        raise SettingsError("compute: cuda, but torch finds no GPU here. Try compute: auto.")
    return torch.device("cuda" if compute != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Machine:
    """Where and with how many threads tasks compute; an input of cached tasks, since results on
    another kind of processor or with another number of threads may differ in the last bit."""

    compute: str
    threads: int

    @classmethod
    def of(cls, compute: str, threads: int) -> Machine:
        """With the processor that ``auto`` finds here: what is cached of one is not the other's.

        Raises:
            SettingsError: ``cuda`` is asked for and there is none.
        """
        return cls(prepare(compute, threads).type, threads)

    def prepare(self) -> torch.device:
        """See :func:`prepare`."""
        return prepare(self.compute, self.threads)


def hardware(machine: Machine) -> str:
    """The processor that a run used, in words."""
    if machine.prepare().type == "cuda":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {counted(machine.threads, 'thread')}"
