//! Tasks that named threads take in order, each with means of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::error::LandscapeError;
use crate::model::use_threads;

/// Between two looks at whether the group before is taken: nothing beside a share's milliseconds.
const WAIT: Duration = Duration::from_micros(20);

/// Does the tasks 0 to `tasks`, in their order as nearly as several `workers` can, a thread named `name` to each, and hands
/// what comes of each to `take`, on the calling thread. Once `stop` is set, or after an error, no new one is begun.
///
/// With `group`, tasks belong together so many at a time, and none is begun before all of the groups before it are taken:
/// whenever the program is killed, at most one group is in the making.
///
/// # Errors
/// The first error of a task or of `take`, or that a thread panicked.
pub fn run<W: Send, R: Send>(
    workers: &mut [W],
    name: &str,
    (tasks, group): (usize, Option<usize>),
    stop: &AtomicBool,
    work: impl Fn(&mut W, usize) -> Result<R, LandscapeError> + Sync,
    mut take: impl FnMut(usize, R) -> Result<(), LandscapeError>,
) -> Result<(), LandscapeError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let taken = AtomicUsize::new(0);
    let (out, results) = sync_channel(2 * workers.len().max(1));
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, worker) in workers.iter_mut().enumerate() {
            let (out, next, failed, taken, work) = (out.clone(), &next, &failed, &taken, &work);
            let body = move || {
                // The cores are busy with the other threads.
                use_threads(1);
                let over = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
                while !over() {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    let before = group.map_or(0, |group| task / group.max(1) * group.max(1));
                    while task < tasks && taken.load(Ordering::Acquire) < before && !over() {
                        thread::sleep(WAIT);
                    }
                    if task >= tasks || over() {
                        break;
                    }
                    // Caught, so that the others, who may wait for it, hear of it.
                    let found = catch_unwind(AssertUnwindSafe(|| work(worker, task)));
                    let found = found.unwrap_or(Err(LandscapeError::Panic));
                    if out.send((task, found)).is_err() {
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
            taken.fetch_add(1, Ordering::Release);
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
        run(&mut [(), (), ()], "t", (50, None), &stop, |(), task| Ok(task * task), take).unwrap();
        assert!(seen.iter().all(|times| *times == 1));
        let panics = |(): &mut (), task: usize| match task {
            3 => panic!("on purpose"),
            _ => Ok(()),
        };
        for group in [None, Some(1), Some(4)] {
            let ended = run(&mut [(), ()], "t", (9, group), &stop, panics, |_, ()| Ok(()));
            assert!(matches!(ended, Err(LandscapeError::Panic)));
        }
    }

    #[test]
    fn no_group_is_begun_before_the_one_before_is_taken() {
        let (begun, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let mut taken = 0;
        let work = |(): &mut (), task: usize| {
            begun.fetch_max(task / 4, Ordering::SeqCst);
            Ok(())
        };
        let take = |_: usize, ()| {
            // Before this one is taken, nothing beyond its group can have begun.
            assert!(begun.load(Ordering::SeqCst) <= taken / 4);
            taken += 1;
            Ok(())
        };
        run(&mut [(), (), ()], "t", (42, Some(4)), &stop, work, take).unwrap();
        assert_eq!(taken, 42);
    }
}
