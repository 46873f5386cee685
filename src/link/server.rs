//! The engine's side of the socket: the thread `link` answers every viewer at the viewer's own pace. One that is slow or
//! stopped holds nobody up: snapshots it did not take are not kept for it.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use super::parts::{Parts, Size, changes, take_apart};
use super::wire::{
    Brief, Hello, MOST_TO_ENGINE, MOST_TO_VIEWER, Packer, Version, Wants, Welcome, WireError,
    frames, read_request, refusal,
};
use super::{Door, Said, SendError};
use crate::telemetry::command::Command;
use crate::telemetry::snapshot::{Phase, Snapshot};

/// Least time between two frames to one viewer: what a dashboard draws.
const FRAME: Duration = Duration::from_millis(100);
/// How long a viewer may take for its hello.
const HELLO: Duration = Duration::from_secs(5);
/// How long an engine that has ended waits for viewers to take the last state.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a run in a few words waits for news, so that it is not of the last viewer's time.
const NEWS: Duration = Duration::from_millis(300);
/// Viewers at once.
const MOST_VIEWERS: usize = 64;

/// A conversation's two directions: what is heard is short, what is told may be long.
struct Line {
    heard: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    told: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
}

/// A socket that is answered; dropped, it ends when its viewers have seen the last state, or soon after.
pub struct Server {
    thread: Option<JoinHandle<()>>,
    over: watch::Sender<bool>,
}

/// What conversations share.
#[derive(Clone)]
struct Hall {
    door: Door,
    viewers: Arc<AtomicUsize>,
    folder: PathBuf,
    over: watch::Receiver<bool>,
}

impl Server {
    /// Answers on `listener` for the run in `folder`.
    ///
    /// # Errors
    /// When the system has no thread or timer left.
    pub fn start(listener: StdListener, folder: PathBuf, door: Door) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (over, is_over) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let hall = Hall { door, viewers: Arc::default(), folder, over: is_over };
        let body = move || runtime.block_on(LocalSet::new().run_until(answer(listener, hall)));
        let thread = thread::Builder::new().name("link".to_owned()).spawn(body)?;
        Ok(Self { thread: Some(thread), over })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic in it has cost the viewers, not the run.
            let _ = thread.join();
        }
    }
}

async fn answer(listener: StdListener, hall: Hall) {
    let mut over = hall.over.clone();
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the socket cannot be answered: {error}"),
    };
    let mut conversations = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            arrived = listener.accept() => match arrived {
                Ok((stream, _)) => {
                    let hall = hall.clone();
                    conversations.spawn_local(async move {
                        if let Err(error) = converse(stream, hall).await {
                            tracing::debug!("a viewer is gone: {error}");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most often: others may be given back.
                    tracing::warn!("a viewer could not be answered: {error}");
                    tokio::time::sleep(FRAME).await;
                }
            },
            Some(_) = conversations.join_next() => {}
            _ = over.wait_for(|over| *over) => break,
        }
    }
    let _ = timeout(FAREWELL, async { while conversations.join_next().await.is_some() {} }).await;
}

/// Why a conversation ended before its run.
#[derive(Debug, thiserror::Error)]
enum Gone {
    #[error("{0}")]
    Line(#[from] io::Error),
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("it said nothing")]
    Silent,
    #[error("it belongs to user {0}")]
    Stranger(u32),
    #[error("it hung up")]
    HungUp,
}

/// Whether a process of user `uid` is served by one of user `own`: root has the files anyway, others must not.
fn admits(own: u32, uid: u32) -> bool {
    uid == own
}

async fn converse(stream: UnixStream, hall: Hall) -> Result<(), Gone> {
    let uid = stream.peer_cred()?.uid();
    if !admits(rustix::process::geteuid().as_raw(), uid) {
        return Err(Gone::Stranger(uid));
    }
    let (heard, told) = stream.into_split();
    let mut line = Line {
        heard: FramedRead::new(heard, frames(MOST_TO_ENGINE)),
        told: FramedWrite::new(told, frames(MOST_TO_VIEWER)),
    };
    let first = timeout(HELLO, line.heard.next()).await.map_err(|_| Gone::Silent)?;
    let first = first.ok_or(Gone::Silent)??;
    // Versions first: what another one wants may be told in words of its own.
    if let Some(refused) = refusal(&Version::from_frame(&first)?) {
        return send(&mut line, Welcome::new(Some(refused), None).to_frame()).await;
    }
    match Hello::from_frame(&first)?.wants {
        Wants::Brief => {
            let mut client = hall.door.client(true);
            let _ = timeout(NEWS, client.changed()).await;
            let brief = brief(&client.snapshot(), &hall);
            send(&mut line, Welcome::new(None, Some(brief)).to_frame()).await
        }
        Wants::View { size, readonly, rate } => {
            let crowded = hall.viewers.load(Ordering::Relaxed) >= MOST_VIEWERS;
            let refused = crowded.then(|| format!("{MOST_VIEWERS} viewers look already"));
            send(&mut line, Welcome::new(refused, None).to_frame()).await?;
            if !crowded { show(line, &hall, size, readonly, rate).await } else { Ok(()) }
        }
    }
}

/// Counts a viewer while it looks.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Shows the run until the viewer leaves or the run has ended and its last state is told.
async fn show(
    mut line: Line,
    hall: &Hall,
    mut size: Size,
    readonly: bool,
    rate: Option<u32>,
) -> Result<(), Gone> {
    let _counted = Counted::new(&hall.viewers);
    let mut client = hall.door.client(readonly);
    let mut over = hall.over.clone();
    let (mut packer, mut sent) = (Packer::default(), Parts::new());
    let mut next = Instant::now();
    let mut news = true;
    // A command that the engine is too busy to take; until it has, nothing more is heard.
    let mut waiting: Option<Command> = None;
    loop {
        if let Some(command) = &waiting
            && client.send(command.clone()) != Err(SendError::Busy)
        {
            waiting = None;
        }
        tokio::select! {
            heard = line.heard.next(), if waiting.is_none() => {
                match read_request(&heard.ok_or(Gone::HungUp)??)? {
                    Said::Size(new) => (size, news) = (new, true),
                    Said::Command(command) => waiting = Some(command),
                }
                continue;
            }
            () = tokio::time::sleep(FRAME), if waiting.is_some() => continue,
            changed = client.changed(), if !news => {
                news = true;
                if !changed { return Ok(()); }
                continue;
            }
            _ = over.wait_for(|over| *over) => {}
            () = sleep_until(next), if news => {}
        }
        let last = *over.borrow();
        let parts = take_apart(&client.take(), size);
        let changes = changes(&sent, &parts);
        if !changes.is_empty() {
            let frame = packer.pack(&changes)?;
            next = Instant::now() + pause(frame.len(), rate);
            send(&mut line, frame).await?;
            sent = parts;
        } else {
            next = Instant::now() + FRAME;
        }
        news = false;
        if last {
            return Ok(());
        }
    }
}

/// How long to wait after `bytes` so that a line of `rate` bytes a second is never filled.
fn pause(bytes: usize, rate: Option<u32>) -> Duration {
    match rate {
        Some(rate) => Duration::from_secs_f64(bytes as f64 / f64::from(rate.max(1))).max(FRAME),
        None => FRAME,
    }
}

async fn send(line: &mut Line, frame: Vec<u8>) -> Result<(), Gone> {
    Ok(line.told.send(Bytes::from(frame)).await?)
}

fn brief(snapshot: &Snapshot, hall: &Hall) -> Brief {
    let phase = match &snapshot.phase {
        Phase::Starting(_) => "starting",
        Phase::Refused { .. } => "refused",
        Phase::Training => "training",
        Phase::Paused => "paused",
        Phase::Finishing => "finishing",
        Phase::Ended(_) => "ended",
    };
    let loss = |a: &crate::telemetry::snapshot::ArmView| {
        let loss = a.latest.as_ref().map(|s| s.loss).filter(|l| l.is_finite());
        (a.info.name.to_string(), loss)
    };
    Brief {
        folder: hall.folder.display().to_string(),
        phase: phase.to_owned(),
        elapsed_s: snapshot.elapsed_s,
        step: snapshot.step,
        steps: snapshot.run.steps,
        losses: snapshot.arms.values().map(loss).collect(),
        device: snapshot.run.device.clone(),
        viewers: hall.viewers.load(Ordering::Relaxed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_users_are_not_served() {
        assert!(admits(1000, 1000) && admits(0, 0));
        assert!(!admits(1000, 1001) && !admits(1000, 0) && !admits(0, 1000));
    }

    #[test]
    fn a_narrow_line_is_given_time() {
        assert_eq!(pause(8000, Some(4000)), Duration::from_secs(2));
        assert_eq!(pause(1, Some(4000)), FRAME);
        assert_eq!([pause(1 << 20, None), pause(5, Some(0))], [FRAME, Duration::from_secs(5)]);
    }
}
