//! What long work reports. The binary draws.

/// Hears how far work is.
pub trait Progress: Sync {
    /// A line about what is being done.
    fn note(&self, line: &str);

    /// Work of `total` units begins; `what` says what is done.
    fn begin(&self, what: &str, total: u64, unit: &str) -> Box<dyn Work>;
}

/// One piece of work.
pub trait Work: Send {
    /// Sets how much there is to do, once it is known.
    fn set_total(&mut self, total: u64);

    /// Sets how far the work is, and what to show with it.
    fn update(&mut self, done: u64, message: &str);

    /// Ends the work with a line on what came of it.
    fn finish(self: Box<Self>, line: &str);
}

/// Hears nothing.
pub struct NoProgress;

impl Progress for NoProgress {
    fn note(&self, _line: &str) {}

    fn begin(&self, _what: &str, _total: u64, _unit: &str) -> Box<dyn Work> {
        Box::new(NoProgress)
    }
}

impl Work for NoProgress {
    fn set_total(&mut self, _total: u64) {}

    fn update(&mut self, _done: u64, _message: &str) {}

    fn finish(self: Box<Self>, _line: &str) {}
}
