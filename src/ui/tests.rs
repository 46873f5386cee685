//! Whole screens and panels, drawn into a buffer: as text for the eye, and for any size without a panic.

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Color;

use super::screen::{LEAST, render};
use super::theme::{ColorDepth, Theme};
use super::view::{Overlay, PanelId, ViewState};
use crate::telemetry::event::RunStatus;
use crate::telemetry::fixture;
use crate::telemetry::snapshot::{ArmState, Phase, Snapshot};

const COLORS: Theme = Theme { depth: ColorDepth::True, ascii: false };
const PLAIN: Theme = Theme { depth: ColorDepth::None, ascii: true };

fn drawn(snapshot: &Snapshot, view: &ViewState, width: u16, height: u16) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
    render(snapshot, view, buffer.area, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width).max(1);
    let lines =
        buffer.content.chunks(width).map(|row| row.iter().map(|c| c.symbol()).collect::<String>());
    lines.map(|l| l.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn screen(snapshot: &Snapshot, view: &ViewState, width: u16, height: u16) -> String {
    text(&drawn(snapshot, view, width, height))
}

#[test]
fn the_dashboard_at_three_sizes() {
    let (run, view) = (fixture::run(2, 120), ViewState::new(COLORS));
    for (width, height) in [(80, 24), (120, 36), (160, 48)] {
        insta::assert_snapshot!(
            format!("dashboard_{width}x{height}"),
            screen(&run, &view, width, height)
        );
    }
}

#[test]
fn each_panel_on_the_whole_screen() {
    let run = fixture::run(2, 120);
    for panel in PanelId::ALL {
        let view = ViewState { focus: panel, zoomed: true, ..ViewState::new(COLORS) };
        insta::assert_snapshot!(format!("zoomed_{panel:?}"), screen(&run, &view, 100, 30));
    }
}

#[test]
fn without_colours_and_unicode() {
    let (run, view) = (fixture::run(2, 120), ViewState::new(PLAIN));
    let buffer = drawn(&run, &view, 100, 30);
    assert!(buffer.content.iter().all(|c| c.symbol().is_ascii()), "a character beyond ASCII");
    assert!(
        buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset),
        "a colour"
    );
    insta::assert_snapshot!("ascii_100x30", text(&buffer));
}

#[test]
fn before_the_first_step_and_after_the_end() {
    let view = ViewState::new(COLORS);
    let nothing =
        Snapshot { phase: Phase::Starting("reading the data".to_owned()), ..Snapshot::default() };
    insta::assert_snapshot!("starting_80x24", screen(&nothing, &view, 80, 24));
    let mut failed = fixture::run(2, 120);
    failed.phase = Phase::Ended(RunStatus::Finished);
    let second = failed.arms.ids().nth(1).unwrap();
    failed.arms[second].state = ArmState::Diverged { step: 7 };
    insta::assert_snapshot!("ended_80x24", screen(&failed, &view, 80, 24));
}

#[test]
fn what_lies_on_top() {
    let run = fixture::run(2, 120);
    for overlay in [Overlay::Help, Overlay::Quit] {
        let view = ViewState { overlay, ..ViewState::new(COLORS) };
        insta::assert_snapshot!(format!("overlay_{overlay:?}"), screen(&run, &view, 80, 24));
    }
}

#[test]
fn eight_arms_have_a_place_each() {
    let (run, view) = (fixture::run(8, 120), ViewState::new(COLORS));
    let seen = screen(&run, &view, 160, 48);
    for arm in run.arms.values() {
        assert!(seen.contains(arm.info.name.as_str()), "{} is not on the screen", arm.info.name);
    }
}

#[test]
fn a_terminal_too_small_is_told_so() {
    let said = screen(&fixture::run(2, 120), &ViewState::new(COLORS), 20, 5);
    assert!(
        said.contains("needs 60x18") && said.contains("this is 20x5") && said.contains("q leaves"),
        "{said}"
    );
}

#[test]
fn everything_fits_at_the_least_size() {
    let seen = screen(&fixture::run(2, 120), &ViewState::new(COLORS), LEAST.0, LEAST.1);
    for word in ["loss", "gradient flow", "angle", "surface", "quit", "step 120/200"] {
        assert!(seen.contains(word), "{word} is missing:\n{seen}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any size, any number of arms, any place in the run: no panic, nothing outside the screen.
    #[test]
    fn any_screen_is_drawn(
        width in 0u16..220,
        height in 0u16..70,
        arms in 0usize..9,
        steps in prop::sample::select(vec![0u64, 1, 2, 50, 200]),
        panel in 0usize..4,
        zoomed in any::<bool>(),
        log_scale in any::<bool>(),
        overlay in prop::sample::select(vec![Overlay::None, Overlay::Help, Overlay::Quit]),
        theme in prop::sample::select(vec![COLORS, PLAIN]),
    ) {
        let view = ViewState {
            focus: PanelId::ALL[panel],
            zoomed,
            log_scale,
            overlay,
            ..ViewState::new(theme)
        };
        drawn(&fixture::run(arms, steps), &view, width, height);
    }

    /// Figures that no run should have: no panic either.
    #[test]
    fn any_figures_are_drawn(value in any::<f64>(), width in 60u16..170, height in 18u16..50) {
        let mut run = fixture::run(2, 50);
        (run.elapsed_s, run.epoch, run.steps_per_s, run.eta_s) = (value, value, value, value);
        run.maps.range = Some((value, -value));
        run.maps.levels = vec![value; 3];
        for (id, arm) in run.arms.iter_mut() {
            arm.flow.now = vec![value; 7];
            arm.flow.rows.iter_mut().for_each(|r| r.norms = vec![value]);
            arm.curves.loss.push(51, value);
            arm.curves.angle.push(51, value);
            arm.test = Some((3, value));
            if let Some(sample) = &mut arm.latest {
                (sample.loss, sample.lr, sample.ms) = (value, value, value);
                sample.step_share.gradient = value;
            }
            if let Some(map) = &mut run.maps.arms[id] {
                map.loss.iter_mut().step_by(3).for_each(|v| *v = value);
                map.xs[0] = value;
                map.isolines.iter_mut().for_each(|l| l.points[0] = (value, value));
            }
        }
        for zoomed in [false, true] {
            for panel in PanelId::ALL {
                let view = ViewState { focus: panel, zoomed, ..ViewState::new(COLORS) };
                drawn(&run, &view, width, height);
            }
        }
    }
}
