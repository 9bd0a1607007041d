"""Memory readings of a process, and of the machine."""

import psutil

from lorabench.inference.machine_state import (
    MIB,
    available_memory_mib,
    describe_machine,
    gpu_process_mib,
    gpu_state,
)
from lorabench.inference.memory import peak_resident_mib, reset_peak_resident, resident_mib


def test_reset_separates_an_earlier_peak_from_a_later_one() -> None:
    """Memory that was freed before the reset no longer shows in the peak."""
    block = bytearray(300 * MIB)
    del block
    before = peak_resident_mib()
    if before is None or not reset_peak_resident():
        return  # a system without these counters: readings are None there
    after = peak_resident_mib()
    assert after is not None
    assert after < before
    assert abs(after - resident_mib()) < 50


def test_available_memory_is_part_of_the_machines() -> None:
    """What new processes may use is positive and at most the memory of the machine."""
    assert 0 < available_memory_mib() <= psutil.virtual_memory().total / MIB


def test_machine_without_a_gpu_has_no_gpu_state() -> None:
    """Without a GPU its readings are None, and the machine is described all the same."""
    assert gpu_state(None, set()) is None
    assert gpu_process_mib(None, 1) is None
    assert describe_machine()["cpu_cores_allowed"] >= 1
