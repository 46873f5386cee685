//! Files of torch.save, put together by hand: a zip of a pickle and of storages, nothing packed.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Numbers that tensors look at.
#[derive(Clone)]
pub struct Storage {
    /// As torch calls it: `Float`, `Half`, `Long` and so on.
    pub kind: &'static str,
    /// Numbers, as the pickle says.
    pub count: i64,
    /// The numbers, little-endian.
    pub bytes: Vec<u8>,
}

/// A tensor: a look at a storage.
#[derive(Clone)]
pub struct View {
    /// Its name.
    pub name: String,
    /// Which storage.
    pub storage: usize,
    /// Its first number there.
    pub offset: i64,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Numbers from one entry to the next, by dimension.
    pub stride: Vec<i64>,
}

/// Steps from entry to entry of what lies row by row.
pub fn row_by_row(shape: &[i64]) -> Vec<i64> {
    (1..=shape.len()).map(|i| shape[i..].iter().product()).collect()
}

/// A text as a pickle pushes it.
pub fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn number(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

fn tuple(items: &[i64]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|i| number(*i)).collect();
    [b"(", &items[..], b"t"].concat()
}

/// A dict as a pickle pushes it: names, and what pushes their values.
pub fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(key, value)| [text(key), value.clone()].concat()).collect();
    [b"}(", &entries[..], b"u"].concat()
}

/// A tensor as a pickle pushes it.
pub fn tensor(storages: &[Storage], view: &View) -> Vec<u8> {
    let Storage { kind, count, .. } = &storages[view.storage];
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        format!("ctorch\n{kind}Storage\n").into_bytes(),
        text(&view.storage.to_string()),
        text("cpu"),
        number(*count),
        b"tQ".to_vec(),
        number(view.offset),
        tuple(&view.shape),
        tuple(&view.stride),
        b"\x89ccollections\nOrderedDict\n)RtR".to_vec(),
    ]
    .concat()
}

/// A state dict as a pickle pushes it.
pub fn state_dict(storages: &[Storage], views: &[View]) -> Vec<u8> {
    let entries = views.iter().map(|view| (&view.name[..], tensor(storages, view)));
    dict(&entries.collect::<Vec<_>>())
}

/// A file with what `pushed` pushes.
pub fn file(storages: &[Storage], pushed: &[u8]) -> Vec<u8> {
    let pickle = [b"\x80\x02", pushed, b"."].concat();
    let mut entries =
        vec![("data.pkl".to_owned(), pickle), ("byteorder".to_owned(), b"little".to_vec())];
    let numbers = storages.iter().enumerate();
    entries.extend(numbers.map(|(i, storage)| (format!("data/{i}"), storage.bytes.clone())));
    entries.push(("version".to_owned(), b"3\n".to_vec()));
    zipped(&entries)
}

/// A zip with these entries, nothing packed.
pub fn zipped(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
