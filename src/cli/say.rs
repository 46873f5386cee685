//! Lines for the user. A terminal that is gone, or a reader that has left, is no reason to panic: nobody is there to be
//! told. An stdout that cannot be written is told at once, and in the exit status at the end.

use std::fmt::Display;
use std::io::{Write, stderr};

use crate::headless::Stdout;

/// A line on stdout.
pub fn say(line: impl Display) {
    let _ = writeln!(Stdout, "{line}");
}

/// A text on stdout, as it is.
pub fn print(bytes: &[u8]) {
    let _ = Stdout.write_all(bytes);
}

/// A line on stderr, in the program's name.
pub fn complain(line: impl Display) {
    let _ = writeln!(stderr(), "landscope: {line}");
}
