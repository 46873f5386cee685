//! The figure as pixels: the SVG itself, rendered, with no fonts but those built in.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, Tree, fontdb};

use super::font;
use super::{FigureError, Size};

/// An SVG as the bytes of a PNG of `size`.
///
/// # Errors
/// When there is no memory for it.
pub fn render(svg: &str, size: Size) -> Result<Vec<u8>, FigureError> {
    let failed = |text: &dyn std::fmt::Display| FigureError::Render(text.to_string());
    let mut fonts = fontdb::Database::new();
    font::FILES.iter().for_each(|bytes| fonts.load_font_data(bytes.to_vec()));
    fonts.set_sans_serif_family(font::FAMILY);
    let options = usvg::Options {
        font_family: font::FAMILY.to_owned(),
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|e| failed(&e))?;
    let mut pixels =
        Pixmap::new(size.width, size.height).ok_or_else(|| failed(&"no memory for its pixels"))?;
    let fit = |want: u32, has: f32| want as f32 / has;
    let has = tree.size();
    let scale = Transform::from_scale(fit(size.width, has.width()), fit(size.height, has.height()));
    resvg::render(&tree, scale, &mut pixels.as_mut());
    pixels.encode_png().map_err(|e| failed(&e))
}
