//! A fixed set of threads that share the tasks of one parallel loop at a time.
//!
//! [`Pool::run`] hands out task numbers from an atomic counter; the calling thread takes part.
//! Which thread runs a task is left to chance, so callers must split work by shape alone, never by
//! the number of threads, and give every task its own output: then results are bitwise the same
//! for any number of threads. Idle threads spin for a moment (between the operations of a program
//! there are only microseconds) and then sleep, so an idle pool costs nothing. No priorities: a
//! program runs one operation at a time.

use crate::memory::ask_for_huge_pages;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long an idle thread looks for work before it sleeps. Waking a sleeper costs some tens of
/// microseconds, so spinning longer than that buys nothing.
const SPIN: Duration = Duration::from_micros(50);

/// Bit of [`Shared::state`] that says the current loop accepts helpers; the rest counts them.
const OPEN: usize = 1;
/// One helper in [`Shared::state`].
const HELPER: usize = 2;

/// The body of a parallel loop: called with (task, worker).
type Body<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// What helpers need to know of the current loop. Written by the caller while the loop is closed
/// and no helper is inside, read by helpers while it is open.
struct Loop {
    /// Lifetime erased: the caller does not return before every helper has left.
    body: Body<'static>,
    tasks: usize,
    order: Order,
    caller: Thread,
}

/// Which tasks a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The next that no one has.
    Next,
    /// Those of its own run of neighbours first, then the next of others' runs.
    Neighbours,
}

/// A counter on a cache line of its own.
#[derive(Default)]
#[repr(align(64))]
struct Counter(AtomicUsize);

struct Shared {
    current: UnsafeCell<Option<Loop>>,
    /// [`OPEN`] plus [`HELPER`] times the number of helpers inside.
    state: AtomicUsize,
    /// Counts loops, so that a helper never enters the same one twice.
    epoch: AtomicUsize,
    /// The next task of each worker's run; in [`Order::Next`] the first counts for all.
    next_tasks: Box<[Counter]>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    stop: AtomicBool,
    /// Whether helper i (worker i + 1) sleeps or is about to.
    asleep: Box<[AtomicBool]>,
}

// SAFETY: `current` is written only by the caller that holds `Pool::turn`, while `state` is 0; it
// is read only by helpers counted in `state`. Everything else is atomic or locked.
unsafe impl Sync for Shared {}

thread_local! {
    /// The worker number this thread has inside a loop, and the pool it belongs to.
    static INSIDE: Cell<Option<(*const Shared, usize)>> = const { Cell::new(None) };
}

/// A fixed set of threads. Dropping it joins them.
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Loops started from different threads wait for each other.
    turn: Mutex<()>,
    scratch: Box<[Mutex<AlignedBuffer>]>,
    joint: Mutex<AlignedBuffer>,
}

impl Pool {
    /// A pool of `threads` workers, the calling thread being one; 0 is taken as 1.
    pub fn new(threads: usize) -> Pool {
        let threads = threads.max(1);
        let shared = Arc::new(Shared {
            current: UnsafeCell::new(None),
            state: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            next_tasks: (0..threads).map(|_| Counter::default()).collect(),
            panic: Mutex::new(None),
            stop: AtomicBool::new(false),
            asleep: (1..threads).map(|_| AtomicBool::new(false)).collect(),
        });
        // A thread the system refuses to start is one helper less, not an error: the loops of
        // this pool give the same results with any number.
        let helpers = (1..threads)
            .filter_map(|worker| {
                let shared = Arc::clone(&shared);
                let named = thread::Builder::new().name(format!("stoa-{worker}"));
                named.spawn(move || shared.help(worker)).ok()
            })
            .collect();
        Pool {
            shared,
            helpers,
            turn: Mutex::new(()),
            scratch: (0..threads).map(|_| Mutex::default()).collect(),
            joint: Mutex::default(),
        }
    }

    /// Number of workers; worker numbers are below it.
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// Calls `body(task, worker)` once for each task in `0..tasks`, shared among the workers, and
    /// returns when all are done. Tasks start in increasing order. Called from inside a loop of
    /// the same pool, it runs all tasks on the current worker.
    ///
    /// # Panics
    /// With the panic of the first task that panicked; tasks not yet begun are then dropped.
    pub fn run(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        self.run_in(Order::Next, tasks, body);
    }

    /// As [`Pool::run`], but each worker begins with a run of neighbouring tasks and helps others when it
    /// is done. For tasks that read memory one after another: what is asked for ahead, by a
    /// kernel or by the machine itself, is then what the same core reads next.
    ///
    /// # Panics
    /// As [`Pool::run`].
    pub fn run_neighbours(&self, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        self.run_in(Order::Neighbours, tasks, body);
    }

    fn run_in(&self, order: Order, tasks: usize, body: &(dyn Fn(usize, usize) + Sync)) {
        let nested = INSIDE.get().filter(|&(pool, _)| pool == Arc::as_ptr(&self.shared));
        if let Some((_, worker)) = nested {
            return (0..tasks).for_each(|task| body(task, worker));
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let outer = INSIDE.replace(Some((Arc::as_ptr(&self.shared), 0)));
        let outcome = if tasks <= 1 || self.helpers.is_empty() {
            catch_unwind(AssertUnwindSafe(|| (0..tasks).for_each(|task| body(task, 0)))).err()
        } else {
            self.share(order, tasks, body)
        };
        INSIDE.set(outer);
        drop(_turn);
        if let Some(payload) = outcome {
            resume_unwind(payload);
        }
    }

    fn share(&self, order: Order, tasks: usize, body: Body<'_>) -> Option<Box<dyn Any + Send>> {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `share` returns after `state` fell to 0 with the loop
        // closed, so no helper holds the body any more.
        let body: Body<'static> = unsafe { std::mem::transmute::<Body<'_>, Body<'static>>(body) };
        // SAFETY: the caller holds `turn` and the previous loop ended with `state` 0, so no one
        // else looks at `current`.
        unsafe {
            *shared.current.get() = Some(Loop { body, tasks, order, caller: thread::current() })
        };
        for (worker, next) in shared.next_tasks.iter().enumerate() {
            next.0.store(shared.run_of(order, tasks, worker).start, Ordering::Relaxed);
        }
        shared.state.store(OPEN, Ordering::Release);
        shared.epoch.fetch_add(1, Ordering::SeqCst);
        for (asleep, helper) in shared.asleep.iter().zip(&self.helpers) {
            if asleep.load(Ordering::SeqCst) {
                helper.thread().unpark();
            }
        }
        shared.work(order, tasks, body, 0);
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let begun = Instant::now();
        while shared.state.load(Ordering::Acquire) != 0 {
            if begun.elapsed() < SPIN { spin_a_little() } else { thread::park() }
        }
        shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Calls `f` with `floats` f32 that belong to `worker`, aligned to 64 bytes. The memory is
    /// kept for the next call; its contents are unspecified (finite or not).
    pub fn with_scratch<R>(
        &self,
        worker: usize,
        floats: usize,
        f: impl FnOnce(&mut [f32]) -> R,
    ) -> R {
        with_buffer(&self.scratch[worker], floats, f)
    }

    /// Like [`Pool::with_scratch`], but one buffer for the whole pool, for what a loop's tasks
    /// prepare together.
    pub fn with_joint_scratch<R>(&self, floats: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
        with_buffer(&self.joint, floats, f)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        for helper in self.helpers.drain(..) {
            helper.thread().unpark();
            // Helpers catch the panics of their tasks; nothing is left to report.
            let _ = helper.join();
        }
    }
}

impl Shared {
    /// The life of a helper thread.
    fn help(&self, worker: usize) {
        INSIDE.set(Some((self, worker)));
        let mut seen = 0;
        while let Some(epoch) = self.await_loop(seen, &self.asleep[worker - 1]) {
            seen = epoch;
            let enter = |s| (s & OPEN != 0).then_some(s + HELPER);
            if self.state.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).is_err() {
                continue;
            }
            // SAFETY: this helper is counted in `state`, so the caller keeps `current` in place.
            let current = unsafe { &*self.current.get() };
            let current = current.as_ref().expect("an open loop has a body");
            let caller = current.caller.clone();
            self.work(current.order, current.tasks, current.body, worker);
            if self.state.fetch_sub(HELPER, Ordering::AcqRel) == HELPER {
                caller.unpark();
            }
        }
    }

    /// Waits for a loop after number `seen`; `None` when the pool ends.
    fn await_loop(&self, seen: usize, asleep: &AtomicBool) -> Option<usize> {
        let mut since = Instant::now();
        loop {
            let epoch = self.epoch.load(Ordering::SeqCst);
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if epoch != seen {
                return Some(epoch);
            }
            if since.elapsed() < SPIN {
                spin_a_little();
                continue;
            }
            // Announce the sleep before looking once more: a caller that bumps the epoch after
            // that look sees the announcement and unparks.
            asleep.store(true, Ordering::SeqCst);
            if self.epoch.load(Ordering::SeqCst) == seen {
                thread::park();
            }
            asleep.store(false, Ordering::SeqCst);
            since = Instant::now();
        }
    }

    /// The tasks of a worker's counter.
    fn run_of(&self, order: Order, tasks: usize, worker: usize) -> Range<usize> {
        let workers = self.next_tasks.len();
        match order {
            Order::Next if worker == 0 => 0..tasks,
            Order::Next => tasks..tasks,
            Order::Neighbours => {
                let (each, more) = (tasks / workers, tasks % workers);
                let start = worker * each + worker.min(more);
                start..start + each + usize::from(worker < more)
            }
        }
    }

    /// Takes tasks until none are left.
    fn work(&self, order: Order, tasks: usize, body: Body<'_>, worker: usize) {
        let runs = match order {
            Order::Next => 1,
            Order::Neighbours => self.next_tasks.len(),
        };
        for after in 0..runs {
            let of = (worker + after) % self.next_tasks.len();
            let of = if order == Order::Next { 0 } else { of };
            let end = self.run_of(order, tasks, of).end;
            loop {
                let task = self.next_tasks[of].0.fetch_add(1, Ordering::Relaxed);
                if task >= end {
                    break;
                }
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| body(task, worker))) {
                    self.next_tasks.iter().for_each(|next| next.0.store(tasks, Ordering::Relaxed));
                    let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
                    first.get_or_insert(payload);
                }
            }
        }
    }
}

/// Some tens of nanoseconds of politeness to the other hardware thread of the core.
fn spin_a_little() {
    for _ in 0..16 {
        std::hint::spin_loop();
    }
}

/// Borrows a kept buffer; a nested borrow (the same worker, deeper in its stack) gets a fresh one.
fn with_buffer<R>(
    kept: &Mutex<AlignedBuffer>,
    floats: usize,
    f: impl FnOnce(&mut [f32]) -> R,
) -> R {
    let guard: Option<MutexGuard<'_, AlignedBuffer>> = match kept.try_lock() {
        Ok(guard) => Some(guard),
        // A panic in `f` leaves the buffer as usable as before.
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    };
    match guard {
        Some(mut buffer) => f(buffer.slice(floats)),
        None => f(AlignedBuffer::default().slice(floats)),
    }
}

/// One cache line of f32, to borrow its alignment.
#[derive(Clone, Copy)]
#[repr(align(64))]
#[expect(dead_code, reason = "read only through the slices made of it")]
struct Line([f32; 16]);

/// Growable f32 memory aligned to cache lines.
#[derive(Default)]
pub struct AlignedBuffer(Vec<Line>);

impl AlignedBuffer {
    /// A slice of exactly `floats` elements with unspecified contents, growing if needed.
    pub fn slice(&mut self, floats: usize) -> &mut [f32] {
        let lines = floats.div_ceil(16);
        if self.0.len() < lines {
            // Free before allocating: the old contents are not wanted.
            self.0 = Vec::new();
            self.0.reserve_exact(lines);
            ask_for_huge_pages(self.0.as_mut_ptr().cast(), lines * size_of::<Line>());
            self.0.resize(lines, Line([0.0; 16]));
        }
        // SAFETY: a Line is exactly 16 f32 without padding, and at least `lines` of them exist.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), floats) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_task_runs_once_at_any_thread_count() {
        for threads in [0, 1, 2, 3, 8] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads.max(1));
            for (tasks, order) in [0, 1, 2, 3, 7, 1000]
                .into_iter()
                .flat_map(|tasks| [Order::Next, Order::Neighbours].map(|order| (tasks, order)))
            {
                let hits: Vec<AtomicU64> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
                pool.run_in(order, tasks, &|task, worker| {
                    assert!(worker < pool.threads());
                    hits[task].fetch_add(1, Ordering::Relaxed);
                });
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1), "{tasks} {order:?}");
            }
        }
    }

    #[test]
    fn a_worker_takes_its_neighbours_and_then_those_of_others() {
        let pool = Pool::new(2);
        let taken: Vec<AtomicU64> = (0..10).map(|_| AtomicU64::new(9)).collect();
        let done = AtomicU64::new(0);
        pool.run_neighbours(10, &|task, worker| {
            taken[task].store(worker as u64, Ordering::SeqCst);
            // The helper's first task, if it comes in time, waits until the caller has done all others.
            while worker == 1 && done.load(Ordering::SeqCst) < 9 {
                thread::yield_now();
            }
            done.fetch_add(1, Ordering::SeqCst);
        });
        let taken: Vec<u64> = taken.into_iter().map(AtomicU64::into_inner).collect();
        assert_eq!(taken[..5], [0; 5], "its own first: {taken:?}");
        assert!(taken[5..].iter().sum::<u64>() <= 1, "then the helper's: {taken:?}");
    }

    #[test]
    fn many_short_loops_lose_nothing() {
        let pool = Pool::new(3);
        let total = AtomicU64::new(0);
        for round in 0..20_000 {
            pool.run(4, &|task, _| {
                total.fetch_add(task as u64, Ordering::Relaxed);
            });
            if round % 2000 == 0 {
                // Long enough for the helpers to fall asleep.
                thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(total.into_inner(), 6 * 20_000);
    }

    #[test]
    fn helpers_take_part() {
        let pool = Pool::new(2);
        let helped = AtomicBool::new(false);
        // Each task waits until the helper has come, so the loop ends only if it does.
        pool.run(2, &|_, worker| {
            helped.fetch_or(worker == 1, Ordering::SeqCst);
            while !helped.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(2);
        for (tasks, order) in [(1, Order::Next), (100, Order::Next), (100, Order::Neighbours)] {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                pool.run_in(order, tasks, &|task, _| {
                    assert!(task != tasks - 1, "task {task} fails");
                });
            }));
            let payload = caught.expect_err("the panic was swallowed");
            let message = payload.downcast_ref::<String>().expect("a formatted message");
            assert!(message.contains(&format!("task {} fails", tasks - 1)), "{message}");
            let count = AtomicU64::new(0);
            pool.run(10, &|_, _| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 10);
        }
    }

    #[test]
    fn nested_and_concurrent_loops_finish() {
        let pool = Pool::new(2);
        let count = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    pool.run(50, &|_, worker| {
                        pool.run(3, &|_, inner| {
                            assert_eq!(inner, worker);
                            count.fetch_add(1, Ordering::Relaxed);
                        });
                    });
                });
            }
        });
        assert_eq!(count.into_inner(), 3 * 50 * 3);
    }

    #[test]
    fn scratch_is_aligned_and_private() {
        let pool = Pool::new(2);
        pool.run(64, &|task, worker| {
            pool.with_scratch(worker, 10 + task, |outer| {
                outer.fill(task as f32);
                pool.with_scratch(worker, 100, |inner| inner.fill(-1.0));
                assert_eq!(outer.as_ptr() as usize % 64, 0);
                assert_eq!(outer.len(), 10 + task);
                assert!(outer.iter().all(|&x| x == task as f32));
            });
        });
    }
}
