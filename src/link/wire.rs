//! What goes over the socket: a hello each way, then changes of the snapshot one way and requests the other.
//!
//! Frames are a length of four bytes, high byte first, and so many bytes. The two hellos are JSON, so that programs of
//! different versions can tell each other so. After them a frame to a viewer is a postcard list of changes (see
//! [`super::parts`]) in one deflate stream that is flushed at each frame; a frame to the engine is a postcard [`Said`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};
use tokio_util::codec::LengthDelimitedCodec;

use super::Said;
use super::parts::{Change, Parts, Size, apply};

/// Version of what is told after the hellos; both sides must have the same.
pub const PROTOCOL: u32 = 3;
/// Largest frame that an engine takes: a hello or a command.
pub const MOST_TO_ENGINE: usize = 16 << 10;
/// Largest frame that a viewer takes: a whole snapshot at 4K, compressed.
pub const MOST_TO_VIEWER: usize = 4 << 20;
/// Most bytes that one frame may unpack to.
const MOST_UNPACKED: usize = 16 << 20;
/// Most bytes and parts that a viewer keeps.
const MOST_KEPT: (usize, usize) = (64 << 20, 200_000);

/// What a viewer says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its version, for people.
    pub landscope: String,
    /// Its protocol.
    pub protocol: u32,
    /// What it wants.
    pub wants: Wants,
}

/// What every hello begins with, whatever its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// For people.
    pub landscope: String,
    /// The protocol.
    pub protocol: u32,
}

impl Version {
    /// From a frame.
    ///
    /// # Errors
    /// When it is no hello of any version.
    pub fn from_frame(frame: &[u8]) -> Result<Self, WireError> {
        serde_json::from_slice(frame).map_err(WireError::NoHello)
    }
}

/// What a viewer wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wants {
    /// One [`Brief`], no more.
    Brief,
    /// The run, and to be told of changes until it leaves.
    View {
        /// How much it can show.
        size: Size,
        /// Whether it gives up commands.
        readonly: bool,
        /// Bytes a second that its line carries; missing for as many as there are.
        rate: Option<u32>,
    },
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The engine's version, for people.
    pub landscope: String,
    /// Its protocol.
    pub protocol: u32,
    /// Why the viewer is not served; missing if it is.
    pub refused: Option<String>,
    /// The run in a few words, if that was asked for.
    pub brief: Option<Brief>,
}

/// A run in a few words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// The run folder.
    pub folder: String,
    /// What the engine is doing, in a word.
    pub phase: String,
    /// Seconds since the start.
    pub elapsed_s: f64,
    /// Steps made.
    pub step: u64,
    /// Steps to make.
    pub steps: u64,
    /// The arms' names and newest losses; null before the first.
    pub losses: Vec<(String, Option<f64>)>,
    /// The device.
    pub device: String,
    /// Viewers that look.
    pub viewers: usize,
}

/// What is wrong with what came over the socket.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not a hello.
    #[error("what came first is no hello of landscope: {0}")]
    NoHello(serde_json::Error),
    /// Not deflate, or too much of it.
    #[error("a frame that cannot be unpacked")]
    NotPacked,
    /// Not a list of changes, or no request.
    #[error("a frame that cannot be read: {0}")]
    Unreadable(#[from] postcard::Error),
    /// More than a viewer keeps.
    #[error("more than {} MiB or {} parts of a snapshot", MOST_KEPT.0 >> 20, MOST_KEPT.1)]
    TooMuch,
}

/// Frames of at most `most` bytes.
pub fn frames(most: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(most).new_codec()
}

impl Hello {
    /// The hello of this version.
    pub fn new(wants: Wants) -> Self {
        Self { landscope: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL, wants }
    }

    /// As a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        // Plain data: there is nothing that JSON refuses.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a frame.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_frame(frame: &[u8]) -> Result<Self, WireError> {
        serde_json::from_slice(frame).map_err(WireError::NoHello)
    }
}

impl Welcome {
    /// The answer of this version.
    pub fn new(refused: Option<String>, brief: Option<Brief>) -> Self {
        let landscope = env!("CARGO_PKG_VERSION").to_owned();
        Self { landscope, protocol: PROTOCOL, refused, brief }
    }

    /// As a frame.
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a frame.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_frame(frame: &[u8]) -> Result<Self, WireError> {
        serde_json::from_slice(frame).map_err(WireError::NoHello)
    }
}

/// Why an engine of this version does not serve a viewer of that one; missing if it does.
pub fn refusal(viewer: &Version) -> Option<String> {
    let which = match viewer.protocol.cmp(&PROTOCOL) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Less => "newer",
        std::cmp::Ordering::Greater => "older",
    };
    Some(format!(
        "the engine is of a {which} landscope ({}, protocol {PROTOCOL}) than the viewer ({}, protocol {}); use the landscope that started the run",
        env!("CARGO_PKG_VERSION"),
        viewer.landscope,
        viewer.protocol
    ))
}

/// A request as a frame.
pub fn request(said: &Said) -> Vec<u8> {
    postcard::to_allocvec(said).unwrap_or_default()
}

/// A request from a frame.
///
/// # Errors
/// When it is none.
pub fn read_request(frame: &[u8]) -> Result<Said, WireError> {
    let (said, rest) = postcard::take_from_bytes(frame)?;
    if rest.is_empty() { Ok(said) } else { Err(postcard::Error::DeserializeBadEncoding.into()) }
}

/// Packs changes into one deflate stream.
#[derive(Debug)]
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Self {
        Self(Compress::new(Compression::default(), false))
    }
}

impl Packer {
    /// The next frame.
    ///
    /// # Errors
    /// Never with plain data.
    pub fn pack(&mut self, changes: &[Change]) -> Result<Vec<u8>, WireError> {
        let plain = postcard::to_allocvec(changes)?;
        let mut frame = Vec::with_capacity(plain.len() / 2 + 64);
        let before = self.0.total_in();
        loop {
            let read = (self.0.total_in() - before) as usize;
            frame.reserve(64);
            self.0
                .compress_vec(&plain[read..], &mut frame, FlushCompress::Sync)
                .map_err(|_| WireError::NotPacked)?;
            // Room that is left over says that the flush is complete.
            let read = (self.0.total_in() - before) as usize;
            if read == plain.len() && frame.len() < frame.capacity() {
                return Ok(frame);
            }
        }
    }
}

/// Unpacks what a [`Packer`] packed, and keeps all parts up to date.
#[derive(Debug)]
pub struct Unpacker {
    stream: Decompress,
    parts: Parts,
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { stream: Decompress::new(false), parts: Parts::new() }
    }
}

impl Unpacker {
    /// Takes the next frame; all parts there are after it.
    ///
    /// # Errors
    /// When it is none, or more than is accepted.
    pub fn take(&mut self, frame: &[u8]) -> Result<&Parts, WireError> {
        let plain = self.unpack(frame)?;
        let changes: Vec<Change> = postcard::from_bytes(&plain)?;
        apply(&mut self.parts, changes);
        let bytes: usize = self.parts.values().map(Vec::len).sum();
        if bytes > MOST_KEPT.0 || self.parts.len() > MOST_KEPT.1 {
            return Err(WireError::TooMuch);
        }
        Ok(&self.parts)
    }

    fn unpack(&mut self, frame: &[u8]) -> Result<Vec<u8>, WireError> {
        let mut plain = Vec::with_capacity(frame.len() * 3 + 64);
        let before = self.stream.total_in();
        loop {
            let read = (self.stream.total_in() - before) as usize;
            plain.reserve(plain.capacity().clamp(64, 1 << 20));
            let status = self
                .stream
                .decompress_vec(&frame[read..], &mut plain, FlushDecompress::Sync)
                .map_err(|_| WireError::NotPacked)?;
            let now = (self.stream.total_in() - before) as usize;
            let room_left = plain.len() < plain.capacity();
            match status {
                Status::StreamEnd => return Err(WireError::NotPacked),
                _ if plain.len() > MOST_UNPACKED => return Err(WireError::TooMuch),
                _ if now == frame.len() && room_left => return Ok(plain),
                Status::BufError if now == read && room_left => return Err(WireError::NotPacked),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parts::{changes, put_together, take_apart};
    use super::*;
    use crate::telemetry::command::{Change as Changed, Command, Setting};
    use crate::telemetry::fixture;

    const SMALL: Size = Size { columns: 80, rows: 24 };

    #[test]
    fn the_first_frame_of_a_small_screen_is_small() {
        let parts = take_apart(&fixture::run(2, 200), SMALL);
        let frame = Packer::default().pack(&changes(&Parts::new(), &parts)).unwrap();
        println!("a whole snapshot at 80x24: {} bytes", frame.len());
        assert!(frame.len() < 20 << 10, "{}", frame.len());
    }

    #[test]
    fn a_step_of_a_small_screen_is_next_to_nothing() {
        let at = |step| take_apart(&fixture::run(2, step), SMALL);
        let mut packer = Packer::default();
        packer.pack(&changes(&Parts::new(), &at(160))).unwrap();
        let steps = 161..=180;
        let bytes: usize =
            steps.map(|s| packer.pack(&changes(&at(s - 1), &at(s))).unwrap().len()).sum();
        println!("a step at 80x24: {} bytes", bytes / 20);
        assert!(bytes / 20 < 1000, "{bytes}");
    }

    #[test]
    fn versions_tell_each_other_apart() {
        let own = Version::from_frame(&Hello::new(Wants::Brief).to_frame()).unwrap();
        assert_eq!(refusal(&own), None);
        let with = |protocol| refusal(&Version { protocol, ..own.clone() }).unwrap();
        assert!(with(PROTOCOL + 1).contains("older landscope"));
        assert!(with(0).contains("newer landscope"));
        // Of a hello that wants what this version does not know, the version is understood.
        let text = r#"{"landscope":"9.9","protocol":7,"wants":{"smell":1},"more":[1]}"#;
        assert_eq!(Version::from_frame(text.as_bytes()).unwrap().protocol, 7);
    }

    #[test]
    fn requests_come_back() {
        let set = Changed::Set { setting: Setting::Lr, value: 0.03 };
        for said in [
            Said::Command(Command::TogglePause),
            Said::Command(Command::Change { arm: None, change: set }),
            Said::Size(SMALL),
        ] {
            assert_eq!(read_request(&request(&said)).unwrap(), said);
        }
    }

    #[test]
    fn a_bomb_is_defused() {
        let mut packer = Packer::default();
        let much = vec![(super::super::parts::Key::Run, Some(vec![0u8; MOST_UNPACKED + 1]))];
        let frame = packer.pack(&much).unwrap();
        assert!(frame.len() < MOST_TO_VIEWER);
        assert!(matches!(Unpacker::default().take(&frame), Err(WireError::TooMuch)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// What is packed frame by frame is unpacked frame by frame.
        #[test]
        fn frames_come_back(moments in prop::collection::vec((0usize..4, 0u64..300), 1..6)) {
            let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
            let mut sent = Parts::new();
            for (arms, steps) in moments {
                let new = take_apart(&fixture::run(arms, steps), SMALL);
                let frame = packer.pack(&changes(&sent, &new)).unwrap();
                let has = unpacker.take(&frame).unwrap();
                prop_assert_eq!(has, &new);
                put_together(has).unwrap();
                sent = new;
            }
        }
    }
}
