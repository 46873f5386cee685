"""The Python for the checks against PyTorch, made without a network: python3 -m unittest discover -s .setup"""
import contextlib
import io
import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent))
import libtorch
import pytorch


class Made(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        home = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.dict(os.environ, {"XDG_CACHE_HOME": home}))
        stack.enter_context(mock.patch.object(pytorch, "ROOM", 1))
        self.said = stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        self.installs = 0

    def install(self, place):
        self.installs += 1
        (place / "bin").mkdir(parents=True)
        (place / "bin" / "python").touch()

    def test_it_is_made_once(self):
        first = pytorch.made(self.install)
        self.assertTrue(first.is_file())
        self.assertEqual(pytorch.made(self.install), first)
        self.assertEqual(self.installs, 1)

    def test_one_that_was_cut_off_is_made_anew(self):
        def cut(place):
            self.install(place)
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            pytorch.made(cut)
        self.assertTrue(pytorch.made(self.install).is_file())
        self.assertEqual(self.installs, 2)

    def test_one_whose_base_is_gone_is_made_anew(self):
        pytorch.made(self.install).unlink()
        self.assertTrue(pytorch.made(self.install).is_file())
        self.assertEqual(self.installs, 2)

    def test_other_pins_make_another(self):
        first = pytorch.made(self.install)
        with tempfile.NamedTemporaryFile() as other, mock.patch.object(pytorch, "REQUIREMENTS", Path(other.name)):
            self.assertNotEqual(pytorch.made(self.install), first)

    def test_a_full_disk_is_told_before(self):
        with mock.patch.object(pytorch, "ROOM", 1 << 60), self.assertRaises(libtorch.SetupError) as error:
            pytorch.made(self.install)
        self.assertIn("GB free", str(error.exception))
        self.assertEqual(self.installs, 0)

    def test_every_pin_has_a_hash_and_torch_is_ours(self):
        pins = pytorch.REQUIREMENTS.read_text().replace("\\\n", " ").splitlines()
        pins = [pin for pin in pins if pin.strip() and not pin.startswith("#")]
        self.assertTrue(all("==" in pin and "--hash=sha256:" in pin for pin in pins))
        self.assertIn(f"torch=={libtorch.VERSION}", " ".join(pins))


if __name__ == "__main__":
    unittest.main()
