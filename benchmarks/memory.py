"""Predicted against measured peak memory of training, on this machine's CPU or GPU.

    python benchmarks/memory.py            # random models of some shapes; a table on stdout

Measured: on a CPU the allocator's own record (torch.profiler) and, in a process of its own, the growth of the peak
resident set; on a GPU max_memory_allocated. The base is random weights in a temporary directory.
"""
