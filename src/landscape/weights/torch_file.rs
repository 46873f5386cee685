//! Files of torch.save: a zip of a pickle, which says of what shape each tensor is and where its numbers lie, and of the
//! numbers. The pickle is looked through for names first; what is left is read as tensors and plain values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use super::pickle::{is_plain, names};
use super::{Refusal, line};
use crate::model::{Entry, Plan, Translated, shown, translate};

/// The pickle in the zip.
const PICKLE: &str = "data.pkl";
/// Largest pickle that is read: of some 20,000 tensors.
const MOST_PICKLE: u64 = 4 << 20;
/// What a pickle of a whole module has, and one of a state dict has not.
const MODULE: &[u8] = b"_parameters";
/// How a tensor among plain values is called.
const TENSOR: &str = "torch.Tensor";

/// Names and values, as a pickle holds them.
type Dict = HashMap<String, PickleValue>;

/// The weights of `plan` in the file.
pub fn read(file: &Path, plan: &Plan) -> Result<Translated, Refusal> {
    look_through(file)?;
    let failed = |e| Refusal::Other(format!("no whole file of torch.save: {}", line(e)));
    let root = PytorchReader::read_pickle_data(file, None).map_err(failed)?;
    let key = key_of(&root, plan)?;
    let reader = match &key {
        None => PytorchReader::new(file),
        Some(key) => PytorchReader::with_top_level_key(file, key),
    };
    let entries: Vec<Entry<'_>> =
        reader.map_err(failed)?.into_tensors().into_values().map(entry).collect();
    let mut found = translate(plan, entries)?;
    if let Some(key) = key {
        found.told.insert(0, format!("the dict under `{}`", shown(&key)));
    }
    Ok(found)
}

/// Refuses a zip that torch.save does not write, and a pickle that names what is no tensor and no plain value.
fn look_through(file: &Path) -> Result<(), Refusal> {
    let other = |text: String| Err(Refusal::Other(text));
    let broken = |e: zip::result::ZipError| {
        Refusal::Other(format!("no whole zip of torch.save: {}", line(e)))
    };
    let mut zip = ZipArchive::new(BufReader::new(File::open(file)?)).map_err(broken)?;
    let mut pickles = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        // Nothing to unpack: no file grows beyond its own size.
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            let name = shown(&name);
            return other(format!(
                "`{name}` in the zip is packed; expected none that is, as torch.save writes them"
            ));
        }
        if name.rsplit('/').next() == Some(PICKLE) {
            pickles.push((index, entry.size()));
        }
    }
    let (index, size) = match pickles[..] {
        [one] => one,
        _ => {
            let count = pickles.len();
            return other(format!("is a zip with {count} {PICKLE}; one of torch.save has one"));
        }
    };
    if size > MOST_PICKLE {
        return other(format!("{PICKLE} has {size} bytes; expected at most {MOST_PICKLE}"));
    }
    let mut pickle = Vec::new();
    let entry = zip.by_index(index).map_err(broken)?;
    entry.take(MOST_PICKLE + 1).read_to_end(&mut pickle)?;
    let named = names(&pickle).map_err(Refusal::Other)?;
    let Some(code) = named.iter().find(|name| !is_plain(name)) else { return Ok(()) };
    if pickle.windows(MODULE.len()).any(|bytes| bytes == MODULE) {
        return other(format!(
            "is a whole module (`{code}`), whose code would have to run; save its state dict: \
             torch.save(model.state_dict(), FILE)"
        ));
    }
    other(format!("names `{code}`, and nothing but tensors and plain values is read"))
}

/// Under which key the state dict of `plan` lies; none if it is the whole.
fn key_of(root: &PickleValue, plan: &Plan) -> Result<Option<String>, Refusal> {
    let other = |text: String| Err(Refusal::Other(text));
    let PickleValue::Dict(whole) = root else {
        return other("holds no dict; expected a state dict".to_owned());
    };
    let (key, dict) = match whole.values().any(is_tensor) {
        true => (None, whole),
        false => wrapped(whole, plan).map(|(key, dict)| (Some(key.to_owned()), dict))?,
    };
    // Its tensors would be called by joined names, which others may have.
    let deep = |(name, value)| (!is_tensor(value) && has_tensors(value)).then_some(name);
    match dict.iter().filter_map(deep).min() {
        None => Ok(key),
        Some(name) => other(format!(
            "`{}` holds tensors of its own beside others; expected a state dict",
            shown(name)
        )),
    }
}

/// The state dict of `plan` among what else was saved with it, and its key.
fn wrapped<'a>(whole: &'a Dict, plan: &Plan) -> Result<(&'a str, &'a Dict), Refusal> {
    let dict = |(key, value): (&'a String, &'a PickleValue)| match value {
        PickleValue::Dict(dict) if dict.values().any(is_tensor) => Some((&key[..], dict)),
        _ => None,
    };
    let mut found: Vec<(&str, &Dict)> = whole.iter().filter_map(dict).collect();
    found.sort_by_key(|(key, _)| *key);
    // Beside the network there may be others, such as what a loss learns.
    let first = plan.params.first().map_or("", |p| &p.name);
    let fits = |(_, dict): &(&str, &Dict)| dict.keys().any(|name| name.ends_with(first));
    if found.iter().any(fits) {
        found.retain(fits);
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Refusal::Other("holds no state dict: no tensor by its name".to_owned())),
        _ => {
            let all: Vec<String> = found.iter().map(|(k, _)| format!("`{}`", shown(k))).collect();
            let all = all.join(", ");
            Err(Refusal::Other(format!(
                "holds several state dicts: {all}; save the one that is meant"
            )))
        }
    }
}

fn is_tensor(value: &PickleValue) -> bool {
    matches!(value, PickleValue::Unsupported(name) if name == TENSOR)
}

fn has_tensors(value: &PickleValue) -> bool {
    match value {
        PickleValue::Dict(dict) => dict.values().any(has_tensors),
        PickleValue::List(list) => list.iter().any(has_tensors),
        value => is_tensor(value),
    }
}

fn entry(tensor: Tensor) -> Entry<'static> {
    let dtype = match tensor.dtype() {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    };
    let shape = tensor.shape().to_vec();
    let name = tensor.name.clone();
    Entry { name, dtype, shape, bytes: Box::new(move || tensor.read().map(Cow::Owned)) }
}
