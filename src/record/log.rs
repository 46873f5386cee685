//! `engine.log`: what the program says of itself, in a file, because the screen belongs to the dashboard.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::EnvFilter;

/// The log's name in a run folder.
pub const FILE_NAME: &str = "engine.log";
/// Environment variable that says how much is told (`debug`, `landscope=trace`).
pub const LEVEL_VARIABLE: &str = "LANDSCOPE_LOG";
/// Bytes kept from before the file is there; what is beyond is lost.
const EARLY_BYTES: usize = 64 * 1024;

static LOG: OnceLock<Mutex<Log>> = OnceLock::new();

/// The log before and after it has a file.
enum Log {
    Early(Vec<u8>),
    File(File),
}

/// Writes through to the one log of the program.
struct Through;

fn log() -> &'static Mutex<Log> {
    LOG.get_or_init(|| Mutex::new(Log::Early(Vec::new())))
}

impl Write for Through {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *log().lock().unwrap_or_else(PoisonError::into_inner) {
            Log::Early(kept) if kept.len() + bytes.len() <= EARLY_BYTES => {
                kept.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            Log::Early(_) => Ok(bytes.len()),
            Log::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes what `tracing` tells from now on. Once per program; a second call changes nothing.
pub fn install() {
    let filter = EnvFilter::try_from_env(LEVEL_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| Through)
        .with_thread_names(true)
        .try_init();
}

/// Gives the log its file, with what was told before at its head. Only the first run of a program has one.
///
/// # Errors
/// When the file cannot be made.
pub fn open(path: &Path) -> io::Result<()> {
    let mut log = log().lock().unwrap_or_else(PoisonError::into_inner);
    if let Log::Early(kept) = &*log {
        let mut file = File::options().append(true).create(true).open(path)?;
        file.write_all(kept)?;
        *log = Log::File(file);
    }
    Ok(())
}
