//! The event loop: keys, snapshots, signals; one frame at most every [`FRAME`].

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossterm::event::{Event, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use futures_util::StreamExt;
use ratatui::layout::Rect;
use tokio::time::{Instant as Moment, sleep_until};

use super::answer;
use super::ask;
use super::detect::{Characters, Heard};
use super::keys::{self, Action, Turn};
use super::prompt::{self, Order};
use super::screen;
use super::terminal::Screen;
use super::theme::Theme;
use super::view::{Overlay, PanelId, Prompt, ViewState};
use crate::arm::ArmName;
use crate::link::{Client, SendError};
use crate::signals::{HangUp, leave_flag};
use crate::telemetry::command::Command;
use crate::telemetry::event::ControlChange;
use crate::telemetry::snapshot::{Phase, Snapshot};

/// Least time between two frames that no key asked for: ten a second are fluent for curves, and leave the cores to the
/// training.
pub const FRAME: Duration = Duration::from_millis(100);
/// Bytes of a command: more than any is long.
const LONGEST_LINE: usize = 500;
/// How long an answer to a key stays.
const NOTICE: Duration = Duration::from_secs(4);

/// How the dashboard is started.
pub struct Options {
    /// What is drawn with, whatever the terminal answers.
    pub characters: Option<Characters>,
    /// Bytes a second that the terminal's line carries; missing for as many as there are.
    pub rate: Option<u32>,
}

/// Why the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The run is over, or was refused.
    Over,
    /// The user left; the run goes on.
    Detached,
    /// The engine is gone though its run is not over.
    Lost,
}

/// Shows the run until the user leaves, a signal ends the viewer, or the engine is gone. The run does not depend on it.
///
/// # Errors
/// When the terminal cannot be taken or fails.
pub fn run(client: Client, options: &Options) -> io::Result<Left> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let var = |name: &str| std::env::var(name).ok();
    let leave = leave_flag(HangUp::Ends)?;
    // Before the screen is touched: crossterm panics without.
    ask::keys()?;
    let mut screen = Screen::take()?;
    let (events, heard) = ask::on_screen(options.characters, var)?;
    let late = (ask::is_open() && heard.utf8.is_none()).then_some(ask::LATE);
    let theme = Theme::detect(options.characters, Some(heard), var);
    screen.begin(theme)?;
    let readonly = client.is_readonly();
    let app = App {
        client,
        screen,
        leave,
        view: ViewState { readonly, ..ViewState::new(theme) },
        notice_until: None,
        engine_gone: false,
        rate: options.rate,
        too_small: false,
        last_mark: None,
    };
    runtime.block_on(app.serve(events, late))
}

struct App {
    client: Client,
    screen: Screen,
    /// Set by a signal.
    leave: Arc<AtomicBool>,
    view: ViewState,
    notice_until: Option<Instant>,
    engine_gone: bool,
    rate: Option<u32>,
    /// The screen shows no panel: what cannot be seen must not be done.
    too_small: bool,
    /// The newest change that was answered.
    last_mark: Option<ControlChange>,
}

impl App {
    /// The event loop; looks for the terminal's answer again after `late`.
    async fn serve(mut self, mut events: EventStream, late: Option<Duration>) -> io::Result<Left> {
        let mut pause = self.draw()?;
        let mut next_frame = Moment::now() + pause;
        let mut dirty = false;
        let mut late = late.map(|late| Moment::now() + late);
        loop {
            // Without news the clock still moves: notices go, ages grow.
            let idle = if dirty { next_frame } else { next_frame + 4 * FRAME };
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if let Some(left) = self.hear(&event) {
                            return Ok(left);
                        }
                        pause = self.draw()?;
                        next_frame = next_frame.max(Moment::now() + pause);
                        continue;
                    }
                    Some(Err(e)) => return Err(e),
                    None => return Err(io::Error::other("the terminal sends no more keys")),
                },
                news = self.client.changed(), if !self.engine_gone && !dirty => {
                    self.engine_gone = !news;
                    dirty = true;
                }
                () = sleep_until(late.unwrap_or(idle)), if late.is_some() => {
                    late = None;
                    events = self.hear_late(events);
                    dirty = true;
                }
                () = sleep_until(idle) => {
                    pause = self.draw()?;
                    next_frame = Moment::now() + pause;
                    dirty = false;
                }
            }
            if self.leave.load(Ordering::Relaxed) {
                return Ok(Left::Detached);
            }
            if let Some(left) = self.is_to_leave() {
                return Ok(left);
            }
        }
    }

    /// What the terminal has answered after the first picture decides all the same.
    fn hear_late(&mut self, events: EventStream) -> EventStream {
        let (events, utf8) = ask::once_more(events);
        if utf8.is_some() {
            let heard = Heard { utf8, ..Heard::default() };
            self.view.theme = Theme::detect(None, Some(heard), |name| std::env::var(name).ok());
            self.screen.draw_with(self.view.theme);
        }
        events
    }

    /// A refused run is told on a plain terminal; a finished one stays on the screen unless it was asked to stop.
    fn is_to_leave(&self) -> Option<Left> {
        match &self.client.snapshot().phase {
            Phase::Refused { .. } => Some(Left::Over),
            Phase::Ended(_) => self.view.stopping.then_some(Left::Over),
            _ => self.engine_gone.then_some(Left::Lost),
        }
    }

    /// Draws a frame; how long to wait before the next that no key asks for.
    fn draw(&mut self) -> io::Result<Duration> {
        if self.notice_until.is_some_and(|until| Instant::now() >= until) {
            (self.view.notice, self.notice_until) = (None, None);
        }
        let snapshot = self.client.take();
        self.answer_change(&snapshot);
        let Self { screen: Screen { terminal, written }, view, .. } = self;
        let before = written.get();
        let drawn = terminal
            .draw(|frame| screen::render(&snapshot, view, frame.area(), frame.buffer_mut()))?;
        let Rect { width, height, .. } = drawn.area;
        self.too_small = width < screen::LEAST.0 || height < screen::LEAST.1;
        let bytes = written.get() - before;
        let by_line = self.rate.map_or(0.0, |rate| bytes as f64 / f64::from(rate.max(1)));
        Ok(FRAME.max(Duration::from_secs_f64(by_line)))
    }

    fn hear(&mut self, event: &Event) -> Option<Left> {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.press(key),
            Event::Resize(columns, rows) => {
                self.client.resized(*columns, *rows);
                None
            }
            Event::Paste(text) => {
                self.paste(text);
                None
            }
            _ => None,
        }
    }

    /// Pasted text is text for the command line; where none is open it is nobody's keys.
    fn paste(&mut self, text: &str) {
        match &mut self.view.prompt {
            Some(prompt) if !self.too_small => {
                let typed = text.chars().filter(|c| !c.is_control());
                let room = LONGEST_LINE.saturating_sub(prompt.text.len());
                prompt.text.extend(typed.take(room));
                prompt.answer.clear();
            }
            _ => {
                let count = text.chars().count();
                self.notify(format!(
                    "pasted text ({count} characters) changes nothing; : opens the command line"
                ));
            }
        }
    }

    /// Tells of a change that the engine has made: what came of a key, rather than what it asked for.
    fn answer_change(&mut self, snapshot: &Snapshot) {
        let newest = snapshot.marks.last();
        if newest != self.last_mark.as_ref() {
            self.last_mark = newest.cloned();
            // Those from before this viewer came, or before the run was taken up again, are nothing new.
            let is_new = |m: &&ControlChange| snapshot.elapsed_s - m.t < NOTICE.as_secs_f64();
            if let Some(mark) = newest.filter(is_new) {
                self.notify(answer::to(snapshot, mark));
            }
        }
    }

    fn notify(&mut self, text: String) {
        (self.view.notice, self.notice_until) = (Some(text), Some(Instant::now() + NOTICE));
    }

    fn press(&mut self, key: &KeyEvent) -> Option<Left> {
        if self.too_small {
            let over = self.client.snapshot().phase.is_over();
            let leave = keys::action(key) == Some(Action::Quit);
            return leave.then_some(if over { Left::Over } else { Left::Detached });
        }
        if let Some(prompt) = self.view.prompt.take() {
            self.type_into(prompt, key);
            return None;
        }
        match self.view.overlay {
            Overlay::Quit => {
                self.view.overlay = Overlay::None;
                self.quit(key)
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
            Action::Ask(command, answer) => {
                self.ask(command, answer);
            }
            Action::Prompt(_) if self.view.readonly => {
                self.notify(SendError::ReadOnly.to_string());
            }
            Action::Prompt(begun) => {
                self.view.prompt = Some(Prompt { text: begun.to_owned(), answer: String::new() });
            }
            // Asked twice: not to be waited for, but what it has begun goes on.
            Action::Quit if self.view.stopping => return Some(Left::Detached),
            Action::Quit => self.view.overlay = Overlay::Quit,
            Action::Focus(turn) => {
                let by = match turn {
                    Turn::Next => 1,
                    Turn::Previous => PanelId::ALL.len() - 1,
                };
                self.view.focus_on(self.view.focus.step(by));
            }
            Action::Zoom => self.view.zoomed = !self.view.zoomed,
            Action::Back => self.view.zoomed = false,
            Action::LogScale => self.view.log_scale = !self.view.log_scale,
            Action::TurnOver => self.view.turn_over(),
            Action::Plane => self.view.plane = !self.view.plane,
            Action::Help => self.view.overlay = Overlay::Help,
        }
        None
    }

    /// A key while a command is typed; the line goes on unless it was sent or given up.
    fn type_into(&mut self, mut prompt: Prompt, key: &KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let snapshot = self.client.snapshot();
        let arms: Vec<ArmName> = snapshot.arms.values().map(|a| a.info.name.clone()).collect();
        prompt.answer.clear();
        match key.code {
            KeyCode::Esc => return,
            KeyCode::Char('c' | 'd') if control => return,
            KeyCode::Char('u') if control => prompt.text.clear(),
            KeyCode::Backspace if prompt.text.pop().is_none() => return,
            KeyCode::Tab => {
                let (text, shown) = prompt::complete(&prompt.text, &arms);
                (prompt.text, prompt.answer) = (text, shown.join("  "));
            }
            KeyCode::Enter => match prompt::read(&prompt.text, &arms) {
                Ok(Order::Ask(command, answer)) => {
                    self.ask(command, &answer);
                    return;
                }
                Ok(Order::Quit) => return self.view.overlay = Overlay::Quit,
                Ok(Order::Help) => return self.view.overlay = Overlay::Help,
                Err(text) => prompt.answer = text,
            },
            KeyCode::Char(c) if !control && prompt.text.len() < LONGEST_LINE => prompt.text.push(c),
            _ => {}
        }
        self.view.prompt = Some(prompt);
    }

    /// Hands a command on and answers on the screen; whether the engine has it.
    fn ask(&mut self, command: Command, answer: &str) -> bool {
        let phase = &self.client.snapshot().phase;
        let over = phase.is_over() || *phase == Phase::Finishing;
        let sent = self.client.send(command);
        let told = match sent {
            _ if over => "the run is over: nothing to change".to_owned(),
            Ok(()) => answer.to_owned(),
            Err(e) => e.to_string(),
        };
        self.notify(told);
        sent.is_ok()
    }

    /// Takes the answer to the question before quitting.
    fn quit(&mut self, key: &KeyEvent) -> Option<Left> {
        let leave = keys::action(key) == Some(Action::Quit);
        if self.client.snapshot().phase.is_over() {
            let leave = leave || matches!(key.code, KeyCode::Enter | KeyCode::Char('d' | 'y'));
            return leave.then_some(Left::Over);
        }
        match key.code {
            KeyCode::Char('d' | 'D') => Some(Left::Detached),
            code if code == keys::STOP.0 && key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.view.stopping = self.ask(Command::Stop, "asked to stop");
                None
            }
            _ => leave.then_some(Left::Detached),
        }
    }
}
