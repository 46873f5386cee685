//! The signals that ask a program of ours to end gently.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use libc::c_int;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Exit status of a program that a second interrupt has ended: 128 + SIGINT, as shells say it.
const INTERRUPTED: c_int = 130;

/// What a terminal's end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HangUp {
    /// That the program is to end.
    Ends,
    /// Nothing.
    Ignored,
}

/// A flag that INT, TERM, HUP, USR1 and USR2 set from now on, instead of ending the process. Schedulers send USR1 or USR2
/// some time before they take the machine away (Slurm's `--signal`, submitit), and may send TERM after it: however many
/// come, none cuts short what the flag began. Only a second INT does, which a person types who does not want to wait.
///
/// SIGXFSZ is taken up as well, so that the write that grows a file over its limit fails and is told.
///
/// # Errors
/// When the system refuses a handler.
pub fn stop_flag(hang_up: HangUp) -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::<AtomicBool>::default();
    // In this order: the first INT finds the flag down.
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&interrupted))?;
    flag::register(SIGINT, interrupted)?;
    leave_flag(hang_up)
}

/// As [`stop_flag`], for a program that ends at once when the flag is set, and has a terminal to give back.
///
/// # Errors
/// When the system refuses a handler.
pub fn leave_flag(hang_up: HangUp) -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2] {
        flag::register(signal, Arc::clone(&stop))?;
    }
    let on_hang_up = match hang_up {
        HangUp::Ends => Arc::clone(&stop),
        HangUp::Ignored => Arc::default(),
    };
    flag::register(SIGHUP, on_hang_up)?;
    flag::register(libc::SIGXFSZ, Arc::default())?;
    Ok(stop)
}
