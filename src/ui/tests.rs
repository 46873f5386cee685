//! Whole screens and panels, drawn into a buffer: as text for the eye, and for any size without a panic.

use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

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
fn the_dashboard_at_four_sizes() {
    let (run, view) = (fixture::run(2, 120), ViewState::new(COLORS));
    for (width, height) in [(80, 24), (110, 40), (120, 36), (160, 48)] {
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
fn ticks_of_one_axis_are_told_apart() {
    let mut run = fixture::run(2, 120);
    for (_, arm) in run.arms.iter_mut() {
        let ends = [2e-5, 1.7e-4];
        arm.blocks.iter_mut().enumerate().for_each(|(i, b)| b.carry = ends[i % 2]);
        arm.blocks.iter_mut().for_each(|b| b.branch = b.carry);
        // So small that a power of ten has five columns.
        arm.flow.now = vec![3e-14, 2e-9];
        arm.flow.first = vec![1e-11];
    }
    let view = ViewState { focus: PanelId::Flow, zoomed: true, ..ViewState::new(COLORS) };
    let seen = screen(&run, &view, 100, 30);
    for label in ["5e-5┤", "1e-4┤", "1e-14 ", "1e-11 "] {
        assert!(seen.contains(label), "no {label} in\n{seen}");
    }
    assert!(!seen.contains("0.0001"), "{seen}");
}

#[test]
fn the_trajectory_in_front() {
    let mut view = ViewState::new(COLORS);
    view.focus_on(PanelId::Trajectory);
    for arms in [1, 2, 4] {
        let seen = screen(&fixture::run(arms, 120), &view, 80, 24);
        insta::assert_snapshot!(format!("trajectory_{arms}_arms_80x24"), seen);
    }
    let plain = ViewState { theme: PLAIN, ..view.clone() };
    insta::assert_snapshot!(
        "trajectory_ascii_80x24",
        screen(&fixture::run(2, 120), &plain, 80, 24)
    );
    // The path before there is a plane or a map.
    insta::assert_snapshot!(
        "trajectory_without_map_80x24",
        screen(&fixture::run(2, 30), &view, 80, 24)
    );
    let none = screen(&fixture::run(2, 0), &view, 80, 24);
    assert!(none.contains("no snapshots of the weights yet"), "{none}");
}

#[test]
fn all_panels_are_seen_at_once_on_a_large_screen() {
    let titles = ["loss (log)", "gradient flow", "angle to", "loss surface", "trajectory"];
    for (width, height, arms) in
        [(110, 40, 2), (110, 40, 4), (160, 48, 2), (160, 48, 4), (220, 60, 8)]
    {
        let seen = screen(&fixture::run(arms, 120), &ViewState::new(COLORS), width, height);
        for title in titles {
            assert!(seen.contains(title), "{title} at {width}x{height}:\n{seen}");
        }
    }
    let mut view = ViewState::new(COLORS);
    let seen = screen(&fixture::run(2, 120), &view, 80, 24);
    assert!(seen.contains("loss surface") && !seen.contains("trajectory"), "{seen}");
    view.focus_on(PanelId::Trajectory);
    view.focus_on(PanelId::Curves);
    let seen = screen(&fixture::run(2, 120), &view, 80, 24);
    assert!(!seen.contains("loss surface") && seen.contains("trajectory"), "{seen}");
}

/// A picture that cannot be trusted says so wherever there is room for it at all.
#[test]
fn the_grain_of_salt_is_always_told() {
    for (width, height) in [(80, 24), (100, 30), (110, 40), (160, 48), (220, 70)] {
        for zoomed in [false, true] {
            let mut view = ViewState { zoomed, ..ViewState::new(COLORS) };
            view.focus_on(PanelId::Trajectory);
            let buffer = drawn(&fixture::run(2, 120), &view, width, height);
            let seen = text(&buffer);
            for word in ["71", "+", "12%", "31", "14%", "gap", "63%"] {
                assert!(seen.contains(word), "{word} at {width}x{height}:\n{seen}");
            }
            let warned = ["not the loss", "63%!", "map is not"].iter().any(|w| seen.contains(w));
            assert!(warned, "no warning at {width}x{height}:\n{seen}");
        }
    }
}

#[test]
fn what_adam_leaves_out_is_told() {
    let run = fixture::run(3, 120);
    for (width, height) in [(60, 18), (80, 24), (110, 40), (160, 48)] {
        let seen = screen(&run, &ViewState::new(COLORS), width, height);
        assert!(seen.contains("this step's decay"), "at {width}x{height}:\n{seen}");
    }
    let seen = screen(&run, &ViewState { plane: true, ..ViewState::new(COLORS) }, 80, 24);
    assert!(seen.contains("in the plane") && !seen.contains("with decay"), "{seen}");
    // With decay on, the other way is without it.
    let seen = screen(&fixture::run(2, 60), &ViewState::new(COLORS), 110, 40);
    assert!(seen.contains("without decay"), "{seen}");
}

#[test]
fn without_colours() {
    let view = ViewState::new(Theme { depth: ColorDepth::None, ascii: false });
    for zoomed in [None, Some(PanelId::Trajectory), Some(PanelId::Angle)] {
        let view = ViewState {
            zoomed: zoomed.is_some(),
            focus: zoomed.unwrap_or(PanelId::Curves),
            ..view.clone()
        };
        let buffer = drawn(&fixture::run(2, 120), &view, 160, 48);
        assert!(
            buffer.content.iter().all(|c| c.fg == Color::Reset && c.bg == Color::Reset),
            "a colour"
        );
        if zoomed == Some(PanelId::Trajectory) {
            insta::assert_snapshot!("trajectory_no_colour_160x48", text(&buffer));
        }
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
    for panel in PanelId::ALL {
        let view = ViewState { focus: panel, zoomed: true, ..view.clone() };
        let buffer = drawn(&run, &view, 160, 48);
        assert!(
            buffer.content.iter().all(|c| c.symbol().is_ascii()),
            "{panel:?}:\n{}",
            text(&buffer)
        );
    }
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
        panel in 0usize..5,
        zoomed in any::<bool>(),
        log_scale in any::<bool>(),
        plane in any::<bool>(),
        trajectory in any::<bool>(),
        overlay in prop::sample::select(vec![Overlay::None, Overlay::Help, Overlay::Quit]),
        theme in prop::sample::select(vec![COLORS, PLAIN]),
    ) {
        let view = ViewState {
            focus: PanelId::ALL[panel],
            zoomed,
            log_scale,
            plane,
            trajectory,
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
        run.path_maps.range = Some((value, -value));
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
            arm.curves.angle_median.push(51, value);
            arm.curves.counterfactual_median.push(51, value);
            arm.lr_drops.push((40, value));
            arm.path.shares[0] = value;
            arm.path.gap.median = value;
            arm.path.gap.relative = value;
            let middle = arm.path.points.len() / 2;
            (arm.path.points[middle].x, arm.path.points[middle].angle_deg) = (value, value);
            arm.path.points[middle + 1].y = -value;
            arm.path.points[middle + 2].step = 0;
            arm.histograms[0].weight_decay = value;
            arm.histograms[0].full[2] = u64::MAX;
            if let Some(map) = &mut run.path_maps.arms[id] {
                map.loss.iter_mut().step_by(3).for_each(|v| *v = value);
                map.ys[0] = value;
                map.taken_s = value;
            }
            if let Some(map) = &mut run.maps.arms[id] {
                map.loss.iter_mut().step_by(3).for_each(|v| *v = value);
                map.xs[0] = value;
                map.isolines.iter_mut().for_each(|l| l.points[0] = (value, value));
            }
        }
        let mut astray = run.clone();
        for (id, arm) in astray.arms.iter_mut() {
            arm.path.points.iter_mut().for_each(|p| p.x *= value);
            astray.path_maps.arms[id] = None;
        }
        for panel in [false, true] {
            let view = ViewState { zoomed: panel, trajectory: true, focus: PanelId::Trajectory, ..ViewState::new(PLAIN) };
            drawn(&astray, &view, width, height);
        }
        for zoomed in [false, true] {
            for panel in PanelId::ALL {
                let view = ViewState { focus: panel, zoomed, ..ViewState::new(COLORS) };
                drawn(&run, &view, width, height);
            }
        }
    }
}

/// Prints screens with their colours, to be looked at: `LANDSCOPE_SCREEN=160x48,2,120,trajectory cargo test --lib
/// prints_a_screen -- --ignored --nocapture | python3 .readme/png.py OUT.png`; columns x rows, arms, steps, then any of
/// a panel's name for the focus, `zoomed`, `plane`, `ascii`, `plain`, `indexed`, `left`.
#[test]
#[ignore = "for the eye"]
fn prints_a_screen() {
    let wanted = std::env::var("LANDSCOPE_SCREEN").unwrap_or_else(|_| "160x48,2,120".to_owned());
    let words: Vec<&str> = wanted.split(',').collect();
    let number = |text: &str| text.parse::<u16>().unwrap();
    let (columns, rows) = words[0].split_once('x').unwrap();
    let has = |word: &str| words.contains(&word);
    let mut view = ViewState::new(Theme {
        depth: match (has("plain"), has("indexed")) {
            (true, _) => ColorDepth::None,
            (_, true) => ColorDepth::Indexed,
            _ => ColorDepth::True,
        },
        ascii: has("ascii"),
    });
    for panel in PanelId::ALL {
        if has(&format!("{panel:?}").to_lowercase()) {
            view.focus_on(panel);
        }
    }
    (view.zoomed, view.plane) = (has("zoomed"), has("plane"));
    let run = fixture::run(number(words[1]).into(), number(words[2]).into());
    let start = std::time::Instant::now();
    let buffer = drawn(&run, &view, number(columns), number(rows));
    eprintln!("drawn in {:?}", start.elapsed());
    let color = |color: Color, base: u8| match color {
        Color::Rgb(r, g, b) => format!("\u{1b}[{};2;{r};{g};{b}m", base + 8),
        Color::Indexed(i) => format!("\u{1b}[{};5;{i}m", base + 8),
        _ => String::new(),
    };
    for line in buffer.content.chunks(usize::from(buffer.area.width)) {
        for cell in line {
            let bold = if cell.modifier.contains(Modifier::BOLD) { "\u{1b}[1m" } else { "" };
            let colors = color(cell.fg, 30) + &color(cell.bg, 40);
            print!("\u{1b}[0m{bold}{colors}{}", cell.symbol());
        }
        println!("\u{1b}[0m");
    }
}
