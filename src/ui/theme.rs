//! Colours and characters, by what the terminal can show.

use ratatui::style::{Color, Modifier, Style};

use crate::geometry::color::{Rgb, VIRIDIS, lit, ramp};

/// Colours that a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorDepth {
    /// None: `NO_COLOR`, or a terminal without.
    None,
    /// The 16 of ANSI.
    Ansi,
    /// The xterm palette.
    Indexed,
    /// 24 bits.
    True,
}

/// What the screen is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Colours to be had.
    pub depth: ColorDepth,
    /// ASCII characters alone.
    pub ascii: bool,
}

/// One colour per arm, told apart also by the colour-blind (after Okabe and Ito).
const ARMS: [Rgb; 8] = [
    (86, 180, 233),
    (230, 159, 0),
    (0, 190, 140),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (120, 140, 255),
    (190, 190, 190),
];
/// One character per arm, where there are no colours.
const LETTERS: [char; 8] = ['*', 'o', 'x', '+', '#', '@', '%', '='];
/// From along the isocurve to straight down across it.
const DOWNHILL: [Rgb; 3] = [(80, 205, 255), (245, 240, 205), (255, 105, 45)];
/// From along the isocurve to straight up across it.
const UPHILL: [Rgb; 3] = [(80, 205, 255), (165, 130, 255), (240, 60, 235)];
/// Light that is left of what steps back behind what is drawn over it.
const FAINT: f64 = 0.42;
const FAINT_OF_FEW: f64 = 0.64;
/// Little to much gradient: dead blue, live green, burning red.
const HEAT: [Rgb; 7] = [
    (40, 60, 140),
    (50, 110, 190),
    (60, 170, 170),
    (90, 190, 90),
    (230, 200, 60),
    (235, 130, 40),
    (225, 50, 45),
];

impl Theme {
    /// Whether arms can be told apart by colour.
    pub fn has_colors(self) -> bool {
        self.depth != ColorDepth::None
    }

    /// The nearest colour that the terminal has.
    pub fn color(self, (r, g, b): Rgb) -> Color {
        match self.depth {
            ColorDepth::None => Color::Reset,
            ColorDepth::True => Color::Rgb(r, g, b),
            ColorDepth::Indexed => Color::Indexed(xterm_index((r, g, b))),
            ColorDepth::Ansi => ansi((r, g, b)),
        }
    }

    fn fg(self, rgb: Rgb) -> Style {
        Style::default().fg(self.color(rgb))
    }

    /// An arm's colour.
    pub fn arm(self, index: usize) -> Style {
        self.fg(ARMS[index % ARMS.len()])
    }

    /// An arm's colour for a curve beside its main one.
    pub fn arm_dim(self, index: usize) -> Style {
        self.arm_lit(index, 0.7)
    }

    /// An arm's colour for what steps back behind its curves.
    pub fn arm_faint(self, index: usize) -> Style {
        self.arm_lit(index, 0.4)
    }

    fn arm_lit(self, index: usize, light: f64) -> Style {
        if self.has_colors() {
            self.fg(lit(ARMS[index % ARMS.len()], light))
        } else {
            Style::default().add_modifier(Modifier::DIM)
        }
    }

    /// An arm's character where there are no colours.
    pub fn letter(self, index: usize) -> char {
        LETTERS[index % LETTERS.len()]
    }

    /// What stands before an arm's name, so that it is found on the plots: a coloured dot, or its character.
    pub fn badge(self, index: usize) -> char {
        if !self.has_colors() {
            self.letter(index)
        } else if self.ascii {
            '#'
        } else {
            '●'
        }
    }

    /// Ordinary text.
    pub fn text(self) -> Style {
        Style::default()
    }

    /// Text that steps back: axes, labels, hints.
    pub fn dim(self) -> Style {
        if self.has_colors() {
            self.fg((140, 140, 150))
        } else {
            Style::default().add_modifier(Modifier::DIM)
        }
    }

    /// Titles and what has the focus.
    pub fn strong(self) -> Style {
        Style::default().add_modifier(Modifier::BOLD)
    }

    /// The frame of the panel that has the focus: the terminal's own foreground, for it may be dark on light.
    pub fn focus(self) -> Style {
        Style::default().fg(Color::Reset).add_modifier(Modifier::BOLD)
    }

    /// The frame of the other panels.
    pub fn frame(self) -> Style {
        if self.has_colors() { self.fg((90, 95, 110)) } else { Style::default() }
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.fg((90, 200, 110))
    }

    /// Worth a look.
    pub fn warning(self) -> Style {
        self.fg((240, 190, 60)).add_modifier(Modifier::BOLD)
    }

    /// Something has stopped.
    pub fn error(self) -> Style {
        self.fg((240, 80, 80)).add_modifier(Modifier::BOLD)
    }

    /// The three parts of a step: gradient, momentum, decay.
    pub fn parts(self) -> [Style; 3] {
        [self.fg((90, 190, 90)), self.fg((120, 140, 220)), self.fg((220, 90, 150))]
    }

    /// A place on the loss's scale, 0 (low) to 1 (high).
    pub fn loss_color(self, at: f64) -> Rgb {
        ramp(&VIRIDIS, at)
    }

    /// The loss's scale where it steps back behind what is drawn over it.
    pub fn loss_faint(self, at: f64) -> Rgb {
        // Palettes have few dark colours.
        let light = if self.depth == ColorDepth::True { FAINT } else { FAINT_OF_FEW };
        lit(ramp(&VIRIDIS, at), light)
    }

    /// The loss's scale for lines over [`Theme::loss_faint`].
    pub fn loss_line(self, at: f64) -> Rgb {
        ramp(&[ramp(&VIRIDIS, at), (255, 255, 255)], 0.12)
    }

    /// An angle to the isocurve, degrees: along it, down across it, up across it.
    pub fn angle(self, degrees: f64) -> Style {
        let ends = if degrees < 0.0 { &UPHILL } else { &DOWNHILL };
        self.fg(ramp(ends, degrees.abs() / 90.0))
    }

    /// An angle's character where there are no colours: along, aslant, across, uphill.
    pub fn angle_letter(self, degrees: f64) -> char {
        match degrees {
            _ if degrees < -30.0 => 'u',
            _ if degrees < 30.0 => '=',
            _ if degrees < 60.0 => 'o',
            _ if degrees.is_finite() => 'x',
            _ => '*',
        }
    }

    /// A place on the gradient's scale, 0 (little) to 1 (much).
    pub fn heat_color(self, at: f64) -> Rgb {
        ramp(&HEAT, at)
    }
}

/// The nearest of xterm's 6x6x6 cube and its greys.
fn xterm_index((r, g, b): Rgb) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest = |v: u8| (0..6u8).min_by_key(|i| STEPS[usize::from(*i)].abs_diff(v)).unwrap_or(0);
    let cube = [nearest(r), nearest(g), nearest(b)];
    let grey = ((u16::from(r) + u16::from(g) + u16::from(b)) / 3).saturating_sub(3) / 10;
    let grey = u8::try_from(grey.min(23)).unwrap_or(23);
    let level = 8 + 10 * grey;
    let far = |c: [u8; 3]| {
        [(c[0], r), (c[1], g), (c[2], b)]
            .map(|(x, y)| u32::from(x.abs_diff(y)).pow(2))
            .iter()
            .sum::<u32>()
    };
    if far([level; 3]) < far(cube.map(|i| STEPS[usize::from(i)])) {
        232 + grey
    } else {
        16 + 36 * cube[0] + 6 * cube[1] + cube[2]
    }
}

/// The nearest of the 16 colours, as most terminals paint them.
fn ansi((r, g, b): Rgb) -> Color {
    const TABLE: [(Color, Rgb); 15] = [
        (Color::Black, (0, 0, 0)),
        (Color::Red, (170, 20, 20)),
        (Color::Green, (20, 160, 60)),
        (Color::Yellow, (170, 120, 0)),
        (Color::Blue, (40, 50, 170)),
        (Color::Magenta, (150, 40, 140)),
        (Color::Cyan, (20, 150, 160)),
        (Color::Gray, (190, 190, 190)),
        (Color::DarkGray, (110, 110, 110)),
        (Color::LightRed, (240, 80, 80)),
        (Color::LightGreen, (90, 220, 110)),
        (Color::LightYellow, (245, 220, 80)),
        (Color::LightBlue, (100, 130, 250)),
        (Color::LightMagenta, (230, 120, 200)),
        (Color::LightCyan, (90, 200, 240)),
    ];
    let far = |c: Rgb| {
        [(c.0, r), (c.1, g), (c.2, b)]
            .map(|(x, y)| u32::from(x.abs_diff(y)).pow(2))
            .iter()
            .sum::<u32>()
    };
    TABLE.iter().min_by_key(|(_, rgb)| far(*rgb)).map_or(Color::Gray, |(color, _)| *color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_fall_back_to_near_ones() {
        assert_eq!(xterm_index((255, 0, 0)), 196);
        assert_eq!(xterm_index((128, 128, 128)), 244);
        assert_eq!(ansi((250, 70, 90)), Color::LightRed);
    }
}
