#!/usr/bin/env python3
"""Makes sure that `.libtorch` in the repository links to a libtorch 2.11.0.

In this order: an exported LIBTORCH; PyTorch 2.11.0 of the python3 in PATH; the files of the PyPI wheels, fetched once
into the user's cache. The CUDA files are fetched as well on a machine with an NVIDIA GPU. Does nothing, fast, when the
link is in place. LANDSCOPE_LIBTORCH=cpu|cuda chooses the files to fetch, whatever the machine has.
"""
import contextlib
import fcntl
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

VERSION = "2.11.0"
HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
# What a fetched variant holds, by wheel; the wheels' own layout is kept, so that their RPATHs find their neighbours.
TORCH_LIBS = r"torch/lib/lib(torch_cpu|torch|c10|gomp)[.-][^/]*$"
TORCH_CUDA_LIBS = r"torch/lib/[^/]*\.so[^/]*$"
HEADERS = r"torch/include/"
NVIDIA_LIBS = r"nvidia/[^/]+/lib/[^/]*\.so[^/]*$"
CPU_NVIDIA_LIBS = r"nvidia/[^/]+/lib/lib(cudart|cupti)\.so[^/]*$"
# Bytes that downloads and extracted files take together, with some room.
ROOM = {"cpu": 2_000_000_000, "cuda": 9_000_000_000}


class SetupError(Exception):
    """What the user is told, in one line."""


def say(text):
    print(f"libtorch: {text}", file=sys.stderr, flush=True)


def version_of(folder):
    """The version of a libtorch or PyTorch folder, without its +cpu or +cu130; None if it does not say."""
    for name, pattern in (("build-version", r"^\s*([0-9.]+)"), ("version.py", r"__version__ = '([0-9.]+)")):
        try:
            found = re.search(pattern, (folder / name).read_text(), re.M)
        except OSError:
            continue
        if found:
            return found.group(1)
    return None


def is_whole(folder):
    suffix = "dylib" if sys.platform == "darwin" else "so"
    return (folder / "lib" / f"libtorch_cpu.{suffix}").is_file() and (folder / "include" / "torch").is_dir()


def exported():
    """LIBTORCH, if the user exported one that is not our own link."""
    value = os.environ.get("LIBTORCH")
    if not value or Path(value).absolute() == REPOSITORY / ".libtorch":
        return None
    folder = Path(value).absolute()
    if not is_whole(folder):
        raise SetupError(f"LIBTORCH={value} holds no lib/libtorch_cpu and include/torch; unset it or point it to libtorch {VERSION}")
    found = version_of(folder)
    if found != VERSION:
        raise SetupError(f"LIBTORCH={value} is version {found or 'unknown'}; landscope needs {VERSION}")
    return folder


def installed():
    """The folder of an installed PyTorch of the right version, found without importing it (that takes seconds)."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        return None
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent
    if version_of(folder) != VERSION or not is_whole(folder):
        return None
    # A CPU-only PyTorch would hide the machine's GPU.
    return None if variant() == "cuda" and not (folder / "lib" / "libtorch_cuda.so").exists() else folder


def has_gpu():
    return Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists()


def variant():
    chosen = os.environ.get("LANDSCOPE_LIBTORCH")
    if chosen not in (None, "", "cpu", "cuda"):
        raise SetupError(f"LANDSCOPE_LIBTORCH={chosen}: expected cpu or cuda")
    return chosen or ("cuda" if has_gpu() else "cpu")


def cache_root():
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "landscope"


def wheels_requirements(kind):
    machine = (sys.platform, platform.machine())
    if machine != ("linux", "x86_64"):
        raise SetupError(
            f"no libtorch {VERSION} is fetched for {machine[0]} {machine[1]}: install torch=={VERSION} for python3, "
            f"or point LIBTORCH to a libtorch {VERSION}")
    return HERE / f"wheels-{kind}.txt"


def pip_download(requirements, target):
    """Downloads the wheels that `requirements` pins by hash. pip shows the progress and checks the hashes."""
    tags = ["2_28", "2_27", "2_25", "2_18", "2_17", "2_12", "2_5"]
    platforms = [f"manylinux_{tag}_x86_64" for tag in tags]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes",
               "--disable-pip-version-check", "--no-cache-dir", "--python-version", "3.12", "--implementation", "cp",
               "--dest", str(target), "--requirement", str(requirements)]
    for name in platforms:
        command += ["--platform", name]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        raise SetupError(f"python3 has no pip; install it (Debian: apt install python3-pip), or point LIBTORCH to a libtorch {VERSION}")
    # Standard error as well goes through, so that pip's own word on a refused hash or a dead network stands above ours.
    done = subprocess.run(command, stdout=sys.stderr)
    if done.returncode != 0:
        raise SetupError(
            f"the wheels of torch {VERSION} could not be fetched from PyPI (pip's reason stands above). With a network, "
            f"run this again; without, install torch=={VERSION} for python3 or point LIBTORCH to a libtorch {VERSION}")


def wanted(kind, name):
    patterns = [TORCH_LIBS, HEADERS, CPU_NVIDIA_LIBS] if kind == "cpu" else [TORCH_LIBS, TORCH_CUDA_LIBS, HEADERS, NVIDIA_LIBS]
    return any(re.match(p, name) for p in patterns) and "libtorch_python" not in name and not name.endswith("/")


def extract(kind, wheels, target):
    """Unpacks what is needed of each wheel; zipfile checks every file's CRC."""
    for wheel in sorted(wheels):
        try:
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if wanted(kind, name):
                        archive.extract(name, target)
        except (zipfile.BadZipFile, OSError) as error:
            raise SetupError(f"{wheel.name} could not be unpacked: {error}")
    torch = target / "torch"
    if not is_whole(torch):
        raise SetupError("the wheels did not hold lib/libtorch_cpu and include/torch; please report this")
    (torch / "build-version").write_text(VERSION + "\n")
    os.sync()


@contextlib.contextmanager
def locked(root):
    """Holds the cache folder, which is made if need be, for one run at a time."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock = open(root / "lock", "w")
    except OSError as error:
        raise SetupError(f"cache folder {root} cannot be written: {error.strerror}; set XDG_CACHE_HOME to another place")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("another run is fetching; waiting for that one")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetched(download=pip_download):
    """The torch folder in the cache, fetched if it is not there. Safe against interruption and against a second run
    at the same time: everything happens aside, under a lock, and the folder gets its name last."""
    kind = variant()
    root = cache_root()
    place = root / f"libtorch-{VERSION}-{kind}"
    if is_whole(place / "torch"):
        return place / "torch"
    requirements = wheels_requirements(kind)
    with locked(root):
        if is_whole(place / "torch"):
            return place / "torch"
        # Under the lock, whatever lies aside is of an earlier run that did not end.
        for left in root.glob("partial-*"):
            shutil.rmtree(left, ignore_errors=True)
        free = shutil.disk_usage(root).free
        if free < ROOM[kind]:
            raise SetupError(f"{root} has {free / 1e9:.1f} GB free; the {kind} files of libtorch {VERSION} need {ROOM[kind] / 1e9:.0f} GB on the way")
        started = time.monotonic()
        say(f"fetching version {VERSION} ({kind}) from PyPI into {place}, once")
        aside = Path(tempfile.mkdtemp(prefix="partial-", dir=root))
        try:
            (aside / "wheels").mkdir()
            download(requirements, aside / "wheels")
            say("unpacking")
            extract(kind, (aside / "wheels").glob("*.whl"), aside / "files")
            shutil.rmtree(place, ignore_errors=True)
            (aside / "files").rename(place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        say(f"ready after {time.monotonic() - started:.0f} s")
    return place / "torch"


def link(folder):
    """Points `.libtorch` to `folder`; the old link is replaced in one step."""
    path = REPOSITORY / ".libtorch"
    if path.is_symlink() and Path(os.readlink(path)) == folder:
        return
    if path.exists() and not path.is_symlink():
        raise SetupError(f"{path} is not a link; move it away")
    new = REPOSITORY / f".libtorch.{os.getpid()}"
    new.symlink_to(folder)
    new.replace(path)
    say(f"using {folder}")


def main():
    try:
        link(exported() or installed() or fetched())
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing half-done is left behind")
        return 130
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(__doc__)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    sys.exit(main())
