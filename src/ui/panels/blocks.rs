//! The residual decomposition dL/dx = carry + branch, block by block: what the shortcut hands back, and what the
//! convolutions do.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{arm_piece, side_by_side};
use crate::telemetry::event::BlockFlow;
use crate::telemetry::snapshot::Snapshot;
use crate::ui::format;
use crate::ui::paint::{Piece, pieces, text};
use crate::ui::plot::{Line, Plot, Scale};
use crate::ui::view::ViewState;

/// Draws all arms' decompositions.
pub fn render(snapshot: &Snapshot, view: &ViewState, area: Rect, buf: &mut Buffer) {
    let theme = view.theme;
    for ((id, arm), part) in snapshot.arms.iter().zip(side_by_side(area, snapshot.arms.len())) {
        if part.height < 4 {
            continue;
        }
        if arm.blocks.is_empty() {
            let why = match arm.info.blocks {
                0 => "no residual blocks in this network",
                _ => "no decomposition yet",
            };
            text(buf, part.x, part.y, part.width, why, theme.dim());
            continue;
        }
        let [carry, branch, _] = theme.parts();
        let head: Vec<Piece> = vec![
            arm_piece(snapshot, id.index(), view),
            ("  by block: ".to_owned(), theme.dim()),
            ("carry".to_owned(), carry),
            (" / ".to_owned(), theme.dim()),
            ("branch".to_owned(), branch),
            (format!("  gain {}", format::short(total_gain(&arm.blocks))), theme.dim()),
            (format!("  cos {}", format::short(mean_cos(&arm.blocks))), theme.dim()),
        ];
        pieces(buf, part.x, part.y, part.width, &head);
        let line = |of: fn(&BlockFlow) -> f64, style, letter| Line {
            points: arm.blocks.iter().enumerate().map(|(i, b)| (i as f64 + 1.0, of(b))).collect(),
            style,
            letter,
            dashed: false,
        };
        let plot = Plot {
            lines: vec![line(|b| b.carry, carry, 'c'), line(|b| b.branch, branch, 'b')],
            dots: Vec::new(),
            marks: Vec::new(),
            x: (1.0, arm.blocks.len().max(2) as f64),
            y: None,
            scale: Scale::Log,
            ticks: Vec::new(),
            x_name: "step".to_owned(),
        };
        // The plot's own line says `step`; here x counts blocks, so it is written over.
        let below = Rect { y: part.y + 1, height: part.height - 1, ..part };
        plot.render(below, buf, theme);
        let note = format!("block 1 (stem) to {} (head)", arm.blocks.len());
        text(
            buf,
            part.x,
            part.bottom() - 1,
            part.width,
            &format!("{note:<width$}", width = usize::from(part.width)),
            theme.dim(),
        );
    }
}

/// How much the gradient grows through all blocks together, head to stem.
fn total_gain(blocks: &[BlockFlow]) -> f64 {
    blocks.iter().map(|b| b.gain).product()
}

/// Mean cosine between carry and branch, over the blocks that have both.
fn mean_cos(blocks: &[BlockFlow]) -> f64 {
    let known: Vec<f64> = blocks.iter().map(|b| b.cos).filter(|c| c.is_finite()).collect();
    known.iter().sum::<f64>() / known.len() as f64
}
