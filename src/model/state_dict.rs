//! State dicts as people have them: of a compiled or parallel module, in half or double precision, by torchvision's
//! names, without what older PyTorch does not count. What is read otherwise than it stands is told; what could be read
//! in two ways is refused.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;

use half::{bf16, f16};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tch::{Device, Tensor};

use super::network::Weights;
use super::plan::Plan;
use super::state::{COUNT, StateError};

/// What wrappers of a module put before every name: `torch.compile` and `DataParallel`.
const PREFIXES: [&str; 2] = ["_orig_mod.", "module."];
/// torchvision's names, and what they are called here.
const RENAMED: [(&str, &str); 2] = [("downsample", "shortcut"), ("fc", "linear")];
/// Tensors told of by name where many hold values that are not finite.
const MOST_TOLD: usize = 6;
/// Names that are told as near to a missing one.
const MOST_NEAR: usize = 2;
/// Likeness, 1 for the same, from which a name is near to another.
const NEAR: f64 = 0.6;
/// Bytes of a name, and names, that are looked at for likeness: what is beyond was made to keep us busy.
const LONGEST: usize = 200;
const MOST_NAMES: usize = 10_000;

/// How a tensor's bytes are had: little-endian, row by row.
pub type ReadBytes<'a> = Box<dyn Fn() -> io::Result<Cow<'a, [u8]>> + 'a>;

/// A tensor of a state dict, its numbers not read yet.
pub struct Entry<'a> {
    /// Its name there.
    pub name: String,
    /// What its numbers are.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers.
    pub bytes: ReadBytes<'a>,
}

/// What a state dict amounts to.
pub struct Translated {
    /// The weights, on the CPU.
    pub weights: Weights,
    /// What was read otherwise than it stands, each in a few words.
    pub told: Vec<String>,
    /// Which tensors hold values that are not finite, and how many, in words; none if all are.
    pub not_finite: Option<String>,
}

/// The tensors of a safetensors file.
///
/// # Errors
/// When it is none, or cut short.
pub fn entries<'a>(bytes: &'a [u8]) -> Result<Vec<Entry<'a>>, StateError> {
    let file = SafeTensors::deserialize(bytes)?;
    let entry = |(name, view): (String, TensorView<'a>)| {
        let (dtype, shape, data) = (view.dtype(), view.shape().to_vec(), view.data());
        Entry { name, dtype, shape, bytes: Box::new(move || Ok(Cow::Borrowed(data))) }
    };
    Ok(file.tensors().into_iter().map(entry).collect())
}

/// Reads a state dict for `plan`: every tensor there, none besides, each of the right shape, by the network's own names
/// or by such as can mean one thing alone.
///
/// # Errors
/// Names the first tensor that does not fit.
pub fn translate<'a>(plan: &Plan, entries: Vec<Entry<'a>>) -> Result<Translated, StateError> {
    let mut names = Names::of(plan);
    let mut found: HashMap<String, Entry<'a>> = HashMap::new();
    let mut others = BTreeMap::new();
    // In order, so that the same file is refused for the same reason each time.
    let mut entries = entries;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for entry in entries {
        let Some(name) = names.meant(&entry.name) else {
            others.insert(entry.name.clone(), entry);
            continue;
        };
        if let Some(first) = found.get(&name) {
            let (first, second) = (shown(&first.name), shown(&entry.name));
            return Err(StateError::Ambiguous { name, first, second });
        }
        found.insert(name, entry);
    }
    let mut numbers = Numbers::default();
    let mut take = |name: &str, shape: &[i64]| match found.remove(name) {
        Some(entry) => numbers.read(name, &entry, shape),
        None => Err(StateError::Missing {
            name: name.to_owned(),
            nearest: nearest(name, others.keys().map(String::as_str)),
        }),
    };
    let mut row_major = Vec::with_capacity(plan.scalars().unsigned_abs() as usize);
    for p in &plan.params {
        row_major.extend(take(&p.name, &p.shape)?);
    }
    let mut running = [Vec::new(), Vec::new()];
    for n in &plan.norms {
        for (values, part) in running.iter_mut().zip(["running_mean", "running_var"]) {
            values.extend(take(&format!("{}.{part}", n.name), &[n.channels])?);
        }
    }
    let mut batches = None;
    let mut uncounted = false;
    for n in &plan.norms {
        match found.remove(&format!("{}.{COUNT}", n.name)) {
            Some(entry) => batches = Some(count(&entry)?),
            None => uncounted = true,
        }
    }
    if let Some(other) = others.into_keys().next() {
        return Err(StateError::Unexpected(shown(&other)));
    }
    let batches = batches.unwrap_or(0);
    let mut told = names.told();
    told.extend(numbers.told());
    if uncounted {
        told.push(format!("{COUNT} as {batches}"));
    }
    let theta = plan.pack(&row_major, Device::Cpu)?;
    let running = Tensor::f_from_slice(&running.concat())?;
    let weights = Weights { theta, running, batches };
    Ok(Translated { weights, told, not_finite: numbers.not_finite() })
}

/// A name of a file as it can be shown: on one line, no escape sequences, not endless.
pub fn shown(name: &str) -> String {
    let short: String = name.chars().take(LONGEST).collect();
    let more = if short.len() < name.len() { "..." } else { "" };
    let plain = |c| matches!(c, '\'' | '"' | '\\');
    let one = |c: char| if plain(c) { c.to_string() } else { c.escape_debug().to_string() };
    short.chars().map(one).collect::<String>() + more
}

/// The names that a network knows, and how others were understood.
struct Names {
    known: HashSet<String>,
    stripped: [bool; PREFIXES.len()],
    renamed: [bool; RENAMED.len()],
}

impl Names {
    fn of(plan: &Plan) -> Self {
        let mut known: HashSet<String> = plan.params.iter().map(|p| p.name.clone()).collect();
        for n in &plan.norms {
            let parts = ["running_mean", "running_var", COUNT];
            known.extend(parts.map(|part| format!("{}.{part}", n.name)));
        }
        Self { known, stripped: [false; _], renamed: [false; _] }
    }

    /// The network's name for what a file calls `name`.
    fn meant(&mut self, name: &str) -> Option<String> {
        if self.known.contains(name) {
            return Some(name.to_owned());
        }
        let (rest, stripped) = strip(name);
        let mut renamed = [false; RENAMED.len()];
        let own = rest.split('.').map(|word| {
            match RENAMED.iter().position(|(theirs, _)| *theirs == word) {
                Some(i) => {
                    renamed[i] = true;
                    RENAMED[i].1
                }
                None => word,
            }
        });
        let own = own.collect::<Vec<_>>().join(".");
        let meant = if self.known.contains(rest) {
            renamed = [false; _];
            rest.to_owned()
        } else if self.known.contains(&own) {
            own
        } else {
            return None;
        };
        self.stripped.iter_mut().zip(stripped).for_each(|(all, one)| *all |= one);
        self.renamed.iter_mut().zip(renamed).for_each(|(all, one)| *all |= one);
        Some(meant)
    }

    fn told(&self) -> Vec<String> {
        let gone: Vec<String> = PREFIXES
            .iter()
            .zip(self.stripped)
            .filter(|(_, is)| *is)
            .map(|(prefix, _)| format!("`{prefix}`"))
            .collect();
        let without = (!gone.is_empty()).then(|| format!("names without {}", gone.join(" and ")));
        let other = RENAMED.iter().zip(self.renamed).filter(|(_, is)| *is);
        let other = other.map(|((theirs, ours), _)| format!("`{theirs}` as `{ours}`"));
        without.into_iter().chain(other).collect()
    }
}

/// `name` without what wrappers put before it, in whatever order, and which of them did.
fn strip(name: &str) -> (&str, [bool; PREFIXES.len()]) {
    let (mut rest, mut stripped) = (name, [false; PREFIXES.len()]);
    while let Some((i, next)) =
        PREFIXES.iter().enumerate().find_map(|(i, p)| Some((i, rest.strip_prefix(p)?)))
    {
        (rest, stripped[i]) = (next, true);
    }
    (rest, stripped)
}

/// Those of `others` that are most like `name`.
fn nearest<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> Vec<String> {
    let usual = others.filter(|other| other.len() <= LONGEST).take(MOST_NAMES);
    let like = usual.map(|o| (strsim::normalized_damerau_levenshtein(name, strip(o).0), o));
    let mut like: Vec<_> = like.filter(|(likeness, _)| *likeness >= NEAR).collect();
    like.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    like.into_iter().take(MOST_NEAR).map(|(_, other)| shown(other)).collect()
}

/// What was seen of the numbers of tensors.
#[derive(Default)]
struct Numbers {
    converted: BTreeSet<&'static str>,
    bad: Vec<Bad>,
}

/// Values of a tensor that are not finite.
#[derive(Default)]
struct Bad {
    name: String,
    nan: usize,
    infinite: usize,
    beyond: usize,
    of: usize,
}

impl Numbers {
    fn read(
        &mut self,
        name: &str,
        entry: &Entry<'_>,
        shape: &[i64],
    ) -> Result<Vec<f32>, StateError> {
        let same = entry.shape.iter().map(|n| i64::try_from(*n).ok());
        if !same.eq(shape.iter().map(|n| Some(*n))) {
            return Err(entry.mismatch(format!("F32 {shape:?}")));
        }
        let (size, word) = match entry.dtype {
            Dtype::F32 => (4, None),
            Dtype::F64 => (8, Some("float64")),
            Dtype::F16 => (2, Some("float16")),
            Dtype::BF16 => (2, Some("bfloat16")),
            _ => return Err(entry.mismatch("F32, F64, F16 or BF16".to_owned())),
        };
        let of = shape.iter().product::<i64>().unsigned_abs() as usize;
        let bytes = (entry.bytes)().map_err(|e| StateError::Unreadable(shown(&e.to_string())))?;
        if bytes.len() != of * size {
            return Err(StateError::Unreadable(format!(
                "tensor `{}` has {} bytes; expected {}",
                shown(&entry.name),
                bytes.len(),
                of * size
            )));
        }
        self.converted.extend(word);
        let mut bad = Bad { name: name.to_owned(), of, ..Bad::default() };
        let double = |b: &[u8; 8], bad: &mut Bad| {
            let value = f64::from_le_bytes(*b);
            let single = value as f32;
            bad.beyond += usize::from(value.is_finite() && single.is_infinite());
            single
        };
        let values: Vec<f32> = match entry.dtype {
            Dtype::F64 => bytes.as_chunks().0.iter().map(|b| double(b, &mut bad)).collect(),
            Dtype::F16 => {
                bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
            }
            Dtype::BF16 => {
                bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
            }
            _ => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        bad.nan = values.iter().filter(|v| v.is_nan()).count();
        bad.infinite = values.iter().filter(|v| v.is_infinite()).count() - bad.beyond;
        if bad.nan + bad.infinite + bad.beyond > 0 {
            self.bad.push(bad);
        }
        Ok(values)
    }

    fn told(&self) -> impl Iterator<Item = String> {
        self.converted.iter().map(|word| format!("{word} as float32"))
    }

    fn not_finite(&self) -> Option<String> {
        let one = |bad: &Bad| {
            let kinds =
                [(bad.nan, "NaN"), (bad.infinite, "inf"), (bad.beyond, "too large for float32")];
            let kinds = kinds.into_iter().filter(|(n, _)| *n > 0);
            let kinds: Vec<String> = kinds.map(|(n, word)| format!("{n} {word}")).collect();
            format!("`{}` ({} of {})", bad.name, kinds.join(", "), bad.of)
        };
        let mut all: Vec<String> = self.bad.iter().take(MOST_TOLD).map(one).collect();
        let left = self.bad.len().saturating_sub(MOST_TOLD);
        if left > 0 {
            all.push(format!("and {left} tensors more"));
        }
        (!all.is_empty()).then(|| all.join(", "))
    }
}

impl Entry<'_> {
    fn mismatch(&self, wanted: String) -> StateError {
        let found = format!("{:?} {:?}", self.dtype, self.shape);
        StateError::Mismatch { name: shown(&self.name), found, wanted }
    }
}

/// Batches that a norm has seen.
fn count(entry: &Entry<'_>) -> Result<i64, StateError> {
    let wanted = || entry.mismatch("I64 scalar".to_owned());
    if entry.dtype != Dtype::I64 || entry.shape.iter().any(|n| *n != 1) {
        return Err(wanted());
    }
    let bytes = (entry.bytes)().map_err(|e| StateError::Unreadable(shown(&e.to_string())))?;
    Ok(i64::from_le_bytes(<[u8; 8]>::try_from(&bytes[..]).map_err(|_| wanted())?))
}
