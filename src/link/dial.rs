//! A viewer's end of the socket: the thread `dial` keeps the newest snapshot, and looks like an engine in this process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use super::parts::{PartError, put_together};
use super::wire::{
    Brief, Hello, MOST_TO_VIEWER, Unpacker, Wants, Welcome, WireError, frames, request,
};
use super::{Client, Said, WAITING_COMMANDS, socket};
use crate::telemetry::snapshot::Snapshot;

/// Time between two tries to reach an engine that is being started.
const RETRY: Duration = Duration::from_millis(10);
/// How long an engine may take from its start to its socket: a cold disk has libtorch to read.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an engine may take to answer a hello.
const ANSWER: Duration = Duration::from_secs(5);

/// Why a run is not shown, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answers.
    #[error("{}: no engine answers: {source}", path.display())]
    Nobody {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine does not serve this viewer.
    #[error("{0}")]
    Refused(String),
    /// The engine did not answer in time.
    #[error("{}: the engine does not answer", .0.display())]
    Silent(PathBuf),
    /// The line broke, or the engine died.
    #[error("the engine is gone: {0}")]
    Lost(io::Error),
    /// What came is none of ours.
    #[error("the engine cannot be understood: {0}")]
    Wire(#[from] WireError),
    /// As above.
    #[error("the engine cannot be understood: {0}")]
    Part(#[from] PartError),
}

/// Why the line ended; none while it holds or once the run has ended well.
#[derive(Clone, Debug, Default)]
pub struct Fate(Arc<Mutex<Option<DialError>>>);

impl Fate {
    /// Takes the reason.
    pub fn take(&self) -> Option<DialError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: DialError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }
}

/// Asks the engine behind the socket `path` for its run in a few words.
///
/// # Errors
/// When it does not answer.
pub fn brief(path: &Path) -> Result<Brief, DialError> {
    let runtime = runtime()?;
    runtime.block_on(async {
        let stream = open(path)?;
        let (_, welcome) = greet(stream, path, Wants::Brief).await?;
        welcome.brief.ok_or_else(|| DialError::Silent(path.to_owned()))
    })
}

/// Connects to the engine behind the socket `path`; returns once it has shown the run, so that the first screen is a whole
/// one.
///
/// # Errors
/// When nobody answers, or the engine refuses the viewer.
pub fn attach(path: &Path, wants: Wants) -> Result<(Client, Fate), DialError> {
    let runtime = runtime()?;
    let mut unpacker = Unpacker::default();
    let (line, first) = runtime.block_on(async {
        let (mut line, _) = greet(open(path)?, path, wants.clone()).await?;
        let silent = || DialError::Silent(path.to_owned());
        let frame = tokio::time::timeout(ANSWER, line.next()).await.map_err(|_| silent())?;
        let frame = frame.ok_or_else(silent)?.map_err(DialError::Lost)?;
        Ok::<_, DialError>((line, put_together(unpacker.take(&frame)?)?))
    })?;
    Ok(follow(runtime, &wants, first, unpacker, move || Box::pin(async move { Ok(line) })))
}

/// Connects to the engine that is being started behind the socket `path`, and shows `initial` until it answers.
/// `died` tells that it will not.
///
/// # Errors
/// When the system has no thread left.
pub fn attach_when_ready(
    path: PathBuf,
    wants: Wants,
    initial: Snapshot,
    died: impl Fn() -> bool + Send + 'static,
) -> Result<(Client, Fate), DialError> {
    let asked = wants.clone();
    Ok(follow(runtime()?, &wants, initial, Unpacker::default(), move || {
        Box::pin(async move {
            let begun = Instant::now();
            loop {
                match open(&path) {
                    Ok(stream) => return Ok(greet(stream, &path, asked).await?.0),
                    Err(error) if died() || begun.elapsed() > PATIENCE => return Err(error),
                    Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        })
    }))
}

type Line = Framed<UnixStream, LengthDelimitedCodec>;
type Opening = std::pin::Pin<Box<dyn Future<Output = Result<Line, DialError>> + Send>>;

fn runtime() -> Result<tokio::runtime::Runtime, DialError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DialError::Lost)
}

fn open(path: &Path) -> Result<std::os::unix::net::UnixStream, DialError> {
    socket::connect(path).map_err(|source| DialError::Nobody { path: path.to_owned(), source })
}

async fn greet(
    stream: std::os::unix::net::UnixStream,
    path: &Path,
    wants: Wants,
) -> Result<(Line, Welcome), DialError> {
    stream.set_nonblocking(true).map_err(DialError::Lost)?;
    let stream = UnixStream::from_std(stream).map_err(DialError::Lost)?;
    let mut line = Framed::new(stream, frames(MOST_TO_VIEWER));
    line.send(Bytes::from(Hello::new(wants).to_frame())).await.map_err(DialError::Lost)?;
    let silent = || DialError::Silent(path.to_owned());
    let answer = tokio::time::timeout(ANSWER, line.next()).await.map_err(|_| silent())?;
    let frame = answer.ok_or_else(silent)?.map_err(DialError::Lost)?;
    let welcome = Welcome::from_frame(&frame)?;
    match welcome.refused {
        Some(text) => Err(DialError::Refused(text)),
        None => Ok((line, welcome)),
    }
}

/// Starts the thread that keeps the newest snapshot.
fn follow(
    runtime: tokio::runtime::Runtime,
    wants: &Wants,
    initial: Snapshot,
    unpacker: Unpacker,
    open: impl FnOnce() -> Opening + Send + 'static,
) -> (Client, Fate) {
    let (snapshots, snapshot) = watch::channel(Arc::new(initial));
    let (said, heard) = mpsc::channel(WAITING_COMMANDS);
    let readonly = matches!(wants, Wants::View { readonly: true, .. });
    let fate = Fate::default();
    let told = fate.clone();
    let body = move || {
        let ended = runtime.block_on(async {
            let line = open().await?;
            pump(line, unpacker, &snapshots, heard).await
        });
        if let Err(error) = ended {
            told.set(error);
        }
    };
    if let Err(error) = thread::Builder::new().name("dial".to_owned()).spawn(body) {
        fate.set(DialError::Lost(error));
    }
    (Client { snapshots: snapshot, said, readonly }, fate)
}

/// Takes changes and hands on requests until either side is done.
async fn pump(
    mut line: Line,
    mut unpacker: Unpacker,
    snapshots: &watch::Sender<Arc<Snapshot>>,
    mut heard: mpsc::Receiver<Said>,
) -> Result<(), DialError> {
    loop {
        tokio::select! {
            frame = line.next() => match frame {
                Some(frame) => {
                    let frame = frame.map_err(DialError::Lost)?;
                    let snapshot = put_together(unpacker.take(&frame)?)?;
                    snapshots.send_replace(Arc::new(snapshot));
                }
                // The engine hangs up after the last state; before it, something cut it off.
                None if snapshots.borrow().phase.is_over() => return Ok(()),
                None => return Err(DialError::Lost(io::ErrorKind::UnexpectedEof.into())),
            },
            said = heard.recv() => match said {
                Some(said) => line.send(Bytes::from(request(&said))).await.map_err(DialError::Lost)?,
                None => return Ok(()),
            },
        }
    }
}
