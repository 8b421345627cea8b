"""The image: what goes in, what runs in it, and as whom. There is no engine in the tests; the text must do."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from ledger.settings import from_environment

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTRUCTIONS = {"FROM", "ENV", "WORKDIR", "RUN", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}


def stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, each with its argument in one line, stage by stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    found: list[list[tuple[str, str]]] = []
    for line in re.sub(r" *\\\n *", " ", text).splitlines():
        instruction, _, argument = line.partition(" ")
        if not instruction:
            continue
        assert instruction in INSTRUCTIONS, line
        if instruction == "FROM":
            found.append([])
        found[-1].append((instruction, argument))
    return found


def arguments(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [argument for name, argument in stage if name == instruction]


def test_the_stages_share_a_slim_python_pinned_by_its_tag_that_the_project_supports() -> None:
    bases = {argument.split(" AS ")[0] for stage in stages() for argument in arguments(stage, "FROM")}

    assert len(bases) == 1
    version = re.fullmatch(r"python:(3\.\d+)-slim-[a-z]+", bases.pop())
    assert version is not None
    assert f"{version[1]}.0" in SpecifierSet(PROJECT["requires-python"])


def test_requirements_are_installed_by_hash_and_nothing_is_compiled() -> None:
    build, final = stages()
    installed = [run for run in arguments(build, "RUN") if "-r requirements/run.txt" in run]

    assert "--require-hashes" in installed[0]
    assert "--only-binary :all:" in installed[0]
    assert not [run for stage in stages() for run in arguments(stage, "RUN") if "apt-get" in run]
    assert not [run for run in arguments(final, "RUN") if "pip" in run]


def test_what_is_left_behind_was_there() -> None:
    run = next(run for run in arguments(stages()[0], "RUN") if "uninstall" in run)
    pinned = (ROOT / "requirements/run.txt").read_text()

    for name in run.partition("--yes ")[2].split():
        assert name == "pip" or f"\n{name}==" in pinned


def test_it_runs_as_a_user_of_its_own_and_says_how_it_is() -> None:
    final = stages()[-1]

    assert arguments(final, "USER") == ["10001:10001"]
    assert "useradd --uid 10001" in arguments(final, "RUN")[0]
    assert json.loads(arguments(final, "CMD")[0]) == ["keyledger", "serve"]
    check = json.loads(arguments(final, "HEALTHCHECK")[0].partition("CMD ")[2])
    assert check[0] == "python"
    compile(check[2], "HEALTHCHECK", "exec")


def test_each_variable_it_sets_is_a_setting() -> None:
    settings = dict(re.findall(r"(KEYLEDGER_\w+)=(\S+)", " ".join(arguments(stages()[-1], "ENV"))))

    assert from_environment(settings).data_dir == Path("/var/lib/keyledger")


def test_what_is_copied_exists_and_is_let_through_to_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    sources = [s for c in arguments(stages()[0], "COPY") for s in c.split()[:-1]]

    assert set(sources) == {line[1:] for line in ignored if line.startswith("!")}
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize(
    "path", [".git/config", ".venv/bin/python", ".keyledger/master.key", "deploy/secrets/master_key"]
)
def test_history_data_and_secrets_stay_out(path: str) -> None:
    lines = [x for x in (ROOT / ".dockerignore").read_text().splitlines() if not x.startswith("#")]

    assert lines[0] == "*"
    assert not any(fnmatch(path, f"{line[1:]}*") for line in lines if line.startswith("!"))


@pytest.mark.parametrize("script", [".ci/run", "deploy/make-secrets"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    shell = (ROOT / script).read_text().splitlines()[0].rpartition("/")[2].split()[-1]
    subprocess.run([shell, "-n", ROOT / script], check=True)
