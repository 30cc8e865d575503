//! Ctrl-C: while training it asks to save and leave, while talking it stops the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;

use crate::terminal::tell;

/// What Ctrl-C has asked for. A process has one of these at most.
#[derive(Clone, Default)]
pub struct Interrupt {
    asked: Arc<AtomicBool>,
    talking: Arc<AtomicBool>,
    answering: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens to Ctrl-C and termination requests. While training, the first one asks to save and a
    /// second one ends the process. While talking, one stops the answer; at the prompt, where a
    /// terminal hands Ctrl-C to the line editor, a second request ends the process.
    ///
    /// # Errors
    /// When the system takes no handler.
    pub fn listen() -> anyhow::Result<Self> {
        let interrupt = Interrupt::default();
        let ours = interrupt.clone();
        let handler = move || {
            let again = ours.asked.swap(true, Ordering::SeqCst);
            if ours.answering.load(Ordering::SeqCst) {
                return;
            }
            if again {
                // 128 + SIGINT, as shells report it.
                std::process::exit(130);
            }
            if !ours.talking.load(Ordering::SeqCst) {
                tell("\nsaving; once more to leave at once");
            }
        };
        ctrlc::set_handler(handler).context("cannot listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// The flag that Ctrl-C sets.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }

    /// Whether it was pressed since the answer began, or since the start.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// A conversation waits for a question: there is nothing to save or to stop.
    pub fn begin_prompt(&self) {
        self.talking.store(true, Ordering::SeqCst);
        self.answering.store(false, Ordering::SeqCst);
        self.asked.store(false, Ordering::SeqCst);
    }

    /// An answer begins, which Ctrl-C stops.
    pub fn begin_answer(&self) {
        self.asked.store(false, Ordering::SeqCst);
        self.answering.store(true, Ordering::SeqCst);
    }
}
