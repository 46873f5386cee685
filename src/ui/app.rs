//! The event loop: keys, snapshots, signals; one frame at most every [`FRAME`].

use std::io;
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind};
use futures_util::StreamExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant as Moment, sleep_until};

use super::keys::{self, Action, Turn};
use super::screen;
use super::terminal::Screen;
use super::theme::Theme;
use super::view::{Overlay, PanelId, ViewState};
use crate::link::{Client, SendError};
use crate::telemetry::command::Command;
use crate::telemetry::snapshot::Phase;

/// Least time between two frames that no key asked for: ten a second are fluent for curves, and leave the cores to the
/// training.
pub const FRAME: Duration = Duration::from_millis(100);
/// How long an answer to a key stays.
const NOTICE: Duration = Duration::from_secs(4);

/// How the dashboard is started.
pub struct Options {
    /// ASCII characters alone, whatever the locale.
    pub ascii: bool,
    /// The program's start, for the log.
    pub start: Instant,
}

/// Why the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The user is done, or the engine has ended; it may be waited for.
    Done,
    /// The user asked a second time, while the engine was stopping: not to be waited for.
    Abandoned,
}

/// Shows the run until the user quits, a signal ends it, or the engine refuses it.
///
/// # Errors
/// When the terminal cannot be taken or fails; the engine is asked to stop, so that it can be waited for.
pub fn run(client: Client, options: &Options) -> io::Result<Left> {
    let asking = client.clone();
    let shown = show(client, options);
    if shown.is_err() {
        // Its checkpoint is worth more than the picture.
        let _ = asking.send(Command::Stop);
    }
    shown
}

fn show(client: Client, options: &Options) -> io::Result<Left> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let theme = Theme::detect(options.ascii, |name| std::env::var(name).ok());
    let screen = Screen::take()?;
    let app = App {
        client,
        screen,
        view: ViewState::new(theme),
        notice_until: None,
        engine_gone: false,
        seen: Firsts { start: options.start, step: false, map: false },
    };
    runtime.block_on(app.serve())
}

/// What is told to the log once: how long a user waits for the picture.
struct Firsts {
    start: Instant,
    step: bool,
    map: bool,
}

struct App {
    client: Client,
    screen: Screen,
    view: ViewState,
    notice_until: Option<Instant>,
    engine_gone: bool,
    seen: Firsts,
}

impl App {
    async fn serve(mut self) -> io::Result<Left> {
        self.draw()?;
        tracing::info!("first frame after {:.3} s", self.seen.start.elapsed().as_secs_f64());
        let mut events = EventStream::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut next_frame = Moment::now() + FRAME;
        let mut dirty = false;
        loop {
            // Without news the clock still moves: notices go, ages grow.
            let idle = if dirty { next_frame } else { next_frame + 4 * FRAME };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if let Some(left) = self.hear(&event) {
                            return Ok(left);
                        }
                        self.draw()?;
                        continue;
                    }
                    Some(Err(e)) => return Err(e),
                    None => return Err(io::Error::other("the terminal sends no more keys")),
                },
                () = ended(&mut terminate, &mut hang_up) => {
                    let _ = self.client.send(Command::Stop);
                    return Ok(Left::Done);
                }
                news = self.client.changed(), if !self.engine_gone && !dirty => {
                    self.engine_gone = !news;
                    dirty = true;
                }
                () = sleep_until(idle) => {
                    self.draw()?;
                    next_frame = Moment::now() + FRAME;
                    dirty = false;
                }
            }
            if self.engine_gone && self.is_done() {
                return Ok(Left::Done);
            }
        }
    }

    /// Once the engine is gone, there is something to look at only if its run came to an end.
    fn is_done(&self) -> bool {
        self.view.stopping || !matches!(self.client.snapshot().phase, Phase::Ended(_))
    }

    fn draw(&mut self) -> io::Result<()> {
        if self.notice_until.is_some_and(|until| Instant::now() >= until) {
            (self.view.notice, self.notice_until) = (None, None);
        }
        let snapshot = self.client.take();
        let Self { screen: Screen { terminal }, view, seen, .. } = self;
        terminal.draw(|frame| screen::render(&snapshot, view, frame.area(), frame.buffer_mut()))?;
        let after = seen.start.elapsed().as_secs_f64();
        if !seen.step && snapshot.step > 0 {
            seen.step = true;
            tracing::info!("first training step on the screen after {after:.3} s");
        }
        if !seen.map && snapshot.maps.range.is_some() {
            seen.map = true;
            tracing::info!("first coarse map on the screen after {after:.3} s");
        }
        Ok(())
    }

    fn hear(&mut self, event: &Event) -> Option<Left> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(key),
            _ => None,
        }
    }

    fn press(&mut self, key: &KeyEvent) -> Option<Left> {
        match self.view.overlay {
            Overlay::Quit => {
                self.view.overlay = Overlay::None;
                let yes = matches!(key.code, KeyCode::Char('y' | 'Y') | KeyCode::Enter)
                    || keys::action(key) == Some(Action::Quit);
                if yes { self.quit() } else { None }
            }
            Overlay::Help => {
                self.view.overlay = Overlay::None;
                None
            }
            Overlay::None => keys::action(key).and_then(|action| self.act(action)),
        }
    }

    fn act(&mut self, action: Action) -> Option<Left> {
        match action {
            Action::Ask(command, answer) => self.ask(command, answer),
            Action::Quit if self.view.stopping => return Some(Left::Abandoned),
            Action::Quit => self.view.overlay = Overlay::Quit,
            Action::Focus(turn) => {
                let by = match turn {
                    Turn::Next => 1,
                    Turn::Previous => PanelId::ALL.len() - 1,
                };
                self.view.focus = self.view.focus.step(by);
            }
            Action::Zoom => self.view.zoomed = !self.view.zoomed,
            Action::Back => self.view.zoomed = false,
            Action::LogScale => self.view.log_scale = !self.view.log_scale,
            Action::Help => self.view.overlay = Overlay::Help,
        }
        None
    }

    fn ask(&mut self, command: Command, answer: &str) {
        let over = matches!(self.client.snapshot().phase, Phase::Ended(_) | Phase::Finishing);
        let told = match self.client.send(command) {
            _ if over => "the run is over: nothing to change".to_owned(),
            Ok(()) => answer.to_owned(),
            Err(e @ (SendError::Busy | SendError::Gone)) => e.to_string(),
        };
        (self.view.notice, self.notice_until) = (Some(told), Some(Instant::now() + NOTICE));
    }

    /// Leaves at once where nothing runs any more; else asks the engine to stop and stays until it has.
    fn quit(&mut self) -> Option<Left> {
        self.view.stopping = true;
        let ended = matches!(self.client.snapshot().phase, Phase::Ended(_));
        if ended || self.client.send(Command::Stop) == Err(SendError::Gone) {
            return Some(Left::Done);
        }
        None
    }
}

async fn ended(terminate: &mut Signal, hang_up: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}
