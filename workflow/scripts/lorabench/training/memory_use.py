"""Memory that this process has used, in bytes."""

import resource

import torch


def peak_memory() -> dict[str, int | None]:
    """Return the peaks so far: resident set, and on a GPU what PyTorch allocated and reserved (else None).

    `gpu_used_bytes` is what the driver says is in use now, by all processes.
    """
    cuda = torch.cuda.is_available()
    free, total = torch.cuda.mem_get_info() if cuda else (0, 0)
    return {
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB
        "gpu_allocated_bytes": torch.cuda.max_memory_allocated() if cuda else None,
        "gpu_reserved_bytes": torch.cuda.max_memory_reserved() if cuda else None,
        "gpu_used_bytes": total - free if cuda else None,
    }
