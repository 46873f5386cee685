//! `landscope engine`: the process that trains, in a session of its own, so that no terminal's end is its end.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, WrapErr};

use super::args::EngineArgs;
use super::{BAD_INPUT, FAILED};
use crate::config::{self, Experiment, Override};
use crate::engine::{self, EngineError, Options, Place};
use crate::headless;
use crate::link::socket;
use crate::record::{folder, log, metrics};
use crate::signals::{HangUp, stop_flag};
use crate::train::tune;

/// How long an engine that has refused its run takes to end.
const REFUSAL: Duration = Duration::from_secs(3);

/// Trains what `run.toml` in the folder says, until it is done or asked to stop.
pub fn engine(args: &EngineArgs, start: Instant) -> Result<ExitCode> {
    let stop = stop_flag(HangUp::Ignored).wrap_err("signals")?;
    let overrides = args.set.iter().map(|s| Override::parse(s)).collect::<Result<Vec<_>, _>>()?;
    let file = args.folder.join(folder::RUN_FILE);
    let experiment = config::load(&file.to_string_lossy(), &overrides)?;
    let _ = tune::tune(&experiment.arms);
    log::install();
    let folder = args.folder.clone();
    let place = if args.resume { Place::Resume(folder) } else { Place::Made(folder) };
    let options = Options { replay: args.replay.clone(), serve: true, ..Options::at(place) };
    let ending = headless::serve(experiment, options, start, &stop)?;
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
    /// Bytes of its log before it was started.
    said_before: u64,
    /// Its socket.
    pub socket: PathBuf,
}

/// Starts the engine of a run. Its folder is made here, so that the terminal knows at once what it will be called.
pub fn start(experiment: &Experiment, options: &Options, sets: &[String]) -> Result<Started> {
    let (folder, resumed) = match &options.place {
        Place::Below(out) => {
            let made = folder::create(out, experiment).map_err(EngineError::from)?;
            (made, false)
        }
        Place::Made(folder) => (folder.clone(), false),
        Place::Resume(folder) => (folder.clone(), true),
    };
    // Told before the screen is taken; the engine locks it for good.
    drop(engine::lock(&folder)?);
    let log_path = folder.join(log::FILE_NAME);
    let log = std::fs::File::options().append(true).create(true).open(&log_path);
    let log = log.wrap_err_with(|| log_path.display().to_string())?;
    let said_before = log.metadata()?.len();
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
    let own_session = || rustix::process::setsid().map(drop).map_err(io::Error::from);
    // SAFETY: between fork and exec the child makes one system call, and touches no memory of the parent's.
    unsafe { command.pre_exec(own_session) };
    let child = command.spawn().wrap_err("the engine could not be started")?;
    let socket = folder.join(socket::NAME);
    Ok(Started { child: Arc::new(Mutex::new(child)), folder, made: !resumed, said_before, socket })
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

    /// What it said when it ended, if it has ended and said something, and with which status: bad input, or a failure.
    pub fn last_words(&self) -> Option<(String, u8)> {
        let status = self.status()?;
        let bad_input = status == i32::from(BAD_INPUT);
        let words = last_words(&self.folder.join(log::FILE_NAME), self.said_before)?;
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
                // One that died without a word leaves its log to be read.
                if self.last_words().is_some() {
                    let _ = std::fs::remove_dir_all(&self.folder);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The last line of a log, behind its first bytes, that speaks to the user.
fn last_words(log: &Path, behind: u64) -> Option<String> {
    let bytes = std::fs::read(log).ok()?;
    let new = bytes.get(usize::try_from(behind).ok()?..)?;
    let text = String::from_utf8_lossy(new);
    text.lines().rev().find_map(|l| l.strip_prefix("landscope: ")).map(str::to_owned)
}
