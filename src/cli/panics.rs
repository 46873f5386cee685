//! What a panic shows: on the main thread the terminal comes back first and the report follows; on any other thread the
//! log takes it, and the thread's owner tells the user.

use std::io::Write;
use std::thread;

use color_eyre::config::HookBuilder;

/// Installs the hooks; once per program.
pub fn install() {
    let (panic_hook, eyre_hook) = HookBuilder::blank().into_hooks();
    // Fails only if somebody was faster; then reports look otherwise, no more.
    let _ = eyre_hook.install();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("main") {
            crate::ui::restore_terminal();
            // A terminal that is gone must not make a second panic of this one.
            let _ = writeln!(std::io::stderr(), "{}", panic_hook.panic_report(info));
        } else {
            tracing::error!("{info}");
        }
    }));
}
