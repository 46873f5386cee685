//! Taking a run's `metrics.jsonl` back to a checkpoint: what came after it is set aside, not lost.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use crate::telemetry::event::Event;

/// What was set aside, beside the file that it was taken from.
pub const SUPERSEDED: &str = "metrics.superseded.jsonl";
/// How a step's line begins, as we write it.
const STEP: &[u8] = br#"{"event":"step","#;
const NEW: &str = ".metrics.jsonl.new";

/// Shows the events of a file, in order; lines that are none (of a write that did not end) are left out.
///
/// # Errors
/// When the file cannot be read.
pub fn for_each(path: &Path, mut shown: impl FnMut(Event)) -> io::Result<()> {
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        if let Some(event) = event(&line?) {
            shown(event);
        }
    }
    Ok(())
}

/// The event on a line. Nearly all are steps: told by their beginning they are read as such, without the copy of every
/// field that finding out their kind costs.
fn event(line: &[u8]) -> Option<Event> {
    if line.starts_with(STEP)
        && let Ok(sample) = serde_json::from_slice(line)
    {
        return Some(Event::Step(sample));
    }
    serde_json::from_slice(line).ok()
}

/// Leaves in `path` what belongs to the run up to `step` with its first `controls` changes by hand.
///
/// # Errors
/// When the file system refuses; the file is then as it was.
pub fn rewind(path: &Path, step: u64, controls: usize) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let (new, aside) = (folder.join(NEW), folder.join(SUPERSEDED));
    let mut to_keep = BufWriter::new(File::create(&new)?);
    let mut to_set_aside = None;
    let mut left = Left { step, controls };
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        let mut line = line?;
        let event = serde_json::from_slice::<Event>(&line);
        line.push(b'\n');
        if event.is_ok_and(|event| left.belongs(&event)) {
            to_keep.write_all(&line)?;
        } else {
            let superseded = match &mut to_set_aside {
                Some(file) => file,
                none => none.insert(BufWriter::new(
                    File::options().append(true).create(true).open(&aside)?,
                )),
            };
            superseded.write_all(&line)?;
        }
    }
    // First what is set aside, then what is left: a crash in between loses nothing.
    if let Some(superseded) = to_set_aside {
        superseded.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    }
    to_keep.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&new, path)
}

/// What of the run is still to come.
struct Left {
    step: u64,
    controls: usize,
}

impl Left {
    fn belongs(&mut self, event: &Event) -> bool {
        match event {
            Event::Run(_) => true,
            Event::Step(e) => e.step <= self.step,
            Event::Blocks(e) => e.step <= self.step,
            Event::Eval(e) => e.step <= self.step,
            Event::Surface(e) => e.step <= self.step,
            Event::Trajectory(e) => e.step <= self.step,
            Event::Checkpoint(e) => e.step <= self.step,
            Event::Alert(e) => e.step <= self.step,
            // A change is told for the step that follows it: only the count says on which side it stands.
            Event::Control(_) => {
                let within = self.controls > 0;
                self.controls = self.controls.saturating_sub(1);
                within
            }
            Event::Done(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::event::{CheckpointWritten, ControlChange, RunDone, RunStatus};

    fn control(step: u64) -> Event {
        Event::Control(ControlChange {
            arm: None,
            step,
            t: 0.0,
            key: "lr".to_owned(),
            from: 0.1,
            to: 0.05,
            name: None,
        })
    }

    fn saved(step: u64) -> Event {
        Event::Checkpoint(CheckpointWritten { step, t: 0.0, dir: String::new() })
    }

    #[test]
    fn what_came_after_a_checkpoint_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let done = RunDone { status: RunStatus::Stopped, step: 20, t: 0.0, arms: Vec::new() };
        let all = [saved(10), control(11), saved(20), control(21), Event::Done(done)];
        let mut text: String =
            all.iter().map(|e| serde_json::to_string(e).unwrap() + "\n").collect();
        text += "{\"event\":\"step\",\"st";
        fs::write(&path, &text).unwrap();
        let mut whole = 0;
        for_each(&path, |_| whole += 1).unwrap();
        assert_eq!(whole, 5, "the torn line is no event");
        // At step 10, one change by hand was known already.
        rewind(&path, 10, 1).unwrap();
        let left = fs::read_to_string(&path).unwrap();
        assert!(left.lines().eq(text.lines().take(2)), "{left}");
        let aside = fs::read_to_string(dir.path().join(SUPERSEDED)).unwrap();
        assert!(aside.lines().eq(text.lines().skip(2)), "{aside}");
        // A second time there is nothing to do.
        rewind(&path, 10, 1).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), left);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
