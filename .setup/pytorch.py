#!/usr/bin/env python3
"""Makes the Python that the checks against PyTorch want, and prints its path: torch, h5py and safetensors of pinned
versions, in an environment of its own in the user's cache. Does nothing, fast, when it is there. The product does not
need it: only `.ci/run` asks for it.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import time

import libtorch
from libtorch import HERE, SetupError, cache_root, locked

REQUIREMENTS = HERE / "wheels-test.txt"
# Bytes of the wheels and of what they unpack to, with some room.
ROOM = 9_000_000_000


def say(text):
    print(f"pytorch: {text}", file=sys.stderr, flush=True)


def install(place):
    """An environment in `place` with what `wheels-test.txt` pins by hash; pip's word on a failure goes through."""
    steps = [
        ("venv", [sys.executable, "-m", "venv", str(place)]),
        ("pip", [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:",
                 "--require-hashes", "--disable-pip-version-check", "--no-cache-dir", "--requirement", str(REQUIREMENTS)]),
    ]
    for name, command in steps:
        if subprocess.run(command, stdout=sys.stderr).returncode != 0:
            raise SetupError(f"{name} could not make {place} (its reason stands above)")


def made(install=install):
    """The environment's python, made if it is not there. The mark that it is whole is written last."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]
    version = ".".join(map(str, sys.version_info[:2]))
    root = cache_root()
    place = root / f"pytorch-{digest}-python{version}"
    python, whole = place / "bin" / "python", place / "whole"
    # Its base may be gone, and the link to it lead nowhere.
    if whole.exists() and python.exists():
        return python
    with locked(root):
        if whole.exists() and python.exists():
            return python
        shutil.rmtree(place, ignore_errors=True)
        free = shutil.disk_usage(root).free
        if free < ROOM:
            raise SetupError(f"{root} has {free / 1e9:.1f} GB free; PyTorch needs {ROOM / 1e9:.0f} GB on the way")
        started = time.monotonic()
        say(f"installing PyTorch {libtorch.VERSION}, h5py and safetensors into {place}, once")
        install(place)
        os.sync()
        whole.touch()
        say(f"ready after {time.monotonic() - started:.0f} s")
    return python


def main():
    try:
        print(made())
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next run begins anew")
        return 130
    return 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(__doc__)
        sys.exit(0 if sys.argv[1] in ("-h", "--help") else 2)
    sys.exit(main())
