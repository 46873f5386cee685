//! The names in a pickle: what it would have Python import. Nothing is imported here, but a file that asks for it is no
//! state dict, and is refused before it is read.

use std::collections::HashMap;

use super::line;

/// What a pickle names, or why that cannot be told.
pub fn names(pickle: &[u8]) -> Result<Vec<String>, String> {
    let mut walk = Walk { rest: pickle, texts: Vec::new(), memo: HashMap::new() };
    let mut found = Vec::new();
    while let Some(name) = walk.next()? {
        found.push(name);
    }
    Ok(found)
}

/// Whether `name` is of a tensor's making or of a plain value: what `torch.load(weights_only=True)` knows of them.
pub fn is_plain(name: &str) -> bool {
    let Some((module, name)) = name.rsplit_once('.') else { return false };
    match module {
        "torch" => {
            name.strip_suffix("Storage").is_some_and(|n| KINDS.contains(&n)) || is_torch(name)
        }
        "torch.storage" => matches!(name, "UntypedStorage" | "TypedStorage"),
        "torch._utils" => matches!(
            name,
            "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" | "_rebuild_parameter"
        ),
        "collections" => name == "OrderedDict",
        "builtins" | "__builtin__" => matches!(name, "set" | "frozenset" | "bytearray"),
        // As Python 2's protocols write bytes.
        "_codecs" => name == "encode",
        _ => false,
    }
}

/// Storages of numbers.
const KINDS: [&str; 10] =
    ["Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool"];

fn is_torch(name: &str) -> bool {
    let (letters, digits) =
        name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()));
    let numbers = matches!(letters, "float" | "bfloat" | "int" | "uint")
        && matches!(digits, "8" | "16" | "32" | "64");
    numbers || matches!(name, "bool" | "Size" | "device")
}

/// A walk over a pickle's steps. It keeps no stack: a name is given by the two texts that were pushed last, and one that
/// is put together otherwise is refused.
struct Walk<'a> {
    rest: &'a [u8],
    /// Texts pushed since something else was.
    texts: Vec<&'a [u8]>,
    /// What was kept to be pushed again; none for what is no text.
    memo: HashMap<u32, Option<&'a [u8]>>,
}

impl<'a> Walk<'a> {
    /// The next name; none at the end.
    fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            match self.byte()? {
                b'.' => return Ok(None),
                b'c' => {
                    let (module, name) = (self.row()?, self.row()?);
                    self.texts.clear();
                    return Ok(Some(joined(module, name)));
                }
                0x93 => {
                    let [.., module, name] = self.texts[..] else {
                        return Err("names something in a way that cannot be followed".to_owned());
                    };
                    self.texts.clear();
                    return Ok(Some(joined(module, name)));
                }
                // Text.
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                // Keep what was pushed last, and push it again.
                b'q' => self.keep(1)?,
                b'r' => self.keep(4)?,
                0x94 => {
                    let next = self.memo.len() as u32;
                    self.memo.insert(next, self.texts.last().copied());
                }
                b'h' => self.again(1)?,
                b'j' => self.again(4)?,
                other => {
                    self.texts.clear();
                    self.pass(other)?;
                }
            }
        }
    }

    /// Goes past what belongs to a step that pushes no text.
    fn pass(&mut self, step: u8) -> Result<(), String> {
        match step {
            b'(' | b'0' | b'1' | b'2' | b'N' | b'R' | b'b' | b'd' | b'l' | b't' | b's' | b'a' => {}
            b')' | b']' | b'}' | b'e' | b'u' | b'Q' | 0x81 | 0x85..=0x89 | 0x8f..=0x92 => {}
            b'K' | 0x80 => drop(self.bytes(1)?),
            b'M' => drop(self.bytes(2)?),
            b'J' => drop(self.bytes(4)?),
            b'G' | 0x95 => drop(self.bytes(8)?),
            b'U' | b'C' | 0x8a => drop(self.counted(1)?),
            b'T' | b'B' | 0x8b => drop(self.counted(4)?),
            0x8e | 0x96 => drop(self.counted(8)?),
            b'I' | b'L' | b'F' => drop(self.row()?),
            _ => return Err(format!("has a pickle with the step 0x{step:02x}, which is not read")),
        }
        Ok(())
    }

    fn text(&mut self, digits: usize) -> Result<(), String> {
        let text = self.counted(digits)?;
        self.texts.push(text);
        Ok(())
    }

    fn keep(&mut self, digits: usize) -> Result<(), String> {
        let place = self.number(digits)? as u32;
        self.memo.insert(place, self.texts.last().copied());
        Ok(())
    }

    fn again(&mut self, digits: usize) -> Result<(), String> {
        let place = self.number(digits)? as u32;
        match self.memo.get(&place).copied().flatten() {
            Some(text) => self.texts.push(text),
            None => self.texts.clear(),
        }
        Ok(())
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or("has a pickle that is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.bytes(1)?[0])
    }

    /// A number of so many bytes, the lowest first.
    fn number(&mut self, digits: usize) -> Result<u64, String> {
        Ok(self.bytes(digits)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn counted(&mut self, digits: usize) -> Result<&'a [u8], String> {
        let count = self.number(digits)?;
        self.bytes(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// What goes to the end of the line.
    fn row(&mut self) -> Result<&'a [u8], String> {
        let end = self.rest.iter().position(|b| *b == b'\n').unwrap_or(self.rest.len());
        let row = self.bytes(end)?;
        self.bytes(1)?;
        Ok(row.strip_suffix(b"\r").unwrap_or(row))
    }
}

fn joined(module: &[u8], name: &[u8]) -> String {
    let text = |bytes| line(String::from_utf8_lossy(bytes));
    format!("{}.{}", text(module), text(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_protocol() {
        // pickle.dumps(collections.OrderedDict, 2), and protocol 4.
        assert_eq!(
            names(b"\x80\x02ccollections\nOrderedDict\nq\0.").unwrap(),
            ["collections.OrderedDict"]
        );
        let four = b"\x80\x04\x95\0\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93.";
        assert_eq!(names(four).unwrap(), ["posix.system"]);
        // The same texts fetched again.
        let again = b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x94NNh\0h\x01\x93.";
        assert_eq!(names(again).unwrap(), ["posix.system"]);
    }

    #[test]
    fn a_name_that_is_hidden_is_refused() {
        // posix.system lies below two harmless texts that are thrown away.
        let below =
            b"\x80\x04\x8c\x05posix\x8c\x06system\x8c\x0bcollections\x8c\x0bOrderedDict00\x93.";
        assert!(names(below).unwrap_err().contains("cannot be followed"));
        for cut in 0..below.len() {
            assert!(names(&below[..cut]).is_err());
        }
        // Extension codes, instances of old classes, other persistent ids.
        for step in [b"\x82\x01.".as_slice(), b"(iposix\nsystem\n.", b"Pposix\n.", b"(o."] {
            assert!(names(step).is_err(), "{step:?}");
        }
    }

    #[test]
    fn what_torch_load_knows_of_weights_is_plain() {
        for name in ["torch.FloatStorage", "torch.bfloat16", "torch._utils._rebuild_tensor_v2"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "posix.system",
            "torch.load",
            "torch.hub.load",
            "builtins.eval",
            "torch.int7",
            "x",
            "torch.FooStorage",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
