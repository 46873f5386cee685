//! Decides at the gate, before every step, what all arms do next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Fork, Message};
use super::workers::AtWork;
use crate::arm::{ArmId, ArmName, MAX_ARMS, PerArm};
use crate::config::{ArmSpec, CheckpointSpec};
use crate::link::Commands;
use crate::telemetry::command::{Change, Command, Setting};
use crate::telemetry::event::{Alert, ControlChange, Event, FORK, Level, PAUSED};
use crate::telemetry::snapshot::Phase;
use crate::train::control::{Changed, Settings};
use crate::train::worker::Directive;

/// How often a paused run looks for commands.
const PAUSE_POLL: Duration = Duration::from_millis(20);

/// The run's one authority on steps and settings.
pub struct Conductor {
    /// Requests of viewers.
    pub commands: Commands,
    /// What the arms were configured with.
    pub specs: PerArm<ArmSpec>,
    /// What they train with now.
    pub settings: Arc<PerArm<Settings>>,
    /// Training images: a batch cannot be larger.
    pub train_images: usize,
    /// Changes of another run that are made again, in order of their steps.
    pub replay: VecDeque<ControlChange>,
    /// Steps made.
    pub done: u64,
    /// The step that a checkpoint holds already, because the run was taken up there.
    pub saved: u64,
    /// Steps to make.
    pub steps: u64,
    /// Steps that each arm makes: one whose passes are done waits for the others.
    pub arm_steps: PerArm<u64>,
    /// Steps between maps; 0: on request.
    pub map_every: u64,
    /// When checkpoints are due.
    pub checkpoint: CheckpointSpec,
    /// When the last one was due.
    pub last_checkpoint: Instant,
    /// Set once somebody has stopped the run.
    pub stopped: Arc<AtomicBool>,
    /// Where control events go.
    pub out: SyncSender<Message>,
    /// The run's start.
    pub start: Instant,
    /// Held by the user.
    pub paused: bool,
    /// What was asked for and is not done.
    pub asked: Asked,
    /// What commands changed since the process began, in order: the arms and the values that they had. What is taken
    /// back is no longer in it.
    pub changed: Vec<Vec<(ArmId, Setting, f64)>>,
    /// Arms that come to the gate.
    pub at_work: AtWork,
}

/// What commands asked for since the last step.
#[derive(Debug, Default)]
pub struct Asked {
    map: bool,
    checkpoint: bool,
    /// (parent, child): one at a time, because the gate waits for the child.
    fork: Option<(ArmId, ArmId)>,
}

impl Conductor {
    /// The next directive; waits while the run is paused.
    pub fn decide(&mut self) -> Directive {
        self.repeat_changes();
        loop {
            while self.asked.fork.is_none()
                && let Some(command) = self.commands.take()
            {
                self.obey(command);
            }
            if let Some(fork) = self.asked.fork.take() {
                // The new arm is waited for; copies for a map or a checkpoint are handed out when it is there.
                return Directive { fork: Some(fork), ..self.directive(None, true) };
            }
            if !self.paused || self.stopped.load(Ordering::Relaxed) {
                break;
            }
            if self.asked.map || self.asked.checkpoint {
                // Handing out weights needs no step: meet again at once, still paused.
                return self.handing_out(None, true);
            }
            thread::sleep(PAUSE_POLL);
        }
        let stopped = self.stopped.load(Ordering::Relaxed);
        if stopped || self.done >= self.steps {
            self.asked.checkpoint = self.done > 0;
            self.asked.map = !stopped && (self.asked.map || self.map_every > 0);
            return self.handing_out(None, false);
        }
        self.asked.map |= self.map_is_due();
        self.asked.checkpoint |= self.checkpoint_is_due();
        self.done += 1;
        self.handing_out(Some(self.done), false)
    }

    /// A directive that does what was asked for.
    fn handing_out(&mut self, step: Option<u64>, hold: bool) -> Directive {
        let Asked { map, checkpoint, .. } = std::mem::take(&mut self.asked);
        Directive { map, checkpoint, ..self.directive(step, hold) }
    }

    fn directive(&self, step: Option<u64>, hold: bool) -> Directive {
        let settings = Arc::clone(&self.settings);
        Directive {
            step,
            // What is handed out are the weights as they are before the step.
            done: self.done - u64::from(step.is_some()),
            hold,
            settings,
            map: false,
            checkpoint: false,
            fork: None,
        }
    }

    /// A first map as soon as there has been a step, then every `map_every` steps.
    fn map_is_due(&self) -> bool {
        self.map_every > 0
            && self.done > 0
            && (self.done == 1 || self.done.is_multiple_of(self.map_every))
    }

    fn checkpoint_is_due(&mut self) -> bool {
        let CheckpointSpec { every, minutes, .. } = self.checkpoint;
        let by_step = every > 0 && self.done > self.saved && self.done.is_multiple_of(every);
        let by_time =
            minutes > 0.0 && self.last_checkpoint.elapsed().as_secs_f64() >= minutes * 60.0;
        if by_step || by_time {
            self.last_checkpoint = Instant::now();
        }
        by_step || by_time
    }

    /// Makes the changes that another run had made before this step.
    fn repeat_changes(&mut self) {
        while self.asked.fork.is_none()
            && self.replay.front().is_some_and(|c| c.step <= self.done + 1)
            && let Some(ControlChange { arm, key, to: value, .. }) = self.replay.pop_front()
        {
            if key == FORK {
                self.fork(arm.as_ref(), &[]);
            } else if let Some(setting) = Setting::named(&key) {
                self.change(arm.as_ref(), Change::Set { setting, value });
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::TogglePause => {
                self.paused = !self.paused;
                let (from, to) = if self.paused { (0.0, 1.0) } else { (1.0, 0.0) };
                self.tell(None, &Changed { key: PAUSED, from, to });
                self.send(Message::Phase(if self.paused {
                    Phase::Paused
                } else {
                    Phase::Training
                }));
            }
            Command::Change { arm, change } => {
                let before = self.change(arm.as_ref(), change);
                self.changed.extend((!before.is_empty()).then_some(before));
            }
            Command::Fork { arm, changes } => self.fork(arm.as_ref(), &changes),
            Command::MapNow => self.asked.map = true,
            Command::Checkpoint => self.asked.checkpoint = true,
            Command::Stop => self.stopped.store(true, Ordering::Relaxed),
            Command::TakeBack => match self.changed.pop() {
                Some(before) => self.take_back(&before),
                None => self.refuse("no change by hand is left to take back".to_owned()),
            },
        }
    }

    /// Lets a copy of an arm join, with changes of its own.
    fn fork(&mut self, arm: Option<&ArmName>, changes: &[(Setting, f64)]) {
        let parent = match arm {
            Some(name) => self.specs.find(|s| s.name == *name),
            None => self.specs.ids().next(),
        };
        let Some(parent) = parent.filter(|id| self.at_work.is(*id)) else {
            let name = arm.map_or("", ArmName::as_str);
            return self.refuse(format!("no fork: arm {name} does not train"));
        };
        // Its own steps and the run's part there: a copy's events, snapshots and marks could be of either.
        if self.done >= self.arm_steps[parent] {
            let name = &self.specs[parent].name;
            return self.refuse(format!("no fork: arm {name} has made all its steps"));
        }
        if self.specs.len() >= MAX_ARMS {
            return self.refuse(format!("no fork: {MAX_ARMS} arms are as many as a run holds"));
        }
        let spec = ArmSpec { name: self.free_name(parent), ..self.specs[parent].clone() };
        let child = self.specs.push(spec.clone());
        let mut settings = PerArm::clone(&self.settings);
        settings.push(settings[parent]);
        self.arm_steps.push(self.steps);
        self.settings = Arc::new(settings);
        let parents_name = self.specs[parent].name.clone();
        let forked = Changed { key: FORK, from: parent.index() as f64, to: child.index() as f64 };
        let name = spec.name.clone();
        // First the arm, then what is told of it.
        self.send(Message::Fork(Box::new(Fork { parent, child, spec })));
        self.tell_of(Some(&parents_name), &forked, Some(name.clone()));
        self.asked.fork = Some((parent, child));
        for (setting, value) in changes {
            self.change(Some(&name), Change::Set { setting: *setting, value: *value });
        }
    }

    /// A name that no arm has: the parent's with a number.
    fn free_name(&self, parent: ArmId) -> ArmName {
        let stem = self.specs[parent].name.as_str();
        let mut names = (2..).map(|n| ArmName::new(&format!("{stem}-{n}")));
        let free = names.find(|name| self.specs.find(|s| s.name == *name).is_none());
        // Of endlessly many names, at most eight are taken.
        free.unwrap_or_else(|| ArmName::new(stem))
    }

    fn refuse(&self, text: String) {
        self.send(Message::Event(Event::Alert(Alert {
            arm: None,
            step: self.done,
            t: self.start.elapsed().as_secs_f64(),
            kind: "command-refused".to_owned(),
            level: Level::Warning,
            text,
        })));
    }

    /// Changes one arm's settings or all arms'. The arms that it changed, and the values before.
    fn change(&mut self, arm: Option<&ArmName>, change: Change) -> Vec<(ArmId, Setting, f64)> {
        let its = |spec: &ArmSpec| arm.is_none_or(|name| *name == spec.name);
        let these = self.specs.iter().filter(|(_, spec)| its(spec)).map(|(id, _)| id);
        let these: Vec<ArmId> = these.collect();
        let decays = these.iter().any(|id| self.settings[*id].weight_decay > 0.0);
        self.apply(these.into_iter().map(|id| (id, change)), decays)
    }

    /// Sets what was before a change.
    fn take_back(&mut self, before: &[(ArmId, Setting, f64)]) {
        let sets = before.iter();
        let sets = sets.map(|&(id, setting, value)| (id, Change::Set { setting, value }));
        self.apply(sets, false);
    }

    /// Makes changes; told as one event where it was the same for all arms. The arms that were changed, and the values
    /// before.
    fn apply(
        &mut self,
        changes: impl Iterator<Item = (ArmId, Change)>,
        decays: bool,
    ) -> Vec<(ArmId, Setting, f64)> {
        let mut settings = PerArm::clone(&self.settings);
        let mut changed: Vec<(ArmName, Changed)> = Vec::new();
        let mut before = Vec::new();
        for (id, change) in changes {
            let spec = &self.specs[id];
            let done = settings[id].apply(change, decays, &spec.train, self.train_images);
            if let Some(done) = done {
                before.extend(Setting::named(done.key).map(|setting| (id, setting, done.from)));
                changed.push((spec.name.clone(), done));
            }
        }
        self.settings = Arc::new(settings);
        if changed.is_empty() {
            self.refuse("nothing to change: it is at its end, or so already".to_owned());
        }
        match &changed[..] {
            [(_, first), ..]
                if changed.len() == self.specs.len() && changed.iter().all(|(_, c)| c == first) =>
            {
                self.tell(None, first);
            }
            _ => changed.iter().for_each(|(name, c)| self.tell(Some(name), c)),
        }
        before
    }

    fn tell(&self, arm: Option<&ArmName>, changed: &Changed) {
        self.tell_of(arm, changed, None);
    }

    fn tell_of(&self, arm: Option<&ArmName>, changed: &Changed, name: Option<ArmName>) {
        self.send(Message::Event(Event::Control(ControlChange {
            arm: arm.cloned(),
            step: self.done + 1,
            t: self.start.elapsed().as_secs_f64(),
            key: changed.key.to_owned(),
            from: changed.from,
            to: changed.to,
            name,
        })));
    }

    fn send(&self, message: Message) {
        // Nobody listens only once the run is over.
        let _ = self.out.send(message);
    }
}

#[cfg(test)]
mod tests;
