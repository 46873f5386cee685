"""What the set-up does with what it finds, without a network: python3 -m unittest discover -s .setup"""
import contextlib
import fcntl
import io
import os
import sys
import tempfile
import threading
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
import libtorch


def fill(folder, version=libtorch.VERSION, by="build-version"):
    """A folder that looks like libtorch."""
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "libtorch_cpu.so").write_text("")
    (folder / "include" / "torch").mkdir(parents=True)
    text = version if by == "build-version" else f"__version__ = '{version}+cpu'"
    (folder / by).write_text(text)
    return folder


def wheel(path, broken=False):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("torch/lib/libtorch_cpu.so", "library")
        archive.writestr("torch/lib/libtorch_python.so", "not needed")
        archive.writestr("torch/include/torch/torch.h", "header")
        archive.writestr("torch/nn/modules.py", "not needed")
    if broken:
        data = bytearray(path.read_bytes())
        at = data.index(b"library")
        data[at] ^= 0xFF
        path.write_bytes(data)


class SetUp(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.repository = self.home / "clone"
        self.repository.mkdir()
        clean = {"XDG_CACHE_HOME": str(self.home / "cache"), "LANDSCOPE_LIBTORCH": "cpu"}
        stack.enter_context(mock.patch.dict(os.environ, clean))
        os.environ.pop("LIBTORCH", None)
        stack.enter_context(mock.patch.object(libtorch, "REPOSITORY", self.repository))
        stack.enter_context(mock.patch.object(libtorch, "wheels_requirements", lambda kind: Path(kind)))
        stack.enter_context(mock.patch.dict(libtorch.ROOM, {"cpu": 1}))
        self.said = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        self.downloads = 0

    def download(self, requirements, target):
        self.downloads += 1
        wheel(target / "torch.whl")

    def test_a_fresh_machine_fetches_once(self):
        first = libtorch.fetched(self.download)
        self.assertTrue(libtorch.is_whole(first))
        self.assertEqual(libtorch.version_of(first), libtorch.VERSION)
        self.assertFalse((first / "lib" / "libtorch_python.so").exists())
        self.assertEqual(libtorch.fetched(self.download), first)
        self.assertEqual(self.downloads, 1)
        self.assertIn("once", self.said.getvalue())

    def test_an_interrupted_download_is_not_taken_for_a_whole_one(self):
        def cut(requirements, target):
            wheel(target / "torch.whl")
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            libtorch.fetched(cut)
        root = libtorch.cache_root()
        self.assertEqual([p.name for p in root.iterdir()], ["lock"])
        # A machine that went down leaves files aside; they go, and do not count.
        (root / "partial-old" / "files" / "torch").mkdir(parents=True)
        self.assertTrue(libtorch.is_whole(libtorch.fetched(self.download)))
        self.assertEqual(list(root.glob("partial-*")), [])

    def test_a_broken_wheel_is_refused(self):
        with self.assertRaisesRegex(libtorch.SetupError, "torch.whl could not be unpacked"):
            libtorch.fetched(lambda requirements, target: wheel(target / "torch.whl", broken=True))
        self.assertEqual([p.name for p in libtorch.cache_root().iterdir()], ["lock"])

    def test_without_a_network_the_user_is_told_what_to_do(self):
        answers = [mock.Mock(returncode=0), mock.Mock(returncode=1)]
        with mock.patch.object(libtorch.subprocess, "run", side_effect=answers):
            with self.assertRaisesRegex(libtorch.SetupError, "could not be fetched from PyPI.*LIBTORCH"):
                libtorch.pip_download(Path("wheels.txt"), self.home)

    def test_pip_checks_hashes_and_is_asked_for_if_it_is_missing(self):
        with mock.patch.object(libtorch.subprocess, "run", return_value=mock.Mock(returncode=0)) as run:
            libtorch.pip_download(Path("wheels.txt"), self.home)
        self.assertIn("--require-hashes", run.call_args.args[0])
        with mock.patch.object(libtorch.subprocess, "run", return_value=mock.Mock(returncode=1)):
            with self.assertRaisesRegex(libtorch.SetupError, "python3-pip"):
                libtorch.pip_download(Path("wheels.txt"), self.home)

    def test_every_wheel_is_pinned_by_hash(self):
        for kind in ("cpu", "cuda"):
            lines = (libtorch.HERE / f"wheels-{kind}.txt").read_text().replace(" \\\n", " ").splitlines()
            lines = [l for l in lines if l and not l.startswith("#")]
            self.assertTrue(lines)
            for line in lines:
                self.assertRegex(line, r"^\S+==\S+ +--hash=sha256:[0-9a-f]{64}$")

    def test_a_full_disk_is_told_before_anything_is_fetched(self):
        with mock.patch.dict(libtorch.ROOM, {"cpu": 10**18}):
            with self.assertRaisesRegex(libtorch.SetupError, "GB free"):
                libtorch.fetched(self.download)
        self.assertEqual(self.downloads, 0)

    def test_a_cache_that_cannot_be_written_is_told(self):
        (self.home / "cache").write_text("a file in its place")
        with self.assertRaisesRegex(libtorch.SetupError, "XDG_CACHE_HOME"):
            libtorch.fetched(self.download)

    def test_two_at_once_fetch_once(self):
        libtorch.cache_root().mkdir(parents=True)
        held = open(libtorch.cache_root() / "lock", "w")
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = threading.Thread(target=libtorch.fetched, args=(self.download,))
        waiting.start()
        fill(libtorch.cache_root() / f"libtorch-{libtorch.VERSION}-cpu" / "torch")
        held.close()
        waiting.join()
        self.assertEqual(self.downloads, 0)

    def test_an_exported_libtorch_is_used_or_refused_with_the_reason(self):
        os.environ["LIBTORCH"] = str(fill(self.home / "mine"))
        self.assertEqual(libtorch.exported(), self.home / "mine")
        os.environ["LIBTORCH"] = str(self.home / "nothing")
        with self.assertRaisesRegex(libtorch.SetupError, "holds no lib/libtorch_cpu"):
            libtorch.exported()
        os.environ["LIBTORCH"] = str(fill(self.home / "old", "2.4.0"))
        with self.assertRaisesRegex(libtorch.SetupError, "is version 2.4.0; landscope needs 2.11.0"):
            libtorch.exported()
        # Cargo exports our own link to what it runs: no reason to look at it.
        os.environ["LIBTORCH"] = str(self.repository / ".libtorch")
        self.assertIsNone(libtorch.exported())

    def test_an_installed_pytorch_is_used_if_it_fits(self):
        found = fill(self.home / "site" / "torch", by="version.py")
        spec = mock.Mock(origin=str(found / "__init__.py"))
        with mock.patch.object(libtorch.importlib.util, "find_spec", return_value=spec):
            self.assertEqual(libtorch.installed(), found)
            os.environ["LANDSCOPE_LIBTORCH"] = "cuda"
            self.assertIsNone(libtorch.installed(), "a CPU-only PyTorch hides the GPU")
            (found / "lib" / "libtorch_cuda.so").write_text("")
            self.assertEqual(libtorch.installed(), found)
            (found / "version.py").write_text("__version__ = '2.10.0'")
            self.assertIsNone(libtorch.installed())

    def test_an_unknown_variant_is_refused(self):
        os.environ["LANDSCOPE_LIBTORCH"] = "rocm"
        with self.assertRaisesRegex(libtorch.SetupError, "expected cpu or cuda"):
            libtorch.variant()

    def test_the_link_follows_and_never_replaces_a_folder(self):
        link = self.repository / ".libtorch"
        for name in ("one", "two"):
            libtorch.link(self.home / name)
            self.assertEqual(Path(os.readlink(link)), self.home / name)
        link.unlink()
        link.mkdir()
        with self.assertRaisesRegex(libtorch.SetupError, "is not a link"):
            libtorch.link(self.home / "one")


if __name__ == "__main__":
    unittest.main()
