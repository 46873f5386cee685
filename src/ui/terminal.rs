//! Taking the terminal and giving it back, whatever happens.

use std::cell::Cell;
use std::io::{self, BufWriter, Stdout, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::Backend;

use super::ask;
use super::backend::Codes;
use super::theme::{ColorDepth, Theme};

/// Bytes of a whole frame in full colour: written at once, so that a line never shows half of one.
const FRAME_BYTES: usize = 256 << 10;

/// Whether the terminal is ours now.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal while it is ours; dropping it gives it back.
pub struct Screen {
    /// What is drawn on.
    pub terminal: Terminal<Codes<Counted>>,
    /// Bytes written so far.
    pub written: Rc<Cell<u64>>,
}

/// Standard output, a frame at a time, with its bytes counted: over a line they are what a frame costs.
pub struct Counted {
    out: BufWriter<Stdout>,
    written: Rc<Cell<u64>>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.written.set(self.written.get() + count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Screen {
    /// Takes the terminal: raw keys, pastes told as such, the alternate screen, no cursor.
    ///
    /// # Errors
    /// When it refuses; it is then as it was.
    pub fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let written = Rc::new(Cell::new(0));
        let out = BufWriter::with_capacity(FRAME_BYTES, io::stdout());
        let counted = Counted { out, written: Rc::clone(&written) };
        let taken = execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste, Hide)
            .and_then(|()| Terminal::new(Codes::new(counted)));
        match taken {
            Ok(terminal) => Ok(Self { terminal, written }),
            Err(e) => {
                restore();
                Err(e)
            }
        }
    }

    /// An empty screen, to be drawn on with these colours: the question has left a character, and where there is no
    /// alternate screen everything else is still there.
    ///
    /// # Errors
    /// When the terminal fails.
    pub fn begin(&mut self, theme: Theme) -> io::Result<()> {
        self.draw_with(theme);
        // Not the terminal's own way, which asks for the cursor's place and waits for it.
        self.terminal.backend_mut().clear()
    }

    /// From now on with these colours.
    pub fn draw_with(&mut self, theme: Theme) {
        let plain = matches!(theme.depth, ColorDepth::None | ColorDepth::Ansi);
        self.terminal.backend_mut().plain = plain;
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Columns and rows of the terminal; none where stdout is none.
pub fn size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok()
}

/// Gives the terminal back, if it is ours; a second call does nothing.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Cleared for terminals without an alternate screen, where the shell would go on in the middle of the picture. A
        // terminal that is gone cannot be restored, and nobody is there to be told.
        let _ = execute!(
            io::stdout(),
            DisableBracketedPaste,
            Clear(ClearType::All),
            MoveTo(0, 0),
            LeaveAlternateScreen,
            Show
        );
        ask::await_late_answers();
        let _ = disable_raw_mode();
        let _ = io::stdout().flush();
    }
}
