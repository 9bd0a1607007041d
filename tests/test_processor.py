"""Which processors get bfloat16, by what Linux reports; no report means float32."""

from pathlib import Path

import pytest

from lorabench import processor


@pytest.mark.parametrize(
    ("vendor", "flags", "fast"),
    [
        ("AuthenticAMD", "fpu avx512f avx512_bf16", True),  # Zen 4 and later
        (
            "GenuineIntel",
            "fpu avx512f avx512_bf16 amx_bf16 amx_tile",
            True,
        ),  # Sapphire Rapids and later
        (
            "GenuineIntel",
            "fpu avx512f avx512_bf16",
            False,
        ),  # the same in a virtual machine that hides AMX
        ("GenuineIntel", "fpu avx512f", False),
        ("AuthenticAMD", "fpu avx2", False),
    ],
)
def test_bfloat16_where_it_is_faster(
    vendor: str, flags: str, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AMX, or AVX512-BF16 on AMD."""
    info = tmp_path / "cpuinfo"
    info.write_text(
        f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: Some: name\nflags\t\t: {flags}\n\n"
    )
    monkeypatch.setattr(processor, "CPU_INFO", info)
    assert processor.fast_bfloat16() is fast
    assert processor.processor_name() == "Some: name"


def test_a_system_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails."""
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "none")
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    assert not processor.fast_bfloat16()
    assert processor.cores() >= 1
    processor.processor_name()
