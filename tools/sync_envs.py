"""Lock the dependencies and write envs/*.yaml: pyproject.toml -> requirements/*.txt -> envs/*.yaml.

    python tools/sync_envs.py            write envs/*.yaml from the lock (`make fix`)
    python tools/sync_envs.py --check    change nothing; exit 1 when a file is out of step
    python tools/sync_envs.py --lock     resolve pyproject.toml anew first (`make lock`); asks the
    package index

The lock is one resolution, written in four parts so that each place installs what it can use:

    lock.txt         everything but the parts below
    torch-cpu.txt    torch's CPU build: no NVIDIA package
    torch-cuda.txt   torch's CUDA build and the NVIDIA packages it pins
    uv.txt           the installer itself

Every line is an exact version with SHA-256 hashes. No file names an index: pip and uv look where
they are told to.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# file in envs/ -> extra in pyproject.toml
STAGE_EXTRAS = {
    "data": "data",
    "training": "train",
    "evaluation": "eval",
    "judging": "judge",
    "inference": "perf",
    "report": "report",
}
# an engine that pins torch and transformers itself, so it is resolved apart, for Linux x86_64
VLLM = "vllm==0.33.0"
ENV_HEAD = """\
# {stage}: the pins of extra `{extra}` and of what they need.
# Written by `make fix` from requirements/.
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python =3.11
  - pip
  - pip:
"""
CUDA_PACKAGE = re.compile(r"triton|cuda-.+|nvidia-(?!ml-py).+")
# PyPI has no CPU build of torch for Linux, so the resolver does not see these wheels. Their SHA-256
# as published by PyTorch's own wheel index, for CPython 3.11, 3.12, 3.13.
TORCH_CPU_SHA256 = {
    "2.13.0": (
        # 3.11 x86_64
        "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
        # 3.12 x86_64
        "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
        # 3.13 x86_64
        "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
        # 3.11 aarch64
        "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
        # 3.12 aarch64
        "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",
        # 3.13 aarch64
        "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",
    )
}


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One locked package."""

    name: str
    version: str
    # its lines in the lock: requirement, hashes, who asked for it
    text: str
    # names of the packages that ask for it; "lorabench" = pyproject.toml itself
    parents: frozenset[str]


def parse_lock(text: str) -> dict[str, Pin]:
    """Return name -> pin of requirements as `uv pip compile --generate-hashes` writes them."""
    pins = {}
    for block in re.findall(r"^[a-z0-9].*\n(?:    .*\n)*", text, flags=re.MULTILINE):
        name, version = re.match(r"([a-z0-9._-]+)={2,3}(\S+)", block).groups()  # type: ignore[union-attr]
        asked_by = block.partition("# via")[2].replace("(pyproject.toml)", "")
        pins[name] = Pin(
            name=name,
            version=version,
            text=block,
            parents=frozenset(re.findall(r"[a-z0-9._-]+", asked_by)),
        )
    return pins


def without_common_marker(text: str) -> str:
    """Drop the marker of snakemake, which is true on every machine that we lock for."""
    marker = re.search(r"^snakemake==\S+( ; .+?) \\$", text, flags=re.MULTILINE)
    return text.replace(f"{marker[1]} \\\n", " \\\n") if marker else text


def resolve(root: Path) -> dict[str, Pin]:
    """Resolve pyproject.toml with uv, keeping present versions wherever they still fit.

    Local folders of wheels are left out of sight, so that the lock is the same on every machine.
    """
    environment = {
        k: v for k, v in os.environ.items() if k not in ("UV_FIND_LINKS", "UV_TORCH_BACKEND")
    }
    parts = ("lock.txt", "torch-cuda.txt", "uv.txt")
    present = [root / "requirements" / part for part in parts]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "full.txt"
        output.write_text("".join(path.read_text() for path in present if path.exists()))
        command = [
            "uv",
            "pip",
            "compile",
            "pyproject.toml",
            "--all-extras",
            "--universal",
            "--python-version",
            "3.11",
        ]
        command += ["--generate-hashes", "--no-header", "--quiet", "--output-file", str(output)]
        subprocess.run(command, cwd=root, env=environment, check=True)
        return parse_lock(without_common_marker(output.read_text()))


def resolve_vllm(root: Path) -> str:
    """Return the lock of evaluation with vLLM, which takes its own torch and transformers."""
    own = [f"{name}=={version}" for name, version in direct_pins(root)["eval"].items()]
    wanted = [
        VLLM,
        *(
            pin
            for pin in own
            if not pin.startswith(("torch==", "transformers==", "bitsandbytes=="))
        ),
    ]
    command = [
        "uv",
        "pip",
        "compile",
        "-",
        "--python-version",
        "3.11",
        "--python-platform",
        "x86_64-manylinux_2_28",
    ]
    command += ["--generate-hashes", "--no-header", "--quiet"]
    done = subprocess.run(
        command, cwd=root, input="\n".join(wanted), stdout=subprocess.PIPE, check=True, text=True
    )
    return f"# The engine vLLM with what evaluation needs. Written by `make lock`.\n{done.stdout}"


def torch_cpu_text(cuda: Pin) -> str:
    """Return the requirement of torch's CPU build; macOS takes the wheel of the package index."""
    if cuda.version not in TORCH_CPU_SHA256:
        raise SystemExit(
            f"tools/sync_envs.py: add the CPU wheels of torch {cuda.version} to TORCH_CPU_SHA256"
        )
    linux = [f"    --hash=sha256:{digest}" for digest in TORCH_CPU_SHA256[cuda.version]]
    macos = re.findall(r"    --hash=\S+", cuda.text)
    return (
        " \\\n".join([f"torch=={cuda.version}+cpu ; sys_platform == 'linux'", *linux])
        + "\n"
        + " \\\n".join([f"torch=={cuda.version} ; sys_platform == 'darwin'", *macos])
        + "\n"
    )


def lock_files(pins: dict[str, Pin], root: Path) -> dict[Path, str]:
    """Return the four parts of the lock: path -> text."""
    cuda = {name for name in pins if name == "torch" or CUDA_PACKAGE.fullmatch(name)}

    def text(comment: str, names: Iterable[str]) -> str:
        return f"# {comment} Written by `make lock`.\n" + "".join(pins[name].text for name in names)

    folder = root / "requirements"
    torch_cuda = text("torch's CUDA build and the NVIDIA packages that it pins.", sorted(cuda))
    return {
        folder / "lock.txt": text(
            "Every package but torch and uv.", sorted(pins.keys() - cuda - {"uv"})
        ),
        # === takes this very version: == would rather have a CPU build (2.13.0+cpu) from a local
        # folder of wheels
        folder / "torch-cuda.txt": re.sub(
            r"^torch==(?=\d)", "torch===", torch_cuda, flags=re.MULTILINE
        ),
        folder / "torch-cpu.txt": text("torch's CPU build.", []) + torch_cpu_text(pins["torch"]),
        folder / "uv.txt": text("The installer.", ["uv"]),
    }


def read_lock(root: Path) -> dict[str, Pin]:
    """Return every pin of the committed lock, by name."""
    parts = ("lock.txt", "torch-cuda.txt", "uv.txt")
    return parse_lock("".join((root / "requirements" / part).read_text() for part in parts))


def direct_pins(root: Path) -> dict[str, dict[str, str]]:
    """Return pyproject.toml's own pins: extra ("" = always installed) -> name -> version."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    pattern = re.compile(r"([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")
    return {extra: dict(pattern.findall("\n".join(lines))) for extra, lines in lists.items()}


def closure(pins: dict[str, Pin], roots: Iterable[str]) -> list[str]:
    """Return the sorted names of `roots` and of everything they need, however indirectly."""
    reached = set(roots)
    while new := {pin.name for pin in pins.values() if pin.parents & reached} - reached:
        reached |= new
    return sorted(reached)


def env_files(pins: dict[str, Pin], root: Path) -> dict[Path, str]:
    """Return the conda environment of each stage: path -> YAML text.

    torch is listed without a build label, so that a machine gets the build that its pip is
    configured for; the NVIDIA packages are left to torch's own exact pins.
    """
    direct = direct_pins(root)
    files = {}
    for stage, extra in STAGE_EXTRAS.items():
        names = [name for name in closure(pins, direct[extra]) if not CUDA_PACKAGE.fullmatch(name)]
        lines = [f"      - {name}=={pins[name].version}\n" for name in names]
        files[root / "envs" / f"{stage}.yaml"] = ENV_HEAD.format(
            stage=stage, extra=extra
        ) + "".join(lines)
    vllm = parse_lock((root / "requirements" / "vllm.txt").read_text())
    lines = [
        f"      - {name}=={pin.version}\n"
        for name, pin in vllm.items()
        if not CUDA_PACKAGE.fullmatch(name)
    ]
    files[root / "envs" / "vllm.yaml"] = ENV_HEAD.format(stage="vllm", extra="eval") + "".join(
        lines
    )
    return files


def unlocked(pins: dict[str, Pin], root: Path) -> list[str]:
    """Return one line for each package that pyproject.toml and the lock pin differently."""
    wanted = {
        name: version for extra in direct_pins(root).values() for name, version in extra.items()
    }
    locked = {pin.name: pin.version for pin in pins.values() if "lorabench" in pin.parents}
    return [
        f"requirements/ has {name} {locked.get(name)}, pyproject.toml asks for {wanted.get(name)};"
        " run: make lock"
        for name in sorted(wanted.keys() | locked.keys())
        if wanted.get(name) != locked.get(name)
    ]


def out_of_step(pins: dict[str, Pin], root: Path) -> list[str]:
    """Return one line for each written file that differs from what its source says."""
    return [
        f"{path.relative_to(root)} is out of step; run:"
        f" {'make lock' if path.suffix == '.txt' else 'make fix'}"
        for path, text in {**lock_files(pins, root), **env_files(pins, root)}.items()
        if not path.exists() or path.read_text() != text
    ]


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--check", action="store_true", help="report files that are out of step, change nothing"
    )
    action.add_argument(
        "--lock", action="store_true", help="resolve pyproject.toml anew before writing"
    )
    arguments = parser.parse_args()
    pins = resolve(ROOT) if arguments.lock else read_lock(ROOT)
    if arguments.lock:
        (ROOT / "requirements" / "vllm.txt").write_text(resolve_vllm(ROOT))
    faults = unlocked(pins, ROOT) or (out_of_step(pins, ROOT) if arguments.check else [])
    if faults:
        print("\n".join(faults), file=sys.stderr)
        return 1
    if not arguments.check:
        for path, text in {
            **(lock_files(pins, ROOT) if arguments.lock else {}),
            **env_files(pins, ROOT),
        }.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
