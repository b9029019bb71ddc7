"""What is true of the project as a whole, checked by machine rather than by reviewers."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lookup.config import DEFAULT_PATH, parse_config

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Folders that make, the tools or a demonstration leave in a checkout.
LEFT_BEHIND = {"__pycache__", "build", "demo-site", "demo-slot", "dist"}
PRODUCT = ("crypto", "keys", "lookup", "bench", "requirements")


def project_files() -> Iterator[Path]:
    """Walk over what belongs to the project; hidden folders do not, but for .ci."""
    for folder, names, files in os.walk(ROOT):
        names[:] = [
            name
            for name in names
            if name not in LEFT_BEHIND and (name == ".ci" or not name.startswith("."))
        ]
        yield from (Path(folder) / file for file in files if not file.startswith(".coverage"))


def sources(*folders: str) -> list[Path]:
    """Return the Python files below these folders."""
    return sorted(
        path
        for path in project_files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in folders
    )


class TestLocks:
    """requirements/*.lock: everything pinned, by hash, and the same in both."""

    @staticmethod
    def pins(lock: str) -> dict[str, set[str]]:
        """Return the versions that a lock pins; one name can have two, by Python version."""
        pins: dict[str, set[str]] = {}
        for line in (ROOT / "requirements" / lock).read_text().splitlines():
            if found := re.match(r"([a-z0-9.-]+)==(\S+)", line):
                pins.setdefault(found[1], set()).add(found[2])
        return pins

    @pytest.mark.parametrize(
        ("lock", "wanted"),
        [
            ("run.lock", PROJECT["project"]["dependencies"]),
            ("dev.lock", PROJECT["project"]["dependencies"]),
            ("dev.lock", PROJECT["project"]["optional-dependencies"]["dev"]),
            ("run.lock", PROJECT["build-system"]["requires"]),
            ("dev.lock", PROJECT["build-system"]["requires"]),
        ],
    )
    def test_every_dependency_is_pinned_as_pyproject_allows(
        self, lock: str, wanted: list[str]
    ) -> None:
        pins = self.pins(lock)
        for requirement in map(Requirement, wanted):
            versions = pins.get(canonicalize_name(requirement.name), set())
            assert versions, f"{requirement.name} is not in {lock}: make lock"
            assert all(requirement.specifier.contains(version) for version in versions)

    def test_run_is_contained_in_dev(self) -> None:
        """So that one environment can grow from the one to the other."""
        run, dev = self.pins("run.lock"), self.pins("dev.lock")

        assert {name: dev.get(name) for name in run} == run

    @pytest.mark.parametrize("lock", ["run.lock", "dev.lock"])
    def test_every_pin_has_hashes(self, lock: str) -> None:
        """Else pip would refuse the whole lock, on a machine that is not ours."""
        text = (ROOT / "requirements" / lock).read_text()
        pins = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]

        assert pins
        assert all("--hash=sha256:" in pin for pin in pins)

    def test_what_builds_the_package_is_the_version_pyproject_names(self) -> None:
        build = (ROOT / "requirements" / "build.in").read_text().splitlines()

        assert set(PROJECT["build-system"]["requires"]) <= set(build)


class TestFiles:
    """What no file may hold, and what each must."""

    # Written with a class of one letter each, so that this file does not hold them either.
    FORBIDDEN = (
        r"(?<![\w.])/[w]ork/",
        r"(?<![\w.])/[r]oot/",
        r"(?<![\w.])/[h]ome/\w",
        r"(?<![\w.])/[o]pt/(?!lacuna\b)",
        r"\b[p]ypi\.org",
        r"\b[p]ythonhosted\.org",
        r"\b[n]pmjs\.(com|org)",
        r"\b[d]eb\.debian\.org",
        r"\b[p]roxy\.golang\.org",
    )

    def test_no_file_holds_paths_of_a_machine_or_hosts_of_a_registry(self) -> None:
        """They would be wrong on every other machine."""
        forbidden = re.compile("|".join(self.FORBIDDEN))
        found = [
            f"{path.relative_to(ROOT)}: {match[0]}"
            for path in project_files()
            if (match := forbidden.search(path.read_text("utf-8", errors="replace")))
        ]

        assert found == []

    def test_modules_stop_at_500_lines(self) -> None:
        long = {
            str(path.relative_to(ROOT)): lines
            for path in sources(*PRODUCT, "tests")
            if (lines := len(path.read_text().splitlines())) > 500
        }

        assert long == {}

    def test_functions_stop_at_60_lines(self) -> None:
        long = {
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": lines
            for path in sources(*PRODUCT, "tests")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := (node.end_lineno or 0) - node.lineno + 1) > 60
        }

        assert long == {}

    def test_every_module_says_what_is_true_of_it(self) -> None:
        silent = [
            str(path.relative_to(ROOT))
            for path in sources(*PRODUCT)
            if ast.get_docstring(ast.parse(path.read_text())) is None
        ]

        assert silent == []


class TestImports:
    """The contracts of pyproject.toml, which G8 rests on."""

    def test_the_contracts_hold(self) -> None:
        lint = Path(sys.executable).parent / "lint-imports"
        done = subprocess.run(
            (lint, "--no-cache"), cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize(
        ("plane", "unreachable"),
        [
            ("worker", {"crypto.token"}),
            ("client", set()),
        ],
    )
    def test_a_process_of_the_lookup_plane_never_loads_data_keys(
        self, plane: str, unreachable: set[str]
    ) -> None:
        """At run time, where a package's __init__ counts too, which the contracts do not see."""
        script = (
            f"import importlib, pkgutil, sys, lookup.{plane} as plane\n"
            f"for each in pkgutil.walk_packages(plane.__path__, 'lookup.{plane}.'):\n"
            "    importlib.import_module(each.name)\n"
            "print(*sys.modules)"
        )
        done = subprocess.run(
            (sys.executable, "-c", script), cwd=ROOT, capture_output=True, text=True, check=True
        )
        loaded = set(done.stdout.split())

        assert f"lookup.{plane}" in loaded
        assert not loaded & {
            *("keys", "lookup.custodian", "crypto.allornothing", "crypto.derive", "crypto.record"),
            *("argon2", "fastapi", "numpy", "pydantic", "sqlcipher3"),
            *unreachable,
        }


class TestMake:
    """The Makefile explains itself."""

    MAKEFILE = (ROOT / "Makefile").read_text()

    def test_help_lists_every_target(self) -> None:
        done = subprocess.run(
            ("make", "help"), cwd=ROOT, capture_output=True, text=True, check=True
        )
        targets = re.findall(r"^([a-z-]+):", self.MAKEFILE, flags=re.MULTILINE)

        assert set(targets) >= {"help", "run", "test", "soak", "lint", "bench", "lock", "clean"}
        for target in targets:
            assert re.search(rf"^  {target} +\S", done.stdout, flags=re.MULTILINE), target

    def test_no_target_is_mistaken_for_a_file(self) -> None:
        phony = re.search(r"^\.PHONY: (.*)$", self.MAKEFILE, flags=re.MULTILINE)

        assert phony is not None
        assert phony[1].split() == re.findall(r"^([a-z-]+):", self.MAKEFILE, flags=re.MULTILINE)


class TestDeploy:
    """deploy/: the unit and the example configuration fit together, and are accepted."""

    UNIT = (ROOT / "deploy" / "lacuna.service").read_text()
    EXAMPLE = parse_config(
        tomllib.loads((ROOT / "deploy" / "lacuna.toml").read_text()), DEFAULT_PATH
    )

    def settings(self, key: str) -> list[str]:
        """Return all values of a key, in order."""
        return re.findall(rf"^{key}=(.*)$", self.UNIT, flags=re.MULTILINE)

    def test_the_service_may_write_where_the_site_lies(self) -> None:
        writable = [*self.settings("ReadWritePaths")[0].split(), "/var/lib/lacuna", "/run/lacuna"]

        assert self.settings("StateDirectory") == self.settings("RuntimeDirectory") == ["lacuna"]
        for folder in (
            self.EXAMPLE.store,
            self.EXAMPLE.mirror,
            *self.EXAMPLE.slots,
            self.EXAMPLE.run,
        ):
            assert any(folder.is_relative_to(each) for each in writable), folder

    def test_the_passphrase_comes_as_a_credential(self) -> None:
        """Not in the environment, not in argv."""
        (name, _), *others = (each.split(":") for each in self.settings("LoadCredential"))

        assert others == []
        assert Path(f"/run/credentials/lacuna.service/{name}") == self.EXAMPLE.passphrase_file
        assert self.settings("Environment") == []

    def test_secrets_stay_in_memory(self) -> None:
        assert self.settings("LimitCORE") == ["0"]
        assert self.settings("MemorySwapMax") == ["0"]
        assert self.settings("LimitMEMLOCK") == ["infinity"]

    def test_the_readme_names_every_file(self) -> None:
        readme = (ROOT / "deploy" / "README.md").read_text()

        for path in (ROOT / "deploy").iterdir():
            assert path.name == "README.md" or f"`{path.name}`" in readme


class TestThisSuite:
    """tests/conftest.py, seen from outside."""

    TESTS = """
import pytest

def test_passes():
    pass

def test_needs_a_tool(require_tool):
    require_tool("no-such-tool")

@pytest.mark.faults
def test_needs_strace():
    pass

@pytest.mark.soak
def test_takes_long():
    pass
"""

    @pytest.mark.parametrize(
        ("environment", "status", "closing_line"),
        [
            ({}, 0, "1 passed, 2 skipped, 1 deselected"),
            ({"CI": "true"}, 1, "1 failed, 1 passed, 1 deselected, 1 error"),
            ({"LACUNA_SOAK": "1"}, 0, "2 passed, 2 skipped"),
        ],
    )
    def test_only_ci_insists_on_tools_and_only_soak_takes_long(
        self, tmp_path: Path, environment: dict[str, str], status: int, closing_line: str
    ) -> None:
        """A machine without a tool is told so, and never looks green in CI."""
        (tmp_path / "test_it.py").write_text(self.TESTS)
        configuration = (
            "[pytest]\nmarkers =\n  faults: needs strace\n  soak: takes long\n"
            "addopts = -p tests.conftest -p no:cacheprovider -p no:schemathesis --strict-markers\n"
        )
        (tmp_path / "pytest.ini").write_text(configuration)
        done = subprocess.run(
            (sys.executable, "-m", "pytest", "-rs", "-p", "no:xdist", tmp_path),
            cwd=tmp_path,
            env={"PATH": str(tmp_path), "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == status, done.stdout
        assert f"{closing_line} in " in done.stdout
        assert "no-such-tool is not installed" in done.stdout


class TestDocuments:
    """What a document points to is there."""

    @pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
    def test_every_test_and_page_that_is_named_exists(self, document: Path) -> None:
        text = document.read_text()
        named = re.findall(r"`((?:tests|bench|deploy|lookup|keys|crypto)/[\w./-]*)`", text)
        linked = re.findall(r"\]\(([\w./-]+)\)", text)
        assert [path for path in (*named, *linked) if not (ROOT / path).exists()] == []
