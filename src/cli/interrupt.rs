//! Signals that end a computation of ours gently.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use color_eyre::eyre::{Result, WrapErr};
use tokio::signal::unix::{SignalKind, signal};

/// A flag that INT, TERM or HUP sets; a second signal ends the program at once.
///
/// # Errors
/// When the system gives no thread.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = runtime.enter();
    let mut signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<std::io::Result<Vec<_>>>()
        .wrap_err("signals")?;
    // Taken up so that it does not end the program: the write beyond a file's limit fails, and that is told.
    let too_large = signal(SignalKind::from_raw(libc::SIGXFSZ)).wrap_err("signals")?;
    drop(guard);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let _too_large = too_large;
        runtime.block_on(async {
            loop {
                let [interrupt, terminate, hang_up] = &mut signals[..] else { return };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                if told.swap(true, Ordering::Relaxed) {
                    // Asked twice. 128 + SIGINT, as shells say it.
                    std::process::exit(130);
                }
            }
        });
    })?;
    Ok(stop)
}
