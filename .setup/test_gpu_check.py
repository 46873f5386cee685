"""What tests/gpu.sh makes of what it is given, without a GPU, without torch: python3 -m unittest discover -s .setup"""
import contextlib
import io
import math
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
import gpu_check


class Comparisons(unittest.TestCase):
    def test_differences_are_relative_and_the_largest_counts(self):
        self.assertEqual(gpu_check.apart([1.0, 2.0], [1.0, 2.0]), 0.0)
        self.assertAlmostEqual(gpu_check.apart([1.0, 2.2], [1.1, 2.0]), 0.1)
        self.assertEqual(gpu_check.apart([0.0], [0.0]), 0.0)

    def test_a_figure_that_only_one_side_has_is_no_agreement(self):
        for found, wanted in [([None, 1.0], [2.0, 1.0]), ([math.inf], [1.0]), ([1.0], [math.nan]), ([1.0], [0.0]),
                              ([1.0], [1.0, 1.0]), ([], []), ([None], [None])]:
            self.assertEqual(gpu_check.apart(found, wanted), math.inf, (found, wanted))
        self.assertEqual(gpu_check.apart([None, 3.0], [math.nan, 3.0]), 0.0)

    def test_arrays_of_both_versions_of_the_format(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a.npz")
            with zipfile.ZipFile(path, "w") as archive:
                for version, form in ((1, "<H"), (2, "<I")):
                    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n"
                    head = b"\x93NUMPY" + bytes([version, 0]) + struct.pack(form, len(header)) + header
                    archive.writestr(f"v{version}.npy", head + struct.pack("<2d", 1.5, math.inf))
            self.assertEqual(gpu_check.read_npz(path), {"v1": [1.5, math.inf], "v2": [1.5, math.inf]})

    def test_memory_that_grows_late_is_seen(self):
        steady = [(t, 100 if t else 900) for t in range(100)]
        self.assertEqual(gpu_check.grown(steady, 0, 100), 0)
        self.assertEqual(gpu_check.grown([(t, 10 * t) for t in range(100)], 0, 100), 990 - 490)
        self.assertIsNone(gpu_check.grown([], 0, 100))


class Parts(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))

    def session(self, whole=60):
        session = gpu_check.Session("cpu", "/bin/false", self.folder, self.folder, whole=whole)
        self.addCleanup(session.log.close)
        return session

    def test_one_check_that_does_not_hold_decides(self):
        session = self.session()
        session.part("a", 10, lambda s: s.within("x", 1e-5, 1e-4))
        self.assertTrue(session.passed())
        session.part("b", 10, lambda s: s.within("y", math.inf, 1e-4))
        session.part("c", 10, lambda s: s.row("z", "told"))
        self.assertFalse(session.passed())
        self.assertIn("| b | y | inf | at most 1.0e-04 | FAILED |", gpu_check.table(session, "head"))

    def test_nothing_found_is_nothing_passed(self):
        self.assertFalse(self.session().passed())

    def test_a_part_that_hangs_is_ended_with_what_it_started(self):
        session, begun = self.session(), time.monotonic()
        session.part("hangs", 0.5, lambda s: s.run("sh", "-c", "sleep 60 & echo $! > child; wait"))
        self.assertLess(time.monotonic() - begun, 10)
        self.assertFalse(session.passed())
        child = int((self.folder / "child").read_text())
        # Its parent is gone: whoever adopts it reaps it.
        for _ in range(100):
            state = Path(f"/proc/{child}/stat")
            if not state.exists() or state.read_text().split()[2] == "Z":
                break
            time.sleep(0.05)
        else:
            self.fail("the child is alive")
        session.part("next", 10, lambda s: s.row("x", 1, 1, True))
        self.assertEqual(session.rows[-1]["part"], "next")

    def test_no_part_begins_when_all_time_is_over(self):
        session = self.session(whole=0)
        session.part("late", 10, lambda s: s.row("x", 1, 1, True))
        self.assertEqual([row["holds"] for row in session.rows], [False])

    def test_a_command_that_fails_tells_its_last_line(self):
        session = self.session()
        session.part("fails", 10, lambda s: s.run("sh", "-c", "echo one >&2; echo two >&2; exit 3"))
        self.assertIn("status 3: sh -c: two", session.rows[-1]["found"])
        self.assertFalse(session.passed())

    def test_times_decide_nothing(self):
        session = self.session()
        session.part("a", 10, lambda s: s.row("x", 1, 1, True))
        session.part("times", 10, lambda s: s.run("false"), judged=False)
        self.assertTrue(session.passed())


class Refusals(unittest.TestCase):
    def refused(self, *typed, **variables):
        done = subprocess.run([str(TESTS / "gpu.sh"), *typed], capture_output=True, text=True, env={**os.environ, **variables})
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        return done.stderr

    def test_what_cannot_be_run_is_told_in_a_line(self):
        self.assertIn("--device nosuch: expected cpu, cuda or cuda:N", self.refused("--device", "nosuch"))
        self.assertIn("--out: expected a value", self.refused("--out"))
        self.assertIn("--fast: unknown", self.refused("--fast"))
        self.assertIn("--binary /nonexistent: no such program", self.refused("--binary", "/nonexistent"))
        self.assertIn("--python /nonexistent: no such program",
                      self.refused("--binary", "/bin/true", "--python", "/nonexistent"))

    def test_another_pytorch_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            fake = Path(folder, "python")
            for answer, told in [("echo 2.9.1 /tmp", "it has PyTorch 2.9.1"), ("exit 1", "it has no PyTorch")]:
                fake.write_text(f"#!/bin/sh\n{answer}\n")
                fake.chmod(0o755)
                self.assertIn(told, self.refused("--binary", "/bin/true", "--python", str(fake)))


if __name__ == "__main__":
    unittest.main()
