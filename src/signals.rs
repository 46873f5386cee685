//! The signals that ask a program of ours to end gently.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use libc::c_int;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

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

/// INT, TERM and HUP held back, so that a terminal in between two states is not left so; they take effect when this is
/// dropped, and do what they always do from then on.
pub struct Held {
    came: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Held {
    /// Holds them back.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn back() -> io::Result<Self> {
        let (came, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_default(signal, Arc::clone(&is_over))?;
            flag::register_usize(signal, Arc::clone(&came), signal.unsigned_abs() as usize)?;
        }
        Ok(Self { came, is_over })
    }

    /// Whether one has come, and waits.
    pub fn has_come(&self) -> bool {
        self.came.load(Ordering::SeqCst) != 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        if let Ok(signal @ 1..) = c_int::try_from(self.came.load(Ordering::SeqCst)) {
            let _ = emulate_default_handler(signal);
        }
    }
}
