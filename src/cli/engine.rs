//! `landscope engine`: the process that trains, in a session of its own, so that no terminal's end is its end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, WrapErr};

use super::args::EngineArgs;
use super::{BAD_INPUT, FAILED};
use crate::config::{self, Experiment, Override};
use crate::engine::{Options, Place};
use crate::headless;
use crate::link::socket;
use crate::record::{folder, log, metrics};
use crate::train::tune;

/// How long an engine that has refused its run takes to end.
const REFUSAL: Duration = Duration::from_secs(3);

/// Trains what `run.toml` in the folder says, until it is done or asked to stop.
pub fn engine(args: &EngineArgs, start: Instant) -> Result<ExitCode> {
    // Refused only to the leader of a session, who has one of its own.
    let _ = rustix::process::setsid();
    let overrides = args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
    let file = args.folder.join(folder::RUN_FILE);
    let experiment = config::load(&file.to_string_lossy(), &overrides)?;
    tune::tune(&experiment.arms);
    log::install();
    let folder = args.folder.clone();
    let place = if args.resume { Place::Resume(folder) } else { Place::Made(folder) };
    let options = Options { replay: args.replay.clone(), serve: true, ..Options::at(place) };
    let ending = headless::serve(experiment, options, start)?;
    Ok(super::run::status(&ending))
}

/// An engine that was started by this process.
#[derive(Clone)]
pub struct Started {
    child: Arc<Mutex<Child>>,
    /// The run folder.
    pub folder: PathBuf,
    /// Whether it was made for this run.
    made: bool,
    /// Its socket.
    pub socket: PathBuf,
}

/// Starts the engine of a run. Its folder is made here, so that the terminal knows at once what it will be called.
pub fn start(experiment: &Experiment, options: &Options, sets: &[String]) -> Result<Started> {
    let (folder, resumed) = match &options.place {
        Place::Below(out) => {
            let made = folder::create(out, experiment).map_err(crate::engine::EngineError::from)?;
            (made, false)
        }
        Place::Made(folder) => (folder.clone(), false),
        Place::Resume(folder) => (folder.clone(), true),
    };
    // Told before the screen is taken; the engine locks it for good.
    drop(folder::lock(&folder).map_err(crate::engine::EngineError::from)?);
    let log_path = folder.join(log::FILE_NAME);
    let log = std::fs::File::options().append(true).create(true).open(&log_path);
    let log = log.wrap_err_with(|| log_path.display().to_string())?;
    let mut command = Command::new(std::env::current_exe().wrap_err("this program's file")?);
    command.arg("engine").arg(&folder).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log);
    if resumed {
        command.arg("--resume");
    }
    if let Some(other) = &options.replay {
        command.arg("--replay").arg(std::path::absolute(other)?);
    }
    for set in sets {
        command.arg("--set").arg(set);
    }
    let child = command.spawn().wrap_err("the engine could not be started")?;
    let socket = folder.join(socket::NAME);
    Ok(Started { child: Arc::new(Mutex::new(child)), folder, made: !resumed, socket })
}

impl Started {
    /// The process's exit status, once it has ended.
    fn status(&self) -> Option<i32> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = child.try_wait();
        ended.ok().flatten().map(|status| status.code().unwrap_or_default())
    }

    /// Whether the process has ended.
    pub fn has_died(&self) -> bool {
        self.status().is_some()
    }

    /// Why it ended before its run had begun, and with which status: bad input, or a failure.
    pub fn last_words(&self) -> Option<(String, u8)> {
        let status = self.status().filter(|_| !self.has_begun())?;
        let bad_input = status == i32::from(BAD_INPUT);
        let words = last_words(&self.folder.join(log::FILE_NAME));
        Some((words, if bad_input { BAD_INPUT } else { FAILED }))
    }

    fn has_begun(&self) -> bool {
        self.folder.join(metrics::FILE_NAME).exists()
    }

    /// Clears away the folder of a run that was refused: nothing is in it but what was laid out for it.
    pub fn clear_if_refused(&self) {
        let until = Instant::now() + REFUSAL;
        while self.made && !self.has_begun() && Instant::now() < until {
            if self.has_died() {
                let _ = std::fs::remove_dir_all(&self.folder);
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last line of a log that speaks to the user.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let spoken = text.lines().rev().find_map(|l| l.strip_prefix("landscope: "));
    spoken.map_or_else(|| format!("it says why in {}", log.display()), str::to_owned)
}
