"""Make `.venv` fit to run Lacuna (`run`) or to develop it (`dev`); say what is done, once.

Two steps, because pip refuses to mix them: an editable project has no hash.

    pip install --require-hashes --no-deps -r requirements/<run|dev>.lock
    pip install --no-deps --no-build-isolation --editable .

`--no-deps`, because a lock is complete. Left to resolve, older pips (23.2 among them) look at the
newest release for a dependency with an extra, `coverage[toml]`, and refuse it as not pinned: a lock
would break on the day that somebody else releases something.

Each step leaves the fingerprint of what it installed in `.venv`. While that is unchanged the step
is skipped, so the second time costs no more than starting Python. `dev.lock` contains `run.lock`:
an environment can grow from run to dev, and one made for dev needs nothing more to run.

Standard library only, and readable by older Pythons as far as the version check.
"""

import subprocess
import sys

if sys.version_info < (3, 11):  # noqa: UP036  # an older Python is whom this line is for
    found = ".".join(map(str, sys.version_info[:3]))
    sys.exit(
        "lacuna: error: Python 3.11 or later is needed, this is " + found + "\n"
        "lacuna: hint: name another one, for example: make run PYTHON=python3.11"
    )

from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"


def say(text: str) -> None:
    """Print one line of progress, at once."""
    print(f"lacuna: {text}", flush=True)


def fingerprint(*paths: Path) -> str:
    """Return a digest of the files and of the Python that would read them."""
    digest = sha256(sys.version.encode())
    for path in paths:
        digest.update(sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_done(step: str, expected: str) -> bool:
    """Say whether a step left this fingerprint."""
    stamp = VENV / f"installed-{step}"
    return stamp.is_file() and stamp.read_text() == expected


def mark_done(step: str, expected: str) -> None:
    """Leave the fingerprint of a finished step."""
    (VENV / f"installed-{step}").write_text(expected)


def execute(hint: str, *command: str | Path) -> None:
    """Run a command; where it fails, stop with its output and a hint."""
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        sys.exit(f"lacuna: error: set-up failed, see above\nlacuna: hint: {hint}")


def make_venv() -> None:
    """Create `.venv` unless it has a Python of the version that runs this."""
    version = "import sys; print(sys.version)"
    if VENV_PYTHON.exists():
        found = subprocess.run((VENV_PYTHON, "-c", version), capture_output=True, check=False)
        if found.stdout.decode().strip() == sys.version:
            return
    say(f"creating .venv with Python {sys.version.split()[0]}")
    hint = "on Debian and Ubuntu: apt install python3-venv"
    execute(hint, sys.executable, "-m", "venv", "--clear", VENV)


def pip_install(*arguments: str | Path) -> None:
    """Run pip inside `.venv`."""
    options = ("--quiet", "--disable-pip-version-check", "--no-input")
    hint = "is the network up? pip needs to reach a package index for the first set-up"
    execute(hint, VENV_PYTHON, "-m", "pip", "install", *options, *arguments)


def install(purpose: str) -> None:
    """Bring `.venv` to where `purpose` needs it."""
    expected = {
        each: fingerprint(ROOT / "requirements" / f"{each}.lock") for each in ("run", "dev")
    }
    enough = ("run", "dev") if purpose == "run" else ("dev",)
    if not any(is_done(each, expected[each]) for each in enough):
        make_venv()
        lock = ROOT / "requirements" / f"{purpose}.lock"
        say(f"installing what requirements/{lock.name} pins (about half a minute, once)")
        pip_install("--require-hashes", "--no-deps", "--requirement", lock)
        mark_done(purpose, expected[purpose])
    project = fingerprint(ROOT / "pyproject.toml")
    if not is_done("lacuna", project):
        say("installing lacuna itself, editable")
        pip_install("--no-deps", "--no-build-isolation", "--editable", ".")
        mark_done("lacuna", project)


if __name__ == "__main__":
    if sys.argv[1:] not in (["run"], ["dev"]):
        sys.exit("usage: python requirements/install.py run|dev")
    install(sys.argv[1])
