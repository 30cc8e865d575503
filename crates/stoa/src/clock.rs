//! The system's clocks. Libraries are given the time as an argument.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use stoa_dialogue::LocalTime;
use stoa_training::Clock;

/// Clocks of which the monotonic one reads zero when it is made.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts the monotonic clock.
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn unix_seconds(&self) -> f64 {
        // A clock set before 1970 is wrong anyway.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
    }
}

/// The time for templates that ask for it, in UTC.
pub fn now() -> LocalTime {
    LocalTime::from_unix(SystemClock::new().unix_seconds() as i64, 0)
}
