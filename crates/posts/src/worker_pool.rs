//! Threads that lend a hand: jobs of unequal length, taken by whoever is free, answers in order.
//!
//! Whoever waits for an answer takes a job meanwhile, so a crew of no helpers works too, only alone. It
//! knows nothing of what the jobs do.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

type Job<'j> = Box<dyn FnOnce() + Send + 'j>;

/// Jobs that wait for somebody.
pub struct Crew<'j> {
    jobs: Mutex<(VecDeque<Job<'j>>, bool)>,
    changed: Condvar,
}

fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // Jobs run outside the locks; nothing is left half done in them.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Crew<'_> {
    fn default() -> Self {
        Crew::new()
    }
}

impl<'j> Crew<'j> {
    /// No jobs yet.
    pub fn new() -> Crew<'j> {
        Crew { jobs: Mutex::new((VecDeque::new(), false)), changed: Condvar::new() }
    }

    /// Hands a job over; its answer is asked for with [`Answer::wait`].
    pub fn submit<T: Send + 'j>(&self, job: impl FnOnce() -> T + Send + 'j) -> Answer<T> {
        let slot = Arc::new((Mutex::new(None), Condvar::new()));
        let answer = Answer { slot: Arc::clone(&slot) };
        let job = move || {
            let told = catch_unwind(AssertUnwindSafe(job));
            *open(&slot.0) = Some(told);
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

    /// Does jobs until the crew is dismissed.
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

    /// Lets everybody in [`Crew::work`] go once no job waits.
    pub fn dismiss(&self) {
        open(&self.jobs).1 = true;
        self.changed.notify_all();
    }
}

/// What a job will have said.
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
    pub fn wait(self, crew: &Crew<'_>) -> T {
        while !self.is_there() && crew.help() {}
        let mut told = open(&self.slot.0);
        loop {
            match told.take() {
                Some(Ok(answer)) => return answer,
                Some(Err(panic)) => {
                    drop(told);
                    resume_unwind(panic)
                }
                None => told = self.slot.1.wait(told).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_whoever_works() {
        for helpers in [0, 1, 3] {
            let crew = Crew::new();
            std::thread::scope(|scope| {
                (0..helpers).for_each(|_| {
                    scope.spawn(|| crew.work());
                });
                let answers: Vec<_> =
                    (0..50_u64).map(|index| crew.submit(move || index * index)).collect();
                let told: Vec<u64> = answers.into_iter().map(|answer| answer.wait(&crew)).collect();
                assert_eq!(told, (0..50).map(|index| index * index).collect::<Vec<u64>>());
                let panics = crew.submit(|| -> u64 { panic!("on purpose") });
                assert!(catch_unwind(AssertUnwindSafe(|| panics.wait(&crew))).is_err());
                crew.dismiss();
            });
        }
    }
}
