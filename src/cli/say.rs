//! Lines for the user. A terminal that is gone, or a reader that has left, is no reason to panic: nobody is there to be
//! told.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};

/// A line on stdout.
pub fn say(line: impl Display) {
    let _ = writeln!(stdout(), "{line}");
}

/// A line on stderr, in the program's name.
pub fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "landscope: {line}");
}
