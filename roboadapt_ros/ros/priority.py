"""The priority a node's process runs with: asked for, given where permitted, never a failure.

A higher one than usual takes root, or limits set for the user (`rtprio` and `nice` in
/etc/security/limits.conf, as Franka's real-time setup has them). Whoever starts a node says in its
environment what it should ask for. This module imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 'ROBOADAPT_NICENESS'
REALTIME = 'ROBOADAPT_REALTIME'
_AUTOGROUP = Path('/proc/self/autogroup')


def take_priority(niceness: int, realtime: int = 0) -> None:
    """Ask for a priority for this process and the threads it will start.

    Args:
        niceness: Priority among ordinary processes, lower is more urgent.
        realtime: Priority above all of them, 1..99; 0: be one of them.
    """
    with contextlib.suppress(PermissionError):
        os.nice(niceness)
    # Linux shares a core between sessions first (sched_autogroup): among processes that have one
    # each, as under `roboadapt up`, only the session's niceness counts. One that is shared, as
    # under launch, is left alone: it is that of a person's terminal, and whatever else runs there.
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError), _AUTOGROUP.open('w', encoding='ascii') as file:
            file.write(str(niceness))
    if realtime:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(realtime))


def take_priority_of_environment() -> None:
    """Ask for what the environment says; without a word, or with nonsense, for nothing.

    The variables are taken out, so that children of a node do not ask for it, too.
    """
    texts = [os.environ.pop(name, '') for name in (NICENESS, REALTIME)]
    niceness, realtime = (int(text) if text.lstrip('-').isdigit() else 0 for text in texts)
    if niceness or realtime:
        take_priority(niceness, realtime)


def priority_environment(niceness: int, realtime: int) -> dict[str, str]:
    """Return the variables that let a node ask for a priority; none for the usual one."""
    wanted = {NICENESS: niceness, REALTIME: realtime}
    return {name: str(value) for name, value in wanted.items() if value}
