//! What `landscope surface` is asked for, and where its file goes.

use std::path::{Path, PathBuf};

use super::about::{TEST, TRAIN, word};
use super::error::LandscapeError;
use super::evaluate::NormStatistics;
use super::file::{ENDINGS, ending};
use super::shard::Shard;
use super::source::Located;
use super::span::Span;
use crate::config::{DirectionNorm, IgnoreParams, Precision};

/// Images behind a point where nothing is asked for.
pub const USUAL_IMAGES: usize = 512;

/// What tells one checkpoint from another in the name of a line's file: the step's folder, else the file's stem.
fn tail(to: &Path) -> String {
    let name = |p: &Path| p.file_name().map(|n| n.to_string_lossy().into_owned());
    let folder = to.parent().and_then(name).into_iter().chain(name(to));
    let step = folder.into_iter().find(|n| n.starts_with("step-"));
    let stem = || to.file_stem().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    format!("-to-{}", step.unwrap_or_else(stem))
}

/// Which plane the surface lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaneKind {
    /// Random directions.
    #[default]
    Random,
    /// The first two principal components of a run's checkpoints.
    Pca,
}

/// Which curvature is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurvatureKind {
    /// At the centre.
    Center,
    /// At every point of the grid.
    Map,
}

/// Images behind every point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageCount {
    /// So many, spread over the data set; all if it has fewer.
    Count(usize),
    /// All.
    All,
}

/// Everything that was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The centre: a file, or the folder of a run or of a step.
    pub checkpoint: PathBuf,
    /// The network at x = 1, of an interpolation.
    pub to: Option<PathBuf>,
    /// Which arm, where the checkpoint does not say.
    pub arm: Option<String>,
    /// The experiment, of a checkpoint outside a run folder.
    pub config: Option<PathBuf>,
    /// Columns; where missing, what fits the plane.
    pub x: Option<Span>,
    /// Rows; missing for a profile.
    pub y: Rows,
    /// The plane.
    pub plane: PlaneKind,
    /// Whether the run's path is drawn in a plane that was not laid through it.
    pub path: bool,
    /// Scaling of random directions.
    pub norm: DirectionNorm,
    /// What random directions leave alone.
    pub ignore: IgnoreParams,
    /// Seed of random directions; the run's own where missing.
    pub seed: Option<u64>,
    /// Images behind every point.
    pub images: ImageCount,
    /// The test images in place of the training images.
    pub test: bool,
    /// Statistics of batch norms.
    pub bn: NormStatistics,
    /// Arithmetic.
    pub precision: Precision,
    /// Refine where it matters instead of computing every point.
    pub adaptive: bool,
    /// Extreme eigenvalues of the Hessian.
    pub hessian: Option<CurvatureKind>,
    /// Whether weights that are not finite are taken.
    pub non_finite: bool,
    /// The part of the grid that is computed here.
    pub shard: Option<Shard>,
    /// The file; where missing, one in the run folder or here.
    pub out: Option<PathBuf>,
}

/// The rows of a surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rows {
    /// None: a profile along x.
    None,
    /// What fits the plane.
    Fitting,
    /// These.
    Given(Span),
}

impl Request {
    /// A profile through `checkpoint` with everything as it is where nothing is asked for.
    pub fn of(checkpoint: &Path) -> Self {
        Self {
            checkpoint: checkpoint.to_owned(),
            to: None,
            arm: None,
            config: None,
            x: None,
            y: Rows::None,
            plane: PlaneKind::Random,
            path: false,
            norm: DirectionNorm::Filter,
            ignore: IgnoreParams::Biasbn,
            seed: None,
            images: ImageCount::Count(USUAL_IMAGES),
            test: false,
            bn: NormStatistics::Frozen,
            precision: Precision::F32,
            adaptive: false,
            hessian: None,
            non_finite: false,
            shard: None,
            out: None,
        }
    }

    /// Refuses what does not go together.
    ///
    /// # Errors
    /// Names the options.
    pub fn check(&self) -> Result<(), LandscapeError> {
        let refuse = |name, value: &str, text: &str| {
            Err(LandscapeError::Option { name, value: value.to_owned(), text: text.to_owned() })
        };
        let pca = self.plane == PlaneKind::Pca;
        if self.to.is_some() && pca {
            return refuse("--plane", "pca", "an interpolation (--to) has its direction already");
        }
        if self.adaptive && self.shard.is_some() {
            let text = "refinement goes by neighbouring points, which other shards hold; leave out \
                        --shard or --adaptive";
            return refuse("--adaptive", "with --shard", text);
        }
        if self.hessian.is_some() && self.bn == NormStatistics::Batch {
            let text = "curvature is measured in evaluation mode; leave out --bn batch";
            return refuse("--hessian", "with --bn batch", text);
        }
        if self.hessian == Some(CurvatureKind::Map) && self.adaptive {
            let text = "curvature is computed at every point; leave out --adaptive";
            return refuse("--hessian", "map", text);
        }
        if self.bn == NormStatistics::Batch && self.precision == Precision::Bf16 {
            return refuse("--precision", "bf16", "works with --bn frozen alone; use f32");
        }
        match self.out.as_deref().map(ending) {
            Some(Err(text)) => {
                let out = self.out.as_deref().unwrap_or(Path::new(""));
                refuse("--out", &out.display().to_string(), &text)
            }
            _ => Ok(()),
        }
    }

    /// `train` or `test`.
    pub fn split(&self) -> &'static str {
        if self.test { TEST } else { TRAIN }
    }

    /// Where the surface of `shape` (columns, rows) goes: as asked, else into the run folder's `surfaces`, else here,
    /// under a name that tells what is not usual. A shard's name tells which it is.
    pub fn file(&self, located: &Located, arm: &str, shape: (usize, usize)) -> PathBuf {
        let named = self.out.clone().unwrap_or_else(|| {
            let name = format!("{}.{}", self.stem(located, arm, shape), ENDINGS[0]);
            match &located.run {
                Some(run) => run.join("surfaces").join(name),
                None => PathBuf::from(name),
            }
        });
        match self.shard {
            None => named,
            Some(Shard { index, of }) => {
                let stem = named.file_stem().unwrap_or_default().to_string_lossy();
                // Shards are merged from HDF5, whatever the whole is to be.
                named.with_file_name(format!("{stem}.shard-{index}-of-{of}.{}", ENDINGS[0]))
            }
        }
    }

    fn stem(&self, located: &Located, arm: &str, (nx, ny): (usize, usize)) -> String {
        let mut parts = match located.step {
            Some(step) => vec![format!("{step:08}"), arm.to_owned()],
            None => vec![located.stem.clone()],
        };
        parts.push(if ny == 0 { format!("{nx}") } else { format!("{nx}x{ny}") });
        let unusual = [
            (self.plane == PlaneKind::Pca, "pca".to_owned()),
            (self.path && self.plane != PlaneKind::Pca, "path".to_owned()),
            (self.to.is_some(), format!("line{}", self.to.as_deref().map_or(String::new(), tail))),
            (self.norm != DirectionNorm::Filter, format!("norm-{}", word(&self.norm))),
            (self.ignore == IgnoreParams::None, "all".to_owned()),
            (self.bn == NormStatistics::Batch, "bn-batch".to_owned()),
            (self.precision == Precision::Bf16, "bf16".to_owned()),
            (self.test, TEST.to_owned()),
            (self.adaptive, "adaptive".to_owned()),
        ];
        let span = |name: &str, span: Option<Span>, usual: Span| {
            let other = span.filter(|s| (s.min, s.max) != (usual.min, usual.max))?;
            Some(format!("{name}{}to{}", other.min, other.max))
        };
        let usual = if self.to.is_some() { Span::LINE } else { Span::REFERENCE };
        parts.extend(span("x", self.x, usual));
        if let Rows::Given(rows) = self.y {
            parts.extend(span("y", Some(rows), Span::REFERENCE));
        }
        match self.images {
            ImageCount::All => parts.push("all-images".to_owned()),
            ImageCount::Count(USUAL_IMAGES) => {}
            ImageCount::Count(n) => parts.push(format!("{n}-images")),
        }
        parts.extend(unusual.into_iter().filter(|(is, _)| *is).map(|(_, text)| text));
        if let Some(seed) = self.seed {
            parts.push(format!("seed{seed}"));
        }
        parts.join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(checkpoint: &Path) -> Request {
        Request { y: Rows::Fitting, ..Request::of(checkpoint) }
    }

    #[test]
    fn files_are_named_for_what_they_hold() {
        let located = Located {
            file: PathBuf::from("r/step-00000200/skip.safetensors"),
            run: Some(PathBuf::from("r")),
            step: Some(200),
            stem: "skip".to_owned(),
        };
        let usual = request(&located.file);
        assert_eq!(
            usual.file(&located, "skip", (51, 51)),
            Path::new("r/surfaces/00000200-skip-51x51.h5")
        );
        let shard = Some(Shard { index: 2, of: 4 });
        let other = Request { test: true, adaptive: true, seed: Some(3), shard, ..usual.clone() };
        assert_eq!(
            other.file(&located, "skip", (51, 0)),
            Path::new("r/surfaces/00000200-skip-51-test-adaptive-seed3.shard-2-of-4.h5")
        );
        let outside = Located { run: None, step: None, stem: "resnet".to_owned(), ..located };
        assert_eq!(usual.file(&outside, "skip", (5, 5)), Path::new("resnet-5x5.h5"));
        let given = Request { out: Some("a/b.npz".into()), shard, ..usual };
        assert_eq!(given.file(&outside, "skip", (5, 5)), Path::new("a/b.shard-2-of-4.h5"));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let usual = request(Path::new("c"));
        usual.check().unwrap();
        let shard = Some(Shard { index: 1, of: 2 });
        let told = Request { adaptive: true, shard, ..usual.clone() }.check().unwrap_err();
        assert!(told.to_string().contains("--adaptive with --shard"), "{told}");
        let told = Request { out: Some("x.csv".into()), ..usual.clone() }.check().unwrap_err();
        assert!(told.to_string().starts_with("--out x.csv: expected"), "{told}");
        let to = Some(PathBuf::from("d"));
        assert!(Request { to, plane: PlaneKind::Pca, ..usual }.check().is_err());
    }
}
