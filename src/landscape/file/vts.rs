//! ParaView's structured grid (.vts): the surface as a warped sheet, height ln(loss + 0.1), with loss and accuracy as point
//! data. Text, so that it can be read by eye and by any VTK.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::SurfaceFile;
use super::hdf5::ratios;
use crate::geometry::scale::LOG_SHIFT;

/// Writes the file into `to`.
///
/// # Errors
/// When the sink refuses.
pub fn write(content: &SurfaceFile, mut to: impl Write) -> io::Result<()> {
    let surface = &content.surface;
    let (nx, ny) = (surface.xs.len(), surface.ys.len().max(1));
    let extent = format!("0 {} 0 {} 0 0", nx.saturating_sub(1), ny - 1);
    let split = if content.about.split.is_empty() { "train" } else { &content.about.split };
    writeln!(to, "<?xml version=\"1.0\"?>")?;
    writeln!(to, "<VTKFile type=\"StructuredGrid\" version=\"0.1\" byte_order=\"LittleEndian\">")?;
    writeln!(to, "<StructuredGrid WholeExtent=\"{extent}\"><Piece Extent=\"{extent}\">")?;
    writeln!(to, "<PointData Scalars=\"{split}_loss\">")?;
    array(&mut to, &format!("{split}_loss"), &surface.loss)?;
    array(&mut to, &format!("{split}_acc"), &surface.acc)?;
    if let Some(computed) = &surface.computed {
        let mask: Vec<f64> = computed.iter().map(|c| f64::from(u8::from(*c))).collect();
        array(&mut to, "computed", &mask)?;
    }
    if let Some(curvature) = &content.curvature {
        array(&mut to, "eig_ratio", &ratios(curvature))?;
    }
    writeln!(to, "</PointData>\n<Points>")?;
    writeln!(to, "<DataArray type=\"Float64\" NumberOfComponents=\"3\" format=\"ascii\">")?;
    for (index, loss) in surface.loss.iter().enumerate() {
        let (x, y) = surface.place(index);
        // A point that is not known lies at the foot; its data say that it is none.
        let z = if loss.is_finite() { (loss.max(0.0) + LOG_SHIFT).ln() } else { LOG_SHIFT.ln() };
        writeln!(to, "{x} {y} {z}")?;
    }
    writeln!(to, "</DataArray>\n</Points>\n</Piece></StructuredGrid>\n</VTKFile>")
}

fn array(to: &mut impl Write, name: &str, values: &[f64]) -> io::Result<()> {
    let mut text = String::new();
    for value in values {
        let _ = match value.is_finite() {
            true => writeln!(text, "{value}"),
            // As VTK's reader spells it.
            false => writeln!(text, "nan"),
        };
    }
    write!(
        to,
        "<DataArray type=\"Float64\" Name=\"{name}\" format=\"ascii\">\n{text}</DataArray>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::surface::Surface;
    use super::*;

    #[test]
    fn points_run_along_x_first_and_holes_are_told() {
        let mut surface = Surface::new(vec![0.0, 1.0], vec![5.0, 6.0, 7.0]);
        surface.loss = vec![0.9, 1.9, 2.9, f64::NAN, 4.9, 5.9];
        surface.acc = vec![0.5; 6];
        let mut bytes = Vec::new();
        write(&SurfaceFile::of(surface), &mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("WholeExtent=\"0 1 0 2 0 0\""));
        assert!(text.contains("\n0 5 0\n1 5 0.6931"), "{text}");
        assert!(text.contains("2.9\nnan\n4.9"));
    }
}
