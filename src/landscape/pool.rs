//! Tasks that named threads take in order, each with means of its own.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use super::error::LandscapeError;

/// Does the tasks 0 to `tasks`, in their order as nearly as several `workers` can, a thread named `name` to each, and hands
/// what comes of each to `take`, on the calling thread. Once `stop` is set, or after an error, no new one is begun.
///
/// # Errors
/// The first error of a task or of `take`, or that a thread panicked.
pub fn run<W: Send, R: Send>(
    workers: &mut [W],
    name: &str,
    tasks: usize,
    stop: &AtomicBool,
    work: impl Fn(&mut W, usize) -> Result<R, LandscapeError> + Sync,
    mut take: impl FnMut(usize, R) -> Result<(), LandscapeError>,
) -> Result<(), LandscapeError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let (out, results) = sync_channel(2 * workers.len().max(1));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, worker) in workers.iter_mut().enumerate() {
            let (out, next, failed, work) = (out.clone(), &next, &failed, &work);
            let body = move || {
                // The cores are busy with the other threads.
                tch::set_num_threads(1);
                while !(stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed)) {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks || out.send((task, work(worker, task))).is_err() {
                        break;
                    }
                }
            };
            threads.push(
                thread::Builder::new().name(format!("{name}-{index}")).spawn_scoped(scope, body),
            );
        }
        drop(out);
        let mut first_error = None;
        // To the end even after an error, so that no thread waits to be heard.
        for (task, found) in results {
            if let Err(error) = found.and_then(|found| take(task, found)) {
                failed.store(true, Ordering::Relaxed);
                first_error.get_or_insert(error);
            }
        }
        for thread in threads {
            if !thread.is_ok_and(|thread| thread.join().is_ok()) {
                first_error.get_or_insert(LandscapeError::Panic);
            }
        }
        first_error.map_or(Ok(()), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_is_done_once_and_a_panic_is_an_error() {
        let mut seen = [0; 50];
        let stop = AtomicBool::new(false);
        let take = |task: usize, square: usize| {
            assert_eq!(square, task * task);
            seen[task] += 1;
            Ok(())
        };
        run(&mut [(), (), ()], "t", 50, &stop, |(), task| Ok(task * task), take).unwrap();
        assert!(seen.iter().all(|times| *times == 1));
        let panics = |(): &mut (), task: usize| match task {
            3 => panic!("on purpose"),
            _ => Ok(()),
        };
        let ended = run(&mut [(), ()], "t", 9, &stop, panics, |_, ()| Ok(()));
        assert!(matches!(ended, Err(LandscapeError::Panic)));
    }
}
