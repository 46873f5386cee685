//! `landscope ls`, `attach`, `stop`: the runs that are alive, found from any folder.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use color_eyre::eyre::{Result, bail};

use super::args::{AttachArgs, LsArgs, OutputFormat, StopArgs};
use super::say::{complain, say};
use super::watch::{Look, watch};
use super::{BAD_INPUT, FAILED};
use crate::engine;
use crate::link::dial::{self, DialError, Fate};
use crate::link::registry::{self, Found};
use crate::link::socket;
use crate::link::wire::{Brief, Wants};
use crate::link::{self, parts::Size};
use crate::record::folder;
use crate::telemetry::command::Command;
use crate::telemetry::event::RunStatus;
use crate::telemetry::snapshot::Phase;

/// Time between two looks at a run that is asked to stop.
const POLL: Duration = Duration::from_millis(50);

fn live() -> Vec<Found> {
    registry::place(|name| std::env::var_os(name)).map(|p| registry::found(&p)).unwrap_or_default()
}

/// Lists live runs.
pub fn ls(args: &LsArgs) -> Result<ExitCode> {
    let told: Vec<(Found, Result<Brief, DialError>)> =
        live().into_iter().map(|f| (f.clone(), dial::brief(&f.entry))).collect();
    if args.format == OutputFormat::Json {
        for (found, brief) in &told {
            let socket = found.folder.join(socket::NAME);
            let object = match brief {
                Ok(brief) => {
                    serde_json::json!({"name": found.name, "socket": socket, "run": brief})
                }
                Err(e) => {
                    serde_json::json!({"name": found.name, "socket": socket, "error": e.to_string()})
                }
            };
            say(object);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if told.is_empty() {
        say("no live run");
        return Ok(ExitCode::SUCCESS);
    }
    let names = told.iter().map(|(f, _)| f.name.len()).max().unwrap_or(0).max(4);
    say(format_args!(
        "{:names$}  {:>7}  {:>15}  {:9}  {:7}  device, loss",
        "name", "age", "step", "state", "viewers"
    ));
    for (found, brief) in told {
        match brief {
            Ok(b) => {
                let losses = b.losses.iter().map(|(name, loss)| {
                    loss.map_or_else(|| format!("{name} -"), |l| format!("{name} {l:.3}"))
                });
                say(format_args!(
                    "{:names$}  {:>7}  {:>15}  {:9}  {:7}  {}, {}",
                    found.name,
                    age(b.elapsed_s),
                    format!("{}/{}", b.step, b.steps),
                    b.phase,
                    b.viewers,
                    if b.device.is_empty() { "-" } else { &b.device },
                    losses.collect::<Vec<_>>().join("  ")
                ));
            }
            Err(error) => say(format_args!("{:names$}  {error}", found.name)),
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Seconds as people say them.
fn age(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3600, s / 60 % 60),
    }
}

/// Shows a live run, or the last state of one that is over.
pub fn attach(args: &AttachArgs) -> Result<ExitCode> {
    if !std::io::stdout().is_terminal() {
        let text =
            "attach wants a terminal on stdout; landscope ls --format json tells scripts of runs";
        return Ok(refuse(text));
    }
    let look = |tunnelled| Look {
        characters: args.characters.forced(),
        readonly: args.readonly,
        tunnelled,
    };
    let (path, tunnelled) = match &args.socket {
        Some(path) => (path.clone(), true),
        None => match find(args.run.as_deref(), &args.out) {
            Ok(Meant::Alive(path)) => (path, false),
            Ok(Meant::Over(folder)) => return look_back(&folder, look(false)),
            Err(text) => return Ok(refuse(&text)),
        },
    };
    let look = look(tunnelled);
    match dial::attach(&path, look.wants()) {
        Ok((client, fate)) => watch(client, &fate, look, || None),
        Err(error @ (DialError::Nobody { .. } | DialError::Refused(_))) => {
            Ok(refuse(&error.to_string()))
        }
        Err(error) => bail!(error),
    }
}

/// Shows what the folder of a run that is over tells.
fn look_back(folder: &Path, look: Look) -> Result<ExitCode> {
    let last = engine::look_back(folder)?;
    // Both ends are held here: nothing will change any more.
    let (_publisher, _commands, door) = link::pair(last);
    watch(door.client(true), &Fate::default(), look, || None)
}

/// Stops a live run and waits for its end.
pub fn stop(args: &StopArgs) -> Result<ExitCode> {
    let path = match find(Some(&args.run), &args.out) {
        Ok(Meant::Alive(path)) => path,
        Ok(Meant::Over(folder)) => {
            let folder = folder.display();
            let text =
                format!("run {folder} is not alive; landscope --resume {folder} goes on with it");
            return Ok(refuse(&text));
        }
        Err(text) => return Ok(refuse(&text)),
    };
    let size = Size { columns: 20, rows: 5 };
    let (client, fate) = dial::attach(&path, Wants::View { size, readonly: false, rate: None })?;
    client.send(Command::Stop)?;
    loop {
        // Looked at before the snapshot: the last one comes before the line ends.
        let gone = client.is_gone();
        let seen = client.snapshot();
        match &seen.phase {
            Phase::Ended(status) => {
                let folder = &seen.run.folder;
                let (step, steps) = (seen.step, seen.run.steps);
                say(format_args!("stopped at step {step} of {steps}: {folder}"));
                let well = *status != RunStatus::Failed;
                return Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) });
            }
            Phase::Refused { text, .. } => return Ok(refuse(text)),
            _ if gone => match fate.take() {
                Some(error) => bail!(error),
                None => bail!("the engine is gone"),
            },
            _ => thread::sleep(POLL),
        }
    }
}

/// The folder of the run that is meant: a folder, the name of one below `out`, or a live run by its name or the only
/// beginning of one.
///
/// # Errors
/// When there is none or more than one: a line that says so.
pub fn folder_of(run: &str, out: &Path) -> Result<PathBuf, String> {
    if let Ok(folder) = folder::find(run, out) {
        return Ok(folder);
    }
    match find(Some(run), out)? {
        Meant::Over(folder) => Ok(folder),
        Meant::Alive(entry) => {
            let found = live().into_iter().find(|f| f.entry == entry).map(|f| f.folder);
            found.ok_or_else(|| format!("run {run}: it has just ended; name its folder"))
        }
    }
}

/// A line on stderr and the exit status of bad input.
pub fn refuse(text: &str) -> ExitCode {
    complain(text);
    ExitCode::from(BAD_INPUT)
}

/// A run that is meant.
enum Meant {
    /// By its socket.
    Alive(PathBuf),
    /// By its folder.
    Over(PathBuf),
}

/// The run that is meant: by its name, the only beginning of one, its folder, or as the newest that is alive.
fn find(run: Option<&str>, out: &Path) -> Result<Meant, String> {
    let live = live();
    let names = || live.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(run) = run else {
        let newest = live.first().map(|f| Meant::Alive(f.entry.clone()));
        return newest.ok_or_else(|| "no live run; landscope run starts one".to_owned());
    };
    if let Some(found) = live.iter().find(|f| f.name == run) {
        return Ok(Meant::Alive(found.entry.clone()));
    }
    if let Ok(folder) = folder::find(run, out) {
        let socket = folder.join(socket::NAME);
        let alive = socket::connect(&socket).is_ok();
        return Ok(if alive { Meant::Alive(socket) } else { Meant::Over(folder) });
    }
    match &live.iter().filter(|f| f.name.starts_with(run)).collect::<Vec<_>>()[..] {
        [one] => Ok(Meant::Alive(one.entry.clone())),
        [] if live.is_empty() => Err(format!(
            "run {run}: there is no live run, nor a folder of one in {}",
            out.display()
        )),
        [] => Err(format!("run {run}: no live run has that name; there are {}", names())),
        _ => Err(format!("run {run}: more than one live run begins so: {}", names())),
    }
}
