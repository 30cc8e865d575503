//! A pool of threads for jobs of unequal length; results are collected in order.
//!
//! A thread that waits for a result runs jobs meanwhile, so a pool without threads works too.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Job<'j> = Box<dyn FnOnce() + Send + 'j>;

/// Jobs that wait for a thread.
pub struct WorkerPool<'j> {
    jobs: Mutex<(VecDeque<Job<'j>>, bool)>,
    changed: Condvar,
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Jobs run outside the locks; nothing is left half done in them.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for WorkerPool<'_> {
    fn default() -> Self {
        WorkerPool::new()
    }
}

impl<'j> WorkerPool<'j> {
    /// No jobs yet.
    pub fn new() -> WorkerPool<'j> {
        WorkerPool { jobs: Mutex::new((VecDeque::new(), false)), changed: Condvar::new() }
    }

    /// Hands a job over; its answer is asked for with [`Answer::wait`].
    pub fn submit<T: Send + 'j>(&self, job: impl FnOnce() -> T + Send + 'j) -> Answer<T> {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let answer = Answer { slot: Arc::clone(&slot) };
        let job = move || {
            let result = catch_unwind(AssertUnwindSafe(job));
            *open(&slot.0) = Some(result);
            slot.1.notify_all();
        };
        open(&self.jobs).0.push_back(Box::new(job));
        self.changed.notify_one();
        answer
    }

    /// Does the job that has waited longest; false when none waits.
    fn help(&self) -> bool {
        let job = open(&self.jobs).0.pop_front();
        job.is_some_and(|job| {
            job();
            true
        })
    }

    /// Runs jobs until the pool is dismissed.
    pub fn work(&self) {
        loop {
            let mut jobs = open(&self.jobs);
            while jobs.0.is_empty() && !jobs.1 {
                jobs = self.changed.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(job) = jobs.0.pop_front() else { return };
            drop(jobs);
            job();
        }
    }

    /// Ends every [`WorkerPool::work`] once no job waits.
    pub fn dismiss(&self) {
        open(&self.jobs).1 = true;
        self.changed.notify_all();
    }
}

/// The result of a job, perhaps to come.
pub struct Answer<T> {
    slot: Arc<Slot<T>>,
}

type Slot<T> = (Mutex<Option<Result<T, Box<dyn Any + Send>>>>, Condvar);

impl<T> Answer<T> {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        open(&self.slot.0).is_some()
    }

    /// The answer; until it is there, other jobs are done here. A job that panicked panics here.
    pub fn wait(self, pool: &WorkerPool<'_>) -> T {
        while !self.is_there() && pool.help() {}
        let mut result = open(&self.slot.0);
        loop {
            match result.take() {
                Some(Ok(answer)) => return answer,
                Some(Err(panic)) => {
                    drop(result);
                    resume_unwind(panic)
                }
                None => result = self.slot.1.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_with_any_number_of_threads() {
        for helpers in [0, 1, 3] {
            let pool = WorkerPool::new();
            std::thread::scope(|scope| {
                (0..helpers).for_each(|_| {
                    scope.spawn(|| pool.work());
                });
                let answers: Vec<_> =
                    (0..50_u64).map(|index| pool.submit(move || index * index)).collect();
                let result: Vec<u64> =
                    answers.into_iter().map(|answer| answer.wait(&pool)).collect();
                assert_eq!(result, (0..50).map(|index| index * index).collect::<Vec<u64>>());
                let panics = pool.submit(|| -> u64 { panic!("on purpose") });
                assert!(catch_unwind(AssertUnwindSafe(|| panics.wait(&pool))).is_err());
                pool.dismiss();
            });
        }
    }
}
