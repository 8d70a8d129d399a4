"""The C library's allocator, told to keep what a forward pass frees.

By default glibc hands large blocks back to the system as soon as they are free, so that every
pass has its pages mapped and zeroed anew: 100 to 225 MB for eight frames of ResNet-50, and the
more, the more blocks of different sizes take turns. Adapters then seemed to cost 15 % there,
and cost 2.4 % with the memory kept. Applies to the whole process.
"""

from __future__ import annotations

import ctypes

# Parameters of mallopt(3), from malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Give back what is free now and keep what is freed from now on, for the next allocation.

    Threads that start later allocate from the same memory, so that a pass finds the memory of
    the last one whichever thread runs it.

    Returns:
        Whether the C library can do so; glibc can.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, 'mallopt') or not hasattr(library, 'malloc_trim'):
        return False
    library.malloc_trim(0)
    settings = ((_TRIM_THRESHOLD, _NEVER), (_MMAP_MAX, 0), (_ARENA_MAX, 1))
    accepted = [library.mallopt(name, value) == 1 for name, value in settings]
    return all(accepted)
