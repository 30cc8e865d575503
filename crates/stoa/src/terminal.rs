//! What the user sees: notes and progress bars on standard error, results on standard output.
//! Standard output carries results only, so that scripts can read it.

use std::io::{ErrorKind, IsTerminal, StdoutLock, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use stoa_runs::{Progress, Work};

use crate::cli::MachineArgs;

/// The two output streams, and how talkative to be on them.
#[derive(Clone, Debug)]
pub struct Terminal {
    json: bool,
    quiet: bool,
}

impl Terminal {
    /// Output as the options ask.
    pub fn new(machine: &MachineArgs) -> Self {
        Terminal { json: machine.json, quiet: machine.quiet }
    }

    /// Whether results are printed as JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a person is looking.
    pub fn interactive(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
    }

    /// A line about what is going on, on standard error.
    pub fn note(&self, line: impl AsRef<str>) {
        if !self.quiet {
            tell(line.as_ref());
        }
    }

    /// A result: `text` for people, or `value` as one line of JSON.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string(value)? } else { text() };
        let mut out = stdout();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    /// A bar over `length` units with an estimate of the time left; `what` says what is done.
    /// Where no terminal shows it, a line is printed now and then instead.
    pub fn bar(&self, what: &str, length: u64, unit: &str) -> Bar {
        let template = format!(
            "{{prefix}} {{bar:24}} {{percent:>3}} % {{human_pos}}/{{human_len}} {unit} · {{eta}} left {{msg}}"
        );
        let bar = ProgressBar::with_draw_target(Some(length), self.target());
        let style = ProgressStyle::with_template(&template).expect("a sound template");
        bar.set_style(style.progress_chars("━╸─"));
        bar.set_prefix(format!("{what:<12}"));
        Bar { bar, what: what.to_owned(), printed: None, plain: !self.quiet && !self.draws() }
    }

    fn draws(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.draws() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }

    /// An error with its causes, on standard error.
    pub fn error(&self, error: &anyhow::Error) {
        let mut causes: Vec<String> = Vec::new();
        for cause in error.chain().map(ToString::to_string) {
            // Transparent errors repeat the text of their source.
            if causes.last().is_none_or(|last| !last.contains(&cause)) {
                causes.push(cause);
            }
        }
        tell(&format!("error: {}", causes.join("\n  because: ")));
    }
}

/// Standard output. All results go through it: it marks the error of a reader that closed the pipe
/// early, such as `head`, for [`reader_left`].
pub struct Output(StdoutLock<'static>);

/// Standard output, locked.
pub fn stdout() -> Output {
    Output(std::io::stdout().lock())
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

/// The reader of standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has closed it")]
struct ReaderLeft;

fn marked(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => std::io::Error::new(ErrorKind::BrokenPipe, ReaderLeft),
        _ => error,
    }
}

/// Whether a command failed only because the reader of standard output had all it wanted.
pub fn reader_left(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<std::io::Error>();
        io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<ReaderLeft>())
    })
}

/// A line on standard error. When it cannot be written there is no place left to say so.
pub fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Progress of one piece of work.
pub struct Bar {
    bar: ProgressBar,
    what: String,
    printed: Option<Duration>,
    plain: bool,
}

impl Bar {
    /// Seconds between lines where no bar can be drawn: a log stays readable.
    const LINE_EVERY: Duration = Duration::from_secs(10);

    /// Sets how much there is to do, once it is known.
    pub fn set_length(&mut self, length: u64) {
        self.bar.set_length(length);
    }

    /// Sets how far the work is, and the message next to it.
    pub fn update(&mut self, position: u64, message: &str) {
        self.bar.set_position(position);
        self.bar.set_message(message.to_owned());
        let elapsed = self.bar.elapsed();
        let due = self.printed.is_none_or(|at| elapsed >= at + Self::LINE_EVERY);
        if self.plain && due && elapsed.as_secs() >= 2 {
            self.printed = Some(elapsed);
            let length = self.bar.length().unwrap_or(0).max(1);
            let (percent, left) = (100 * position / length, self.bar.eta().as_secs());
            tell(&format!("{:<12} {percent:>3} % · {left} s left {message}", self.what));
        }
    }

    /// Takes the bar away and prints what came of the work.
    pub fn finish(self, line: &str) {
        self.bar.finish_and_clear();
        if self.plain || !self.bar.is_hidden() {
            tell(&format!("{:<12} {line}", self.what));
        }
    }
}

impl Progress for Terminal {
    fn note(&self, line: &str) {
        Terminal::note(self, line);
    }

    fn begin(&self, what: &str, total: u64, unit: &str) -> Box<dyn Work> {
        Box::new(self.bar(what, total, unit))
    }
}

impl Work for Bar {
    fn set_total(&mut self, total: u64) {
        self.set_length(total);
    }

    fn update(&mut self, done: u64, message: &str) {
        Bar::update(self, done, message);
    }

    fn finish(self: Box<Self>, line: &str) {
        Bar::finish(*self, line);
    }
}
