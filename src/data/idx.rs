//! MNIST-style IDX files, plain or gzipped: a big-endian head (two zero bytes, type 8 = unsigned byte, number of
//! dimensions, the dimensions), then the bytes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::split::{Pixels, enough};
use super::{DataError, ImageShape, Raw};

const CLASSES: i64 = 10;
/// Largest payload accepted: ten times MNIST's training images. What a head claims beyond that is not allocated.
const MAX_BYTES: u64 = 10 * 60_000 * 28 * 28;

pub(super) fn read(dir: &Path, name: &'static str) -> Result<Raw, DataError> {
    let part = |split: &'static str, prefix: &str| {
        let images = find(dir, &format!("{prefix}-images"), 3)?;
        let labels = find(dir, &format!("{prefix}-labels"), 1)?;
        enough(split, pair(&images, &labels)?)
    };
    Ok(Raw {
        name,
        classes: CLASSES,
        train: part("train", "train")?,
        test: part("test", "t10k")?,
        normalisation: None,
        // Mirrored digits are no digits; mirrored clothes would be, but the published results do not mirror them.
        may_flip: false,
    })
}

/// The file under one of the names it is known by.
fn find(dir: &Path, stem: &str, dims: u8) -> Result<PathBuf, DataError> {
    let names = ["-", "."].map(|dot| format!("{stem}{dot}idx{dims}-ubyte"));
    let all = names.iter().flat_map(|n| [n.clone(), format!("{n}.gz")]);
    let found = all.map(|n| dir.join(n)).find(|p| p.is_file());
    found.ok_or_else(|| DataError::Unreadable {
        path: dir.join(&names[0]),
        source: io::Error::new(io::ErrorKind::NotFound, "no such file"),
        hint: format!("{0} or {0}.gz", names[0]),
    })
}

fn pair(images: &Path, labels: &Path) -> Result<Pixels, DataError> {
    let ([n, height, width], pixels) = read_file::<3>(images)?;
    let ([count], classes) = read_file::<1>(labels)?;
    if count != n {
        return Err(DataError::Count {
            path: labels.to_owned(),
            labels: count as usize,
            images: n as usize,
        });
    }
    if let Some(index) = classes.iter().position(|l| i64::from(*l) >= CLASSES) {
        let label = classes[index];
        return Err(DataError::Label { path: labels.to_owned(), index, label, classes: CLASSES });
    }
    let shape = ImageShape { channels: 1, height: i64::from(height), width: i64::from(width) };
    Ok(Pixels::new(&pixels, &classes, shape)?)
}

/// Dimensions and bytes of an IDX file of unsigned bytes with `N` dimensions.
fn read_file<const N: usize>(path: &Path) -> Result<([u32; N], Vec<u8>), DataError> {
    let failed = |source: io::Error| DataError::Unreadable {
        path: path.to_owned(),
        source,
        hint: "an IDX file of unsigned bytes, plain or gzipped".to_owned(),
    };
    let file = File::open(path).map_err(failed)?;
    let zipped = path.extension().is_some_and(|e| e == "gz");
    let mut reader: Box<dyn Read> = if zipped {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(io::BufReader::new(file))
    };
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(failed)?;
    if magic != [0, 0, 8, N as u8] {
        let expected = format!("{:?}, unsigned bytes in {N} dimensions", [0, 0, 8, N]);
        return Err(DataError::Format {
            path: path.to_owned(),
            found: format!("begins with {magic:?}"),
            expected,
        });
    }
    let mut dims = [0; N];
    for dim in &mut dims {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(failed)?;
        *dim = u32::from_be_bytes(word);
    }
    let claimed = dims.iter().try_fold(1u64, |product, d| product.checked_mul(u64::from(*d)));
    let Some(wanted) = claimed.filter(|n| *n <= MAX_BYTES && dims.iter().all(|d| *d > 0)) else {
        let expected = format!("1 to {MAX_BYTES} bytes in all");
        return Err(DataError::Format {
            path: path.to_owned(),
            found: format!("dimensions {dims:?}"),
            expected,
        });
    };
    let mut bytes = Vec::new();
    // One more than wanted, to see a file that is too long; memory grows with what is there, not with what is claimed.
    reader.take(wanted + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 != wanted {
        let expected = format!("{wanted} after the head {dims:?}");
        return Err(DataError::Length {
            path: path.to_owned(),
            found: bytes.len() as u64,
            expected,
        });
    }
    Ok((dims, bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn idx(dims: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dims.len() as u8];
        dims.iter().for_each(|d| file.extend(d.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Two images of 2x3 in each part, the training part gzipped.
    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let images = idx(&[2, 2, 3], &(0..12).collect::<Vec<u8>>());
        let labels = idx(&[2], &[7, 3]);
        for (name, bytes) in [
            ("train-images-idx3-ubyte.gz", gz(&images)),
            ("train-labels-idx1-ubyte.gz", gz(&labels)),
            ("t10k-images.idx3-ubyte", images),
            ("t10k-labels-idx1-ubyte", labels),
        ] {
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    #[test]
    fn plain_and_gzipped_files_hold_rows_then_columns() {
        let raw = read(folder().path(), "mnist").unwrap();
        for part in [&raw.train, &raw.test] {
            assert_eq!(part.images.size(), [2, 1, 2, 3]);
            assert_eq!(part.images.int64_value(&[1, 0, 1, 0]), 9);
            assert_eq!(Vec::<i64>::try_from(&part.labels).unwrap(), [7, 3]);
        }
    }

    #[test]
    fn refusals_name_the_file_and_what_is_wrong() {
        let cases: [(&str, Vec<u8>, &str); 8] = [
            (
                "t10k-images.idx3-ubyte",
                idx(&[2, 2, 3], &[0; 11]),
                "t10k-images.idx3-ubyte: 11 bytes; expected 12",
            ),
            (
                "t10k-images.idx3-ubyte",
                idx(&[2, 2, 3], &[0; 13]),
                "13 bytes; expected 12 after the head [2, 2, 3]",
            ),
            (
                "t10k-images.idx3-ubyte",
                idx(&[2, 6], &[0; 12]),
                "begins with [0, 0, 8, 2]; expected [0, 0, 8, 3]",
            ),
            ("t10k-images.idx3-ubyte", idx(&[u32::MAX; 3], &[]), "dimensions [4294967295"),
            ("t10k-images.idx3-ubyte", vec![0, 0], "failed to fill whole buffer"),
            ("t10k-labels-idx1-ubyte", idx(&[3], &[1, 2, 3]), "3 labels for 2 images"),
            (
                "t10k-labels-idx1-ubyte",
                idx(&[2], &[1, 10]),
                "image 1 has label 10; expected 0 to 9",
            ),
            (
                "train-images-idx3-ubyte.gz",
                b"this is no gzip file".to_vec(),
                "train-images-idx3-ubyte.gz: invalid gzip header",
            ),
        ];
        for (name, bytes, wanted) in cases {
            let dir = folder();
            fs::write(dir.path().join(name), bytes).unwrap();
            let said = read(dir.path(), "mnist").err().unwrap().to_string();
            assert!(said.contains(wanted), "{said:?}, wanted {wanted:?}");
        }
        let dir = folder();
        fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte")).unwrap();
        let said = read(dir.path(), "mnist").err().unwrap().to_string();
        assert!(
            said.contains("expected t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz"),
            "{said}"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64), head in any::<bool>(), zipped in any::<bool>()) {
            let dir = folder();
            let file = if head { idx(&[2, 2, 3], &bytes) } else { bytes };
            let (name, file) = if zipped { ("train-images-idx3-ubyte.gz", gz(&file)) } else { ("t10k-images.idx3-ubyte", file) };
            fs::write(dir.path().join(name), file).unwrap();
            let _ = read(dir.path(), "mnist");
        }
    }
}
