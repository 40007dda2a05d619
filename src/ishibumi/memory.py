"""Memory that is free again, given back to the system."""

import contextlib
import ctypes
import gc


def release() -> None:
    """Let go of what nobody holds. The C library keeps what training freed, and the exam's memory would come on top."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # other C libraries than glibc have no such function
        ctypes.CDLL(None).malloc_trim(0)
