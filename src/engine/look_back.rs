//! A run that is over, as its folder tells it: what a viewer would have seen last.

use std::path::Path;

use super::EngineError;
use super::message::MapPass;
use super::past::how_it_ended;
use super::prepare::describe_models;
use super::views::Views;
use crate::arm::{ArmName, PerArm};
use crate::config::{self, ArmSpec};
use crate::landscape::file::SurfaceFile;
use crate::record::folder::{self, FolderError};
use crate::record::{metrics, rewind};
use crate::telemetry::event::{Alert, Event, FORK, Level, RunDone, RunStarted, RunStatus};
use crate::telemetry::snapshot::{ArmState, Phase, RunHeader, Snapshot};

/// The last state of the run in `folder`, its history and newest maps included.
///
/// # Errors
/// When its files cannot be read, or hold no run.
pub fn look_back(folder: &Path) -> Result<Snapshot, EngineError> {
    let experiment = config::load(&folder.join(folder::RUN_FILE).to_string_lossy(), &[])?;
    let path = folder.join(metrics::FILE_NAME);
    let failed = |source| FolderError::Io { path: path.clone(), source };
    let mut memory = Memory { specs: experiment.arms.clone(), ..Memory::default() };
    let header = RunHeader {
        name: experiment.name.clone(),
        model: describe_models(&experiment.arms),
        folder: folder.display().to_string(),
        ..RunHeader::default()
    };
    rewind::for_each(&path, |event| memory.take(event, &header)).map_err(failed)?;
    let ended = memory.end(folder, experiment.map.images);
    ended.ok_or_else(|| {
        let text = "it tells of no run";
        failed(std::io::Error::new(std::io::ErrorKind::InvalidData, text)).into()
    })
}

/// What is remembered while the events pass.
#[derive(Default)]
struct Memory {
    specs: PerArm<ArmSpec>,
    views: Option<Views>,
    done: Option<RunDone>,
    alerts: Vec<Alert>,
    /// Newest surface files.
    surfaces: Vec<(ArmName, u64, f64, String)>,
    last: (u64, f64),
}

impl Memory {
    fn take(&mut self, event: Event, header: &RunHeader) {
        if let (Event::Run(run), None) = (&event, &self.views) {
            let RunStarted { device, arms, experiment, .. } = &**run;
            let steps = experiment.get("steps").and_then(serde_json::Value::as_u64);
            let header =
                RunHeader { device: device.clone(), steps: steps.unwrap_or(0), ..header.clone() };
            self.views = Some(Views::new(header, arms, &self.specs, 0));
        }
        let Some(views) = &mut self.views else { return };
        match &event {
            Event::Control(change) if change.key == FORK => {
                let parent = self.specs.ids().nth(change.from as usize);
                if let (Some(parent), Some(name)) = (parent, &change.name) {
                    let spec = ArmSpec { name: name.clone(), ..self.specs[parent].clone() };
                    views.fork(parent, &spec);
                    self.specs.push(spec);
                }
            }
            Event::Alert(alert) => self.alerts.push(alert.clone()),
            Event::Surface(written) => {
                if let Some(file) = &written.file {
                    self.surfaces.retain(|(arm, ..)| *arm != written.arm);
                    let of = (written.arm.clone(), written.step, written.t, file.clone());
                    self.surfaces.push(of);
                }
            }
            Event::Step(sample) => self.last = (sample.step, sample.t),
            Event::Done(done) => {
                self.last.1 = done.t;
                self.done = Some(done.clone());
            }
            _ => {}
        }
        // Alerts that follow from it stand among the events.
        let _ = views.fold(&event);
    }

    fn end(self, folder: &Path, images: usize) -> Option<Snapshot> {
        let mut views = self.views?;
        for (id, spec) in self.specs.iter() {
            let ended = how_it_ended(spec.name.as_str(), &self.alerts);
            views.set_state(id, ended.unwrap_or(ArmState::Finished));
        }
        for (arm, step, taken_s, file) in &self.surfaces {
            let id = self.specs.find(|s| s.name == *arm);
            if let (Some(arm), Ok(SurfaceFile { surface, .. })) =
                (id, SurfaceFile::read(&folder.join(file)))
            {
                let (step, taken_s) = (*step, *taken_s);
                let pass = MapPass {
                    arm,
                    step,
                    taken_s,
                    surface,
                    images,
                    cosine: f64::NAN,
                    complete: true,
                };
                views.fold_map(pass);
            }
        }
        let mut snapshot = views.snapshot();
        snapshot.elapsed_s = self.last.1;
        let status = match self.done {
            Some(done) => done.status,
            None => {
                snapshot.alerts.push(Alert {
                    arm: None,
                    step: self.last.0,
                    t: self.last.1,
                    kind: "cut-off".to_owned(),
                    level: Level::Warning,
                    text: "the run was cut off; landscope --resume goes on with it".to_owned(),
                });
                RunStatus::Stopped
            }
        };
        snapshot.phase = Phase::Ended(status);
        Some(snapshot)
    }
}
