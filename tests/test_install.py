"""requirements/install.py: sets up once, says so, and is quick the second time."""

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "requirements" / "install.py"

Install = Callable[[str], list[str]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with locks and nothing installed."""
    (tmp_path / "requirements").mkdir()
    for name in ("run", "dev"):
        (tmp_path / "requirements" / f"{name}.lock").write_text(f"{name}==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return tmp_path


@pytest.fixture
def install(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return the script's entry point; it tells what it would have asked of pip and venv."""
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    told: list[str] = []

    def pip_install(*arguments: str | Path) -> None:
        told.append(Path(arguments[-1]).name or ".")

    monkeypatch.setattr(script, "ROOT", checkout)
    monkeypatch.setattr(script, "VENV", checkout / ".venv")
    monkeypatch.setattr(script, "pip_install", pip_install)
    monkeypatch.setattr(script, "make_venv", lambda: told.append("venv"))
    (checkout / ".venv").mkdir()

    def run(purpose: str) -> list[str]:
        told.clear()
        script.install(purpose)
        return list(told)

    return run


@pytest.mark.parametrize("purpose", ["run", "dev"])
def test_the_first_time_installs_the_lock_and_lacuna(install: Install, purpose: str) -> None:
    assert install(purpose) == ["venv", f"{purpose}.lock", "."]


@pytest.mark.parametrize("purpose", ["run", "dev"])
def test_the_second_time_installs_nothing(install: Install, purpose: str) -> None:
    install(purpose)

    assert install(purpose) == []


def test_an_environment_grows_from_run_to_dev(install: Install) -> None:
    install("run")

    assert install("dev") == ["venv", "dev.lock"]


def test_dev_is_enough_to_run(install: Install) -> None:
    install("dev")

    assert install("run") == []


def test_a_changed_lock_is_installed_anew(install: Install, checkout: Path) -> None:
    install("run")
    (checkout / "requirements" / "run.lock").write_text("run==2\n")

    assert install("run") == ["venv", "run.lock"]


def test_a_changed_pyproject_installs_lacuna_alone(install: Install, checkout: Path) -> None:
    install("run")
    (checkout / "pyproject.toml").write_text("[project]\nname = 'lacuna'\n")

    assert install("run") == ["."]


def test_an_older_python_can_read_it_as_far_as_the_version_check() -> None:
    """Else it would say SyntaxError instead of what to do."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
