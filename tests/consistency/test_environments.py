"""Environments hold what the code needs; lock, conda files and Makefile agree."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lorabench.control import source_hash
from lorabench.observation.tracking import PACKAGES
from sync_envs import CUDA_PACKAGE, STAGE_EXTRAS, closure, direct_pins, read_lock

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "workflow" / "scripts"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK_FILES = sorted((ROOT / "requirements").glob("*.txt"))
STAGES = sorted(STAGE_EXTRAS)
HEAD = "head"  # the process that runs Snakemake: the project without extras
HEAD_SCRIPTS = ("doctor.py", "validate_config.py")


def entry_files(environment: str) -> list[Path]:
    """Return the scripts that run in an environment, and for a stage all modules of its folder."""
    if environment == HEAD:
        rules = "".join(path.read_text() for path in (ROOT / "rules").rglob("*.smk"))
        modules = re.findall(r"^ *from (lorabench\.\S+) import", rules, re.MULTILINE)
        files = [SCRIPTS.joinpath(*module.split(".")).with_suffix(".py") for module in modules]
        files += [SCRIPTS / name for name in HEAD_SCRIPTS]
        return [*files, *SCRIPTS.glob("snakemake_logger_plugin_*/*.py")]
    rules = (ROOT / "rules" / f"{environment}.smk").read_text()
    scripts = [SCRIPTS / name for name in re.findall(r"workflow/scripts/(\w+\.py)", rules)]
    return scripts + sorted((SCRIPTS / "lorabench" / environment).glob("*.py"))


def pinned(environment: str) -> set[str]:
    """Return the names of the packages that an environment holds."""
    if environment == HEAD:
        return set(closure(read_lock(ROOT), direct_pins(ROOT)[""]))
    content = yaml.safe_load((ROOT / "envs" / f"{environment}.yaml").read_text())
    return {requirement.split("==")[0] for requirement in content["dependencies"][-1]["pip"]}


def third_party_imports(files: list[Path]) -> dict[str, str]:
    """Return top-level name -> a file that imports it, over all that `files` reach."""
    found: dict[str, str] = {}
    for path in {reached for file in files for reached in source_hash.closure(file, whole=True)}:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            found |= {name.split(".")[0]: path.name for name in names}
    ours = {*sys.stdlib_module_names, "lorabench"}
    return {name: path for name, path in found.items() if name not in ours}


def site_folder(names: set[str], folder: Path) -> Path:
    """Fill a folder with links to these installed packages: a site-packages of no others."""
    folder.mkdir()
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name in names or CUDA_PACKAGE.fullmatch(name):
            for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
                link = folder / top
                if not link.is_symlink():
                    link.symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def make(*words: str, environment: dict[str, str] | None = None) -> str:
    """Return the commands that make would run."""
    others = ("MAKE", "MFLAGS", "LORA_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    command = ["make", "--dry-run", "--old-file=.venv/.installed", *words]
    given = clean | (environment or {})
    return subprocess.check_output(command, cwd=ROOT, env=given, text=True).strip()


def test_lock_and_conda_files_are_in_step() -> None:
    """requirements/ holds what pyproject.toml asks for, envs/ what requirements/ says."""
    answer = subprocess.run(
        [sys.executable, "tools/sync_envs.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_every_locked_package_is_exact_and_hashed(path: Path) -> None:
    """Each requirement of the lock names one version and at least one SHA-256."""
    blocks = re.findall(r"^[a-z0-9].*\n(?:    .*\n)*", path.read_text(), flags=re.MULTILINE)
    assert blocks
    for block in blocks:
        exact = re.match(r"[a-z0-9._-]+={2,3}[0-9]", block)
        assert exact and "--hash=sha256:" in block, block.splitlines()[0]


def test_cpu_machines_get_no_cuda_package() -> None:
    """Only torch-cuda.txt holds NVIDIA's packages; the CPU part pins torch's +cpu build."""
    folder = ROOT / "requirements"
    names = re.findall(r"^([a-z0-9._-]+)==", (folder / "lock.txt").read_text(), flags=re.MULTILINE)
    assert [name for name in names if name == "torch" or CUDA_PACKAGE.fullmatch(name)] == []
    pin = f"torch=={read_lock(ROOT)['torch'].version}+cpu ; sys_platform == 'linux'"
    assert pin in (folder / "torch-cpu.txt").read_text()


@pytest.mark.parametrize(
    "path",
    [*LOCK_FILES, *sorted((ROOT / "envs").glob("*.yaml")), ROOT / "pyproject.toml"],
    ids=lambda path: path.name,
)
def test_no_file_names_a_package_index(path: Path) -> None:
    """Where packages come from is the machine's business: pip's and uv's own configuration."""
    addresses = r"https?://|--index|--extra-index|--find-links|file://"
    assert re.findall(addresses, path.read_text()) == []


def test_there_is_one_conda_file_for_each_stage() -> None:
    """Stage folder, rules file and conda file have the same word; vLLM has a separate file."""
    assert sorted(path.stem for path in (ROOT / "envs").glob("*.yaml")) == sorted([*STAGES, "vllm"])
    rules = {path.stem for path in (ROOT / "rules").glob("*.smk")}
    assert sorted(rules - {"start", "common"}) == STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_conda_files_ask_conda_for_python_and_pip_only(stage: str) -> None:
    """All other packages are exact pip pins, so conda and .venv run the same versions."""
    dependencies = yaml.safe_load((ROOT / "envs" / f"{stage}.yaml").read_text())["dependencies"]
    assert dependencies[:-1] == ["python =3.11", "pip"]
    pins = dependencies[-1]["pip"]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[^=\s]+", requirement) for requirement in pins)


@pytest.mark.parametrize("environment", [HEAD, *STAGES])
def test_every_import_is_pinned_in_its_environment(environment: str) -> None:
    """What a stage's code imports, inside functions too, is in the stage's environment."""
    owners = importlib.metadata.packages_distributions()
    names = pinned(environment)
    for module, importer in third_party_imports(entry_files(environment)).items():
        if module == "vllm":  # the engine's own environment
            assert (importer, environment) == ("vllm_engine.py", "evaluation")
            assert module in pinned("vllm")
            continue
        if module in PACKAGES:  # a tracker, installed by who wants it
            assert (importer, environment) == ("tracking.py", "training")
            continue
        packages = {re.sub(r"[-_.]+", "-", name).lower() for name in owners.get(module, [module])}
        assert packages & names, (
            f"{importer} imports {module}: pin it in pyproject.toml, then `make lock`"
        )


@pytest.mark.slow
@pytest.mark.parametrize("environment", [HEAD, *STAGES])
def test_stages_load_with_nothing_but_their_environment(environment: str, tmp_path: Path) -> None:
    """Each stage's modules import with no other package than its environment pins."""
    site = site_folder(pinned(environment), tmp_path / "site")
    modules = [
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts).removesuffix(".__init__")
        for path in entry_files(environment)
    ]
    paths = f"import sys; sys.path += [{str(site)!r}, {str(SCRIPTS)!r}]"
    program = "\n".join([paths, *(f"import {module}" for module in modules)])
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr[-2000:]


def test_the_package_list_is_the_folders() -> None:
    """A wheel or install holds every package folder below workflow/scripts and nothing else."""
    folders = [path.parent.relative_to(SCRIPTS) for path in SCRIPTS.rglob("__init__.py")]
    names = sorted(".".join(folder.parts) for folder in folders)
    assert PROJECT["tool"]["setuptools"]["packages"] == names


def test_extras_are_the_documented_ones() -> None:
    """`pip install -e ".[EXTRA]"` knows the README's extras, and `all` holds every stage's."""
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"train", "eval", "judge", "perf", "report", "bench", "all", "dev"} <= extras.keys()
    assert extras["all"] == ["lorabench[bench,train]"]
    whole = {"lorabench", "train", *re.findall(r"\w+", extras["bench"][0])}
    assert {"lorabench", *STAGE_EXTRAS.values()} == whole


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name
)
def test_actions_are_pinned(path: Path) -> None:
    """Every action of a GitHub workflow is pinned to a major version or a commit."""
    uses = re.findall(r"uses: (\S+)", path.read_text())
    assert uses and all(
        re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in uses
    ), uses


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            ["eval-llama3", "LORA_SMOKE=1"],
            "snakemake evaluate --profile local --configfile 'config/smoke.yaml' --logger"
            " lorabench",
        ),
        (
            ["report", "CONFIG=my config/it's.yaml"],
            r"snakemake report --profile local --configfile 'my config/it'\''s.yaml'",
        ),
        (["accept", "TARGET=train"], "snakemake train --touch --profile local"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_make_prints_the_snakemake_call(words: list[str], command: str) -> None:
    """Overlays, with spaces and quotes too, and targets reach Snakemake."""
    assert re.sub(r" +", " ", make(*words)) == f".venv/bin/{command}"


def test_paths_given_to_make_reach_the_workflow_whole(tmp_path: Path) -> None:
    """A path with spaces and quotes arrives unchanged in the environment of commands."""
    path = """/some dir/it's "here\""""
    probe = tmp_path / "probe.mk"
    probe.write_text(
        f"include Makefile\nprobe:\n\t@{sys.executable} -c 'import os;"
        ' print(os.environ["ADAPTER_PATH"])\'\n'
    )
    answer = subprocess.run(
        ["make", "--no-print-directory", "-f", str(probe), "probe", f"ADAPTER_PATH={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == path
