//! What the viewer has chosen to see; nothing of the run.

use super::theme::Theme;

/// The panels, in the order of `Tab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanelId {
    /// Loss and accuracy.
    Curves,
    /// Gradient norms through the layers.
    Flow,
    /// Angle to the isocurve, and the parts of the step.
    Angle,
    /// Maps of the loss.
    Maps,
    /// The arms' paths over the loss.
    Trajectory,
}

impl PanelId {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Curves, Self::Flow, Self::Angle, Self::Maps, Self::Trajectory];

    /// The panel `by` places further, round and round.
    pub fn step(self, by: usize) -> Self {
        let at = Self::ALL.iter().position(|p| *p == self).unwrap_or(0);
        Self::ALL[(at + by) % Self::ALL.len()]
    }
}

/// What lies over the panels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlay {
    /// Nothing.
    #[default]
    None,
    /// The keys.
    Help,
    /// Whether to quit.
    Quit,
}

/// A command line while it is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What is typed so far.
    pub text: String,
    /// What was wrong with it, or what may follow.
    pub answer: String,
}

/// What the viewer has chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewState {
    /// The panel that has the focus.
    pub focus: PanelId,
    /// Whether the trajectory is in front, rather than the maps, where the two share a place: which had the focus last.
    pub trajectory: bool,
    /// Whether angles are those in the plane of the path, rather than in full space.
    pub plane: bool,
    /// Whether that panel has the whole screen.
    pub zoomed: bool,
    /// Whether curves are drawn on a logarithmic scale.
    pub log_scale: bool,
    /// What lies over the panels.
    pub overlay: Overlay,
    /// A line that answers the last key.
    pub notice: Option<String>,
    /// The command line, if one is being typed.
    pub prompt: Option<Prompt>,
    /// Whether the engine has been asked to stop.
    pub stopping: bool,
    /// Whether this viewer changes nothing.
    pub readonly: bool,
    /// Colours and characters.
    pub theme: Theme,
}

impl ViewState {
    /// What is shown at first.
    pub fn new(theme: Theme) -> Self {
        Self {
            focus: PanelId::Curves,
            trajectory: false,
            plane: false,
            zoomed: false,
            log_scale: true,
            overlay: Overlay::None,
            notice: None,
            prompt: None,
            stopping: false,
            readonly: false,
            theme,
        }
    }

    /// Gives a panel the focus, and brings it to the front.
    pub fn focus_on(&mut self, panel: PanelId) {
        self.focus = panel;
        match panel {
            PanelId::Trajectory => self.trajectory = true,
            PanelId::Maps => self.trajectory = false,
            _ => {}
        }
    }

    /// The focus to the trajectory, or from it to the maps.
    pub fn turn_over(&mut self) {
        let at = self.focus == PanelId::Trajectory;
        self.focus_on(if at { PanelId::Maps } else { PanelId::Trajectory });
    }
}

#[cfg(test)]
mod tests {
    use super::super::theme::{ColorDepth, Theme};
    use super::*;

    #[test]
    fn what_had_the_focus_last_is_in_front() {
        let mut view = ViewState::new(Theme { depth: ColorDepth::True, ascii: false });
        let mut seen = Vec::new();
        for _ in PanelId::ALL {
            view.focus_on(view.focus.step(1));
            seen.push((view.focus, view.trajectory));
        }
        use PanelId::{Angle, Curves, Flow, Maps, Trajectory};
        let wanted =
            [(Flow, false), (Angle, false), (Maps, false), (Trajectory, true), (Curves, true)];
        assert_eq!(seen, wanted);
        view.turn_over();
        assert_eq!((view.focus, view.trajectory), (Trajectory, true));
        view.turn_over();
        assert_eq!((view.focus, view.trajectory), (Maps, false));
    }
}
