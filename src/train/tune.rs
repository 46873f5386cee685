//! What the C allocator and oneDNN's kernels are told before they begin. Together they make a step of the default run
//! some 8 % shorter (`landscope bench`, with and without `LANDSCOPE_TUNE=off`).

use std::ffi::OsStr;

use crate::arm::PerArm;
use crate::config::ArmSpec;

/// Set to `off`, leaves everything as torch has it.
pub const SWITCH: &str = "LANDSCOPE_TUNE";
/// oneDNN's own variable; what the user has set is left alone.
const ISA: &str = "ONEDNN_MAX_CPU_ISA";
/// Channels that just fill a 256-bit vector of floats. In a 512-bit one half the lanes of such a conv compute nothing;
/// of fewer, oneDNN's kernels for 256 bits fill no vector either.
const NARROW: i64 = 8;
/// Blocks that the allocator asks the system for by themselves and gives back at once: none, so that the pages of large
/// activations are not faulted in anew at every step (VGG-9 of width 64 at batch 128 has some of 32 MiB, the most that
/// glibc's threshold goes up to: two thirds of its time in the system are spared, 6 % of a step).
const OWN_MAPPINGS: libc::c_int = 0;
/// Free bytes at the heap's end that are kept.
const KEPT: libc::c_int = 1 << 30;

/// Tunes the process for training these arms. Call it once, before the first thread starts and before any tensor is made.
/// The environment variable that it has set, if it has: processes that are started from now on inherit it.
pub fn tune(arms: &PerArm<ArmSpec>) -> Option<&'static str> {
    if std::env::var_os(SWITCH).as_deref() == Some(OsStr::new("off")) {
        return None;
    }
    keep_memory();
    let narrow = arms.values().all(|a| a.model.width * a.model.widen == NARROW);
    if !narrow || !has_wide_vectors() || std::env::var_os(ISA).is_some() {
        return None;
    }
    // SAFETY: no other thread runs yet, so none reads the environment meanwhile.
    unsafe { std::env::set_var(ISA, "AVX2") };
    Some(ISA)
}

/// Gives memory that is free back to the system: after a batch has become smaller, what the larger one took is not wanted
/// any more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: malloc_trim works under the allocator's own lock and touches free memory alone.
    unsafe { libc::malloc_trim(0) };
}

/// As above, where the allocator is another.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

/// Lets the allocator keep what it has freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_memory() {
    // SAFETY: mallopt sets numbers of the allocator under its own lock; a refusal leaves them as they were.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, OWN_MAPPINGS);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_memory() {
    let _ = (OWN_MAPPINGS, KEPT);
}

#[cfg(target_arch = "x86_64")]
fn has_wide_vectors() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_wide_vectors() -> bool {
    false
}
