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
}

impl PanelId {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Curves, Self::Flow, Self::Angle, Self::Maps];

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
}
