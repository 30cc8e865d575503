//! Why a template fails: Python's kinds of errors, as far as Jinja2 tells them apart.

/// The kind of a fault: what Jinja2 catches in some places, and what it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// Not Jinja.
    Syntax,
    /// `raise_exception`.
    Raised,
    /// `TypeError`.
    Type,
    /// `ValueError`.
    Value,
    /// `LookupError`.
    Lookup,
    /// `OverflowError`.
    Overflow,
    /// Any other error of Python or Jinja2.
    Other,
    /// A limit of this engine on time, memory or nesting.
    Limit,
}

/// An error of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub kind: FaultKind,
    pub message: String,
    /// Line of the template, once known.
    pub line: Option<usize>,
}

/// What may fail.
pub(crate) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), line: None }
    }

    pub fn syntax(line: usize, message: impl Into<String>) -> Self {
        Fault { line: Some(line), ..Fault::new(FaultKind::Syntax, message) }
    }

    pub fn type_error(message: impl Into<String>) -> Self {
        Fault::new(FaultKind::Type, message)
    }

    pub fn value_error(message: impl Into<String>) -> Self {
        Fault::new(FaultKind::Value, message)
    }

    pub fn other(message: impl Into<String>) -> Self {
        Fault::new(FaultKind::Other, message)
    }

    /// The same fault at a line, unless it has one.
    pub fn at(mut self, line: usize) -> Self {
        self.line.get_or_insert(line);
        self
    }
}
