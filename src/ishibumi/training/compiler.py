"""Whether this machine can build kernels. device → bool."""

import os
import shutil


def has_compiler(*, is_gpu: bool) -> bool:
    """Whether there is the compiler that torch.compile calls.

    Triton builds a GPU's launchers with CC, gcc or clang; for a CPU Inductor calls CXX or g++.
    """
    if is_gpu:
        names = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    else:
        names = [os.environ.get("CXX", "g++")]
    return any(shutil.which(name) for name in names)
