//! Asking the terminal whether it shows UTF-8: a character of three bytes is written, and where the cursor then stands
//! tells. The environment cannot: sshd and containers often have no locale, whatever terminal is at the other end.
//!
//! Colours are not asked for: terminals that tell of them do so in strings, which come as keys where they come late. Tmux
//! is asked by its own command.

use std::fs::File;
use std::io::{self, IsTerminal, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossterm::cursor;
use crossterm::event::{self, EventStream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use rustix::time::Timespec;

use super::detect::{Characters, Heard, is_plain};
use crate::signals::Held;

/// Longest that a first picture waits for an answer.
const PATIENCE: Duration = Duration::from_millis(100);
/// When it is looked for once more behind that: lines across an ocean are slower, and so is a busy machine.
pub const LATE: Duration = Duration::from_secs(1);
/// Longest that keys wait for this look.
const GLANCE: Duration = Duration::from_millis(20);
/// An answer that has not come by then never will. One that comes before must not be typed at the shell.
const LATEST: Duration = Duration::from_secs(2);
/// One column wide. Read byte by byte it is three characters of ISO 8859, none of them a control character, as bytes up
/// to 0x9f would be.
const CHARACTER: char = '\u{283f}';
/// The cursor's column, counted from 1, behind [`CHARACTER`] at the line's beginning.
const BEHIND: u16 = 2;
/// Asks for the cursor's place.
const WHERE: &str = "\x1b[6n";
/// Bytes of an answer: more than any is long.
const LONGEST: usize = 32;

/// When the questions were asked that are not answered yet.
static OPEN: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

fn open() -> MutexGuard<'static, Vec<Instant>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the answer would matter.
fn matters(forced: Option<Characters>, var: &impl Fn(&str) -> Option<String>) -> bool {
    forced.is_none() && !is_plain(&var("TERM").unwrap_or_default())
}

/// What a column behind [`CHARACTER`] says. A cursor that has not moved says nothing: scripts that play a terminal answer
/// so whatever was written.
fn shows_utf8(column: u16) -> Option<bool> {
    (column >= BEHIND).then_some(column == BEHIND)
}

/// Where keys come from: stdin, or the terminal itself where that is something else.
///
/// # Errors
/// When there is no terminal to be read.
pub fn keys() -> io::Result<File> {
    match stdin().is_terminal() {
        true => Ok(stdin().as_fd().try_clone_to_owned()?.into()),
        false => File::options().read(true).write(true).open("/dev/tty"),
    }
}

/// Asks while the screen is ours, in raw mode, and is cleared afterwards; returns what keys are to be read from.
///
/// Crossterm reads the answer, so that it alone reads what is typed: keys typed before the answer stay in its queue, and
/// an answer that comes too late is nothing that it takes for keys. It waits for 2 s, though, which is too long: in a
/// thread of its own, and called off by dropping the stream, which wakes whoever waits for the terminal.
///
/// # Errors
/// When the terminal cannot be written.
pub fn on_screen(
    forced: Option<Characters>,
    var: impl Fn(&str) -> Option<String>,
) -> io::Result<(EventStream, Heard)> {
    let events = EventStream::new();
    if !matters(forced, &var) {
        return Ok((events, Heard::default()));
    }
    let begun = Instant::now();
    let tmux = tmux(&var);
    write!(stdout(), "\r{CHARACTER}")?;
    let (events, column) = place(events, PATIENCE);
    Ok((events, heard(column, tmux, begun)))
}

/// Whether an answer is owed.
pub fn is_open() -> bool {
    !open().is_empty()
}

/// Looks whether an answer has come by now. Crossterm has put it aside, and hands it out when the cursor's place is asked
/// for again; that question's own answer is then left over, and nobody's keys either.
pub fn once_more(events: EventStream) -> (EventStream, Option<bool>) {
    // One that waits for keys holds crossterm's reader.
    drop(events);
    let events = EventStream::new();
    // A look without waiting, for what was put aside is in order only behind one: the new answer would be before the old.
    let _ = event::poll(Duration::ZERO);
    let (events, column) = place(events, GLANCE);
    (events, column.and_then(shows_utf8))
}

/// Asks where the cursor stands: the oldest answer of those that are owed, if it comes in time.
fn place(events: EventStream, patience: Duration) -> (EventStream, Option<u16>) {
    open().push(Instant::now());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(cursor::position()));
    let (events, place) = match told.recv_timeout(patience) {
        Ok(place) => (events, place.ok()),
        Err(_) => {
            drop(events);
            // Until it is awake: keys would wait for it. The answer may have come at this very moment.
            let place = told.recv_timeout(PATIENCE);
            (EventStream::new(), place.ok().and_then(Result::ok))
        }
    };
    if place.is_some() {
        open().remove(0);
    }
    (events, place.map(|(column, _)| column.saturating_add(1)))
}

/// Tmux's own word is over what it answers: it takes UTF-8 itself whatever terminal it is shown on.
fn heard(column: Option<u16>, tmux: Option<Receiver<Client>>, begun: Instant) -> Heard {
    let left = PATIENCE.saturating_sub(begun.elapsed());
    match tmux.and_then(|told| told.recv_timeout(left).ok()) {
        Some(Client { utf8, true_color }) => Heard { utf8: Some(utf8), true_color },
        None => Heard { utf8: column.and_then(shows_utf8), true_color: false },
    }
}

/// What tmux knows of the terminal that it is shown on.
struct Client {
    utf8: bool,
    true_color: bool,
}

/// Asks tmux, where that is the terminal: it takes UTF-8 itself, and puts `_` for it on a terminal that it thinks shows none.
fn tmux(var: &impl Fn(&str) -> Option<String>) -> Option<Receiver<Client>> {
    let term = var("TERM").unwrap_or_default();
    // Terminals that are started from within tmux have its variable too, but not its name.
    let is_it = term.starts_with("tmux") || term.starts_with("screen");
    var("TMUX").filter(|v| !v.is_empty() && is_it)?;
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut ask = Command::new("tmux");
        ask.args(["display-message", "-p", "#{client_utf8} #{client_termfeatures}"]);
        ask.stdin(Stdio::null()).stderr(Stdio::null());
        let text = String::from_utf8(ask.output().ok()?.stdout).ok()?;
        tell.send(client(&text)?).ok()
    });
    Some(told)
}

/// Reads tmux's words; nothing where it has no client, or is too old to know.
fn client(text: &str) -> Option<Client> {
    let (utf8, features) = text.trim_end().split_once(' ')?;
    let true_color = features.split(',').any(|f| f == "RGB");
    ["0", "1"].contains(&utf8).then_some(Client { utf8: utf8 == "1", true_color })
}

/// Waits for answers that are still under way, so that they are not typed at whatever reads the terminal next. The
/// terminal must not echo, and nobody else must read it.
pub fn await_late_answers() {
    let asked = std::mem::take(&mut *open());
    let Ok(tty) = keys() else { return };
    // Of older ones nothing is under way, and what is there to be read was typed.
    for begun in asked.into_iter().filter(|begun| begun.elapsed() < LATEST) {
        let _ = answer(&tty, begun + LATEST, || false);
    }
}

/// The column that the terminal answers until then. Read byte by byte: what comes behind it is somebody else's.
fn answer(tty: &File, until: Instant, is_called_off: impl Fn() -> bool) -> Option<u16> {
    let mut read = Vec::new();
    while !is_called_off() {
        if !is_readable(tty, until.saturating_duration_since(Instant::now()))? {
            return None;
        }
        let mut byte = [0];
        if rustix::io::read(tty, &mut byte).ok()? == 0 {
            return None;
        }
        read.push(byte[0]);
        if byte == *b"R"
            && let Some(column) = column(&read)
        {
            return Some(column);
        }
        if read.len() > LONGEST {
            read.remove(0);
        }
    }
    None
}

/// Whether there is something to read by then; nothing where a signal came first.
fn is_readable(tty: &File, by: Duration) -> Option<bool> {
    let by = Timespec::try_from(by).ok()?;
    match poll(&mut [PollFd::new(tty, PollFlags::IN)], Some(&by)) {
        Ok(count) => Some(count > 0),
        // Somebody wants something else of us.
        Err(Errno::INTR) => None,
        Err(_) => Some(false),
    }
}

/// The column in `ESC [ row ; column R` at the end of what was read.
fn column(read: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(read);
    let (_, place) = text.strip_suffix('R')?.rsplit_once("\x1b[")?;
    let (row, column) = place.split_once(';')?;
    row.parse::<u16>().ok()?;
    column.parse().ok()
}

/// A terminal that is asked though it is not ours: lines of text go to it, and the shell's prompt comes after them.
/// Dropping it waits for a late answer and gives the terminal back as it was.
pub struct Asked {
    tty: File,
    was: Termios,
    begun: Instant,
    is_answered: bool,
    /// Dropped last: signals take effect once the terminal is as it was.
    held: Held,
}

impl Asked {
    /// Asks, if the answer would matter and can be had; and what was heard.
    pub fn on_line(
        forced: Option<Characters>,
        var: impl Fn(&str) -> Option<String>,
    ) -> (Option<Self>, Heard) {
        let asked = match matters(forced, &var) {
            true => Self::ask().ok().flatten(),
            false => None,
        };
        let Some((asked, column)) = asked else { return (None, Heard::default()) };
        let heard = heard(column, tmux(&var), asked.begun);
        (Some(asked), heard)
    }

    fn ask() -> io::Result<Option<(Self, Option<u16>)>> {
        let tty = keys()?;
        // In the background, changing the terminal would stop us.
        if tcgetpgrp(&tty)? != getpgrp() {
            return Ok(None);
        }
        let held = Held::back()?;
        let was = tcgetattr(&tty)?;
        let mut quiet = was.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&tty, OptionalActions::Now, &quiet)?;
        let begun = Instant::now();
        let mut asked = Self { tty, was, begun, is_answered: true, held };
        // Typed ahead, for the shell: to find the answer behind it, it would have to be taken away.
        if is_readable(&asked.tty, Duration::ZERO) != Some(false) {
            return Ok(None);
        }
        write!(stdout(), "\r{CHARACTER}{WHERE}")?;
        stdout().flush()?;
        let column = answer(&asked.tty, begun + PATIENCE, || asked.held.has_come());
        asked.is_answered = column.is_some();
        write!(stdout(), "\r\x1b[K")?;
        stdout().flush()?;
        Ok(Some((asked, column)))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.is_answered {
            let _ = answer(&self.tty, self.begun + LATEST, || self.held.has_come());
        }
        // A terminal that is gone cannot be restored.
        let _ = tcsetattr(&self.tty, OptionalActions::Now, &self.was);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_behind_keys() {
        assert_eq!(column(b"\x1b[1;2R"), Some(2));
        assert_eq!(column(b"q\x1b[A\x1b[24;80R"), Some(80));
        for none in [&b"R"[..], b"\x1b[R", b"\x1b[1R", b"\x1b[1;R", b"\x1b[1;2", b"\xff;2R"] {
            assert_eq!(column(none), None, "{none:?}");
        }
        assert_eq!([1, 2, 3, 4].map(shows_utf8), [None, Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn tmux_tells_of_the_terminal_that_it_is_shown_on() {
        let told = |text| client(text).map(|c| (c.utf8, c.true_color));
        assert_eq!(told("1 256,RGB,bpaste\n"), Some((true, true)));
        assert_eq!(told("0 256,bpaste\n"), Some((false, false)));
        assert_eq!([told(" \n"), told(""), told("1")].map(|t| t.is_some()), [false, false, false]);
    }
}
