//! CIFAR-10 and CIFAR-100 in the official binary layout: per image its label bytes, then 3,072 bytes, channels R, G, B,
//! each 32x32 row-major.

use std::fs;
use std::path::{Path, PathBuf};

use super::split::{Normalisation, Pixels, enough};
use super::{DataError, ImageShape, Raw};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
const IMAGE_BYTES: usize = 3 * 32 * 32;

/// One layout of the two.
struct Layout {
    name: &'static str,
    /// Folder that the official archive unpacks to.
    folder: &'static str,
    train: &'static [&'static str],
    test: &'static str,
    /// Bytes before the pixels; the last one is the label that is learnt.
    label_bytes: usize,
    classes: i64,
    mean: [f32; 3],
    std: [f32; 3],
}

const CIFAR10: Layout = Layout {
    name: "cifar10",
    folder: "cifar-10-batches-bin",
    train: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test: "test_batch.bin",
    label_bytes: 1,
    classes: 10,
    // method.md 19
    mean: [125.3, 123.0, 113.9],
    std: [63.0, 62.1, 66.7],
};

const CIFAR100: Layout = Layout {
    name: "cifar100",
    folder: "cifar-100-binary",
    train: &["train.bin"],
    test: "test.bin",
    // Coarse label, fine label.
    label_bytes: 2,
    classes: 100,
    // Over the official training set, of 255.
    mean: [129.3, 124.1, 112.4],
    std: [68.2, 65.4, 70.4],
};

pub(super) fn read_cifar10(dir: &Path) -> Result<Raw, DataError> {
    read(dir, &CIFAR10)
}

pub(super) fn read_cifar100(dir: &Path) -> Result<Raw, DataError> {
    read(dir, &CIFAR100)
}

fn read(dir: &Path, layout: &Layout) -> Result<Raw, DataError> {
    let inner = dir.join(layout.folder);
    let dir = if inner.is_dir() { inner } else { dir.to_owned() };
    let part = |files: &[&str]| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            read_file(&dir.join(file), layout, &mut pixels, &mut labels)?;
        }
        Ok::<_, DataError>(Pixels::new(&pixels, &labels, SHAPE)?)
    };
    Ok(Raw {
        name: layout.name,
        classes: layout.classes,
        train: enough("train", part(layout.train)?)?,
        test: enough("test", part(&[layout.test])?)?,
        normalisation: Some(Normalisation { mean: layout.mean.to_vec(), std: layout.std.to_vec() }),
        may_flip: true,
    })
}

fn read_file(
    path: &PathBuf,
    layout: &Layout,
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u8>,
) -> Result<(), DataError> {
    let record = layout.label_bytes + IMAGE_BYTES;
    let bytes = fs::read(path).map_err(|source| DataError::Unreadable {
        path: path.clone(),
        source,
        hint: format!(
            "{}'s binary files {} and {}",
            layout.name,
            layout.train.join(", "),
            layout.test
        ),
    })?;
    if bytes.is_empty() || bytes.len() % record != 0 {
        let expected = format!("a multiple of {record}, the bytes of an image with its label");
        return Err(DataError::Length { path: path.clone(), found: bytes.len() as u64, expected });
    }
    for (index, image) in bytes.chunks_exact(record).enumerate() {
        let (head, body) = image.split_at(layout.label_bytes);
        let label = head[layout.label_bytes - 1];
        if i64::from(label) >= layout.classes {
            return Err(DataError::Label {
                path: path.clone(),
                index,
                label,
                classes: layout.classes,
            });
        }
        labels.push(label);
        pixels.extend_from_slice(body);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A folder with `images` images in each file; the pixel at (channel, row, column) of image i is a known value.
    fn folder(layout: &Layout, images: usize) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in layout.train.iter().chain([&layout.test]) {
            let mut bytes = Vec::new();
            for i in 0..images {
                bytes.extend(std::iter::repeat_n(9, layout.label_bytes - 1));
                bytes.push(i as u8 % 10);
                bytes.extend(
                    (0..IMAGE_BYTES)
                        .map(|p| (i + p / 1024 * 100 + p % 1024 / 32 + p % 32 * 2) as u8),
                );
            }
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn channel_row_and_column_are_where_they_belong() {
        for layout in [&CIFAR10, &CIFAR100] {
            let raw = read(folder(layout, 3).path(), layout).unwrap();
            assert_eq!((raw.train.len(), raw.test.len()), (3 * layout.train.len(), 3));
            assert_eq!(raw.train.images.int64_value(&[1, 2, 5, 7]), 1 + 200 + 5 + 14);
            assert_eq!(raw.train.labels.int64_value(&[2]), 2);
        }
    }

    #[test]
    fn the_folder_of_the_official_archive_is_found_inside() {
        let outer = tempfile::tempdir().unwrap();
        let inner = folder(&CIFAR10, 2);
        fs::rename(inner.path(), outer.path().join(CIFAR10.folder)).unwrap();
        assert_eq!(read_cifar10(outer.path()).unwrap().test.len(), 2);
    }

    #[test]
    fn refusals_name_the_file_and_what_is_wrong() {
        let dir = folder(&CIFAR10, 2);
        let said = || read_cifar10(dir.path()).err().unwrap().to_string();
        let third = dir.path().join("data_batch_3.bin");
        let whole = fs::read(&third).unwrap();
        fs::write(&third, &whole[..whole.len() - 1]).unwrap();
        assert!(
            said().contains("data_batch_3.bin: 6145 bytes; expected a multiple of 3073"),
            "{}",
            said()
        );
        let mut wrong = whole.clone();
        wrong[3073] = 10;
        fs::write(&third, wrong).unwrap();
        assert!(
            said().contains("data_batch_3.bin: image 1 has label 10; expected 0 to 9"),
            "{}",
            said()
        );
        fs::write(&third, []).unwrap();
        assert!(said().contains("data_batch_3.bin: 0 bytes"), "{}", said());
        fs::remove_file(&third).unwrap();
        assert!(
            said().contains("data_batch_3.bin: No such file") && said().contains("test_batch.bin"),
            "{}",
            said()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..7000), whole in any::<bool>()) {
            let dir = folder(&CIFAR10, 2);
            let keep = if whole { bytes.len() / 3073 * 3073 } else { bytes.len() };
            fs::write(dir.path().join("test_batch.bin"), &bytes[..keep]).unwrap();
            if let Ok(raw) = read_cifar10(dir.path()) {
                prop_assert!(raw.test.len() * 3073 == keep);
            }
        }
    }
}
