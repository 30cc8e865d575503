//! Independent tasks on a few threads, with progress, in any order and with one result.
//!
//! A task writes its output whole; one whose output is there is not run again. That is all that
//! resuming needs, on one machine or on many.

use crate::error::CorpusError;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Hears how far an ingest is: the step, units done, units in all.
pub type Progress<'p> = dyn Fn(&'static str, u64, u64) + Sync + 'p;

/// Runs the tasks of some numbers; the first error stops the rest and is returned.
pub(super) fn run(
    step: &'static str,
    tasks: &[usize],
    threads: usize,
    progress: &Progress<'_>,
    task: &(dyn Fn(usize) -> Result<(), CorpusError> + Sync),
) -> Result<(), CorpusError> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let error: Mutex<Option<(usize, CorpusError)>> = Mutex::new(None);
    progress(step, 0, tasks.len() as u64);
    let work = || {
        while !failed.load(Ordering::SeqCst) {
            let Some(&index) = tasks.get(next.fetch_add(1, Ordering::SeqCst)) else { return };
            match task(index) {
                Ok(()) => {
                    let done = done.fetch_add(1, Ordering::SeqCst) + 1;
                    progress(step, done as u64, tasks.len() as u64);
                }
                Err(cause) => {
                    failed.store(true, Ordering::SeqCst);
                    let mut first = error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    // Of several failures the earliest task's is returned, whichever came first.
                    if first.as_ref().is_none_or(|(at, _)| index < *at) {
                        *first = Some((index, cause));
                    }
                }
            }
        }
    };
    let threads = threads.clamp(1, tasks.len().max(1));
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    match error.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some((_, cause)) => Err(cause),
        None => Ok(()),
    }
}
