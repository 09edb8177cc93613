"""The process that would run here: who it is, how many files it may open, how many processors it may use."""

import os
import resource

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, problem
from gateway.workers.cpus import usable_cpus
from gateway.workers.descriptors import needed


def user(patient: Patient) -> list[Finding]:
    if os.geteuid() != 0:
        return [fine("user", f"this user is not root, but {os.geteuid()}")]
    says = "this runs as root: a mistake in the gateway or a library would be one of the whole host"
    return [advice("user", says, "run it as a user of its own; it needs no privilege for ports from 1024 on")]


def open_files(patient: Patient) -> list[Finding]:
    """The gateway raises the soft limit to the hard one by itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed(patient.config)
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        return [fine("open_files", f"{_shown(hard)} files may be open, and {wanted} are the most that are needed")]
    says = f"{hard} files may be open, but connections to clients and upstreams may take {wanted}"
    return [
        problem("open_files", says, f"raise the limit (LimitNOFILE={wanted}, ulimit -Hn), or lower limits.connections")
    ]


def processors(patient: Patient) -> list[Finding]:
    workers, usable = patient.config.workers, usable_cpus()
    number = usable if workers == "auto" else workers
    says = f"processes that serve: {number}; CPUs that may be used: {usable}"
    if number > usable:
        return [advice("processors", says, f"set workers to {usable} or to auto: more only take turns")]
    return [fine("processors", says)]


def _shown(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)
