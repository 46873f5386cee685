//! How many threads the operators of one thread may take.

use std::sync::OnceLock;

use libloading::os::unix::Library;

/// MKL's own setter for the calling thread; 0 leaves it to the process's number.
type SetLocal = unsafe extern "C" fn(std::ffi::c_int) -> std::ffi::c_int;

/// Threads for torch's operators on the calling thread; at least one.
///
/// torch's number counts for the calling thread, but not quite: until its first operator another thread's call changes it,
/// and what is handed on to MKL counts for the whole process. A thread that evaluates beside would change how the sums of
/// one that trains are split, and with it their last bits. So both are settled here, for this thread alone.
pub fn use_threads(count: usize) {
    static SET_LOCAL: OnceLock<Option<SetLocal>> = OnceLock::new();
    let count = i32::try_from(count.max(1)).unwrap_or(1);
    // At its first operator a thread takes the number that any thread asked for last. Asking makes it do so now.
    let _ = tch::get_num_threads();
    tch::set_num_threads(count);
    let set_local = SET_LOCAL.get_or_init(|| {
        // SAFETY: the symbol is MKL's, whose documentation gives it this type; a libtorch without MKL has none.
        unsafe { Library::this().get::<SetLocal>(b"MKL_Set_Num_Threads_Local\0") }.ok().map(|s| *s)
    });
    if let Some(set_local) = set_local {
        // SAFETY: it sets a number of the calling thread; libtorch stays loaded as long as the program runs.
        unsafe { set_local(count) };
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    /// A thread keeps its number and its sums, whatever other threads ask for before its first operator and after.
    #[test]
    fn what_other_threads_ask_for_changes_nothing_here() {
        let other = |count| std::thread::spawn(move || use_threads(count)).join().unwrap();
        let fresh = std::thread::spawn(move || {
            use_threads(2);
            other(1);
            assert_eq!(tch::get_num_threads(), 2);
            let random = |shape| Tensor::randn(shape, (Kind::Float, Device::Cpu));
            let (a, b) = (random([64, 128]), random([128, 32]));
            let before = a.matmul(&b);
            for count in [1, 2, 1] {
                other(count);
                assert_eq!(a.matmul(&b), before);
            }
        });
        fresh.join().unwrap();
    }
}
