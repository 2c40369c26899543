"""Makes the programs of a cluster ready: the launcher compiled, the stand-ins beside the library, the Python programs.

In the result, `libexec/` has what the agent looks for in its `launcher_dir`: mesos-master, mesos-agent and
mesos-containerizer are one binary, made of `programs/launcher.cpp`; the executors and the fetcher, which the library
does not contain, are scripts over the package `programs`, for a bare Python (-I -S: quick to start, nothing installed).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compat_tests.servers.mesos.archive import ARCHIVE_SHA256, VERSION, cache_folder, library
from compat_tests.servers.mesos.compiler import compile_with
from compat_tests.servers.mesos.errors import MesosError
from compat_tests.servers.mesos.standins import UNVERSIONED, build_standins

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
PACKAGE = "mesos_programs"  # the name of PROGRAMS where it is installed
SYSTEM_PYTHONS = ("/usr/bin/python3", "/usr/local/bin/python3")  # 3.9 or later will do
MODULES = {
    "mesos-executor": "command_executor",
    "mesos-default-executor": "default_executor",
    "mesos-docker-executor": "docker_executor",
    "mesos-fetcher": "fetcher",
}
SCRIPT = """#!{python} -IS
import os, sys
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True
from {package} import {module}
sys.exit({module}.main())
"""


def missing() -> str:
    """Say what stands in the way of a cluster, nothing when all is there; the first call fetches 26 MB."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return f"the binary of Mesos is for Linux on x86_64, this is {sys.platform} on {platform.machine()}"
    for tool in ("gcc", "g++"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed (Debian: g++)"
    home = cache_folder()
    try:
        with _locked(home):
            library(home)
    except (MesosError, OSError) as error:
        return f"Mesos: {error}"
    return ""


def install() -> Path:
    """Return the folder of the programs, built if need be (10 seconds). Several processes may call it at once."""
    home = cache_folder()
    target = home / f"{VERSION}-{_digest()}"
    if target.is_dir():
        return target
    lacking = missing()
    if lacking:
        raise MesosError(lacking)
    with _locked(home):
        if target.is_dir():  # another process was quicker
            return target
        work = Path(tempfile.mkdtemp(prefix=".build-", dir=home))
        try:
            _build(work, library(home))
            work.chmod(0o755)
            return work.rename(target)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise


def lay_out(folder: Path) -> Path:
    """Put the programs into a folder and return it: tasks of any user can reach them there, in a cache they may not."""
    programs = install() / "libexec"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for program in programs.iterdir():
        if program.is_dir():
            shutil.copytree(program, folder / program.name)
        elif program.name in MODULES:
            shutil.copy2(program, folder)
        else:  # the library is found from where the file really is; these run as the cluster's own user
            (folder / program.name).symlink_to(program)
    return folder


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _python() -> str:
    """Return an interpreter that tasks of any user can run, the one behind our virtual environment when there is none.

    Not the environment's own, for it may go away.
    """
    ours = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
    return next((path for path in (ours, *SYSTEM_PYTHONS) if os.path.exists(path) and for_all_users(path)), ours)


def for_all_users(path: str) -> bool:
    """Tell whether every user may execute a file."""
    real = Path(os.path.realpath(path))
    return all(part.stat().st_mode & 0o001 for part in (real, *real.parents))


def users_differ() -> bool:
    """Tell whether tasks can run as users other than ours: agents may switch to them, and they reach the programs."""
    return os.geteuid() == 0 and for_all_users(_python())


def _digest() -> str:
    """Name what the built files depend on, so that a change of it builds others beside the old ones."""
    digest = hashlib.sha256(f"{ARCHIVE_SHA256} {_python()}".encode())
    builders = [HERE / name for name in ("install.py", "standins.py", "elf.py")]
    for path in [*builders, *sorted(PROGRAMS.glob("*.*"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _build(work: Path, libmesos: Path) -> None:
    libraries, libexec = work / "lib", work / "libexec"
    libraries.mkdir()
    libexec.mkdir()
    (libraries / "libmesos.so").hardlink_to(libmesos)
    build_standins(libmesos, libraries)
    _build_launcher(libraries, libexec / "mesos-master")
    for name in ("mesos-agent", "mesos-containerizer"):
        (libexec / name).hardlink_to(libexec / "mesos-master")
    modules = libexec / PACKAGE
    modules.mkdir()
    for source in PROGRAMS.glob("*.py"):
        shutil.copyfile(source, modules / source.name)
    for name, module in MODULES.items():
        script = libexec / name
        script.write_text(SCRIPT.format(python=_python(), package=PACKAGE, module=module))
        script.chmod(0o755)
    command = [_python(), "-IS", "-m", "compileall", "-q", "-s", str(work), str(modules)]
    compiled = subprocess.run(command, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise MesosError(f"compiling the executors failed: {compiled.stdout}{compiled.stderr}")


def _build_launcher(libraries: Path, target: Path) -> None:
    command = ["g++", "-std=c++14", "-O1", "-w", "-o", str(target), str(PROGRAMS / "launcher.cpp")]
    command += [f"-L{libraries}", "-Wl,--no-as-needed", "-l:libmesos.so", f"-l:{UNVERSIONED}", "-Wl,-z,lazy"]
    command += ["-Wl,--allow-shlib-undefined", f"-Wl,-rpath-link,{libraries}"]
    command += ["-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"]
    compile_with(command, "the launcher")
