//! The syntax tree of a template, with a place for every variable. Made by `parser`; `scopes` fills
//! in where variables live. Evaluates nothing.

use std::sync::Arc;

use num_bigint::BigInt;

/// Where a variable lives: in a function's slots, some functions up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Functions to leave: 0 is the one that runs.
    pub up: usize,
    /// Its number there.
    pub index: usize,
}

/// A variable by its name in the template.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub text: Arc<str>,
    pub slot: Slot,
}

impl Name {
    pub fn new(text: &str) -> Self {
        Name { text: text.into(), slot: Slot::default() }
    }
}

/// What a slot holds when its scope begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// The value of a variable outside all scopes.
    Resolve(Arc<str>),
    /// The value of the same variable in an outer scope.
    Alias(Slot),
    /// Nothing.
    Undefined,
}

/// What is done when a scope begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope(pub Vec<(usize, Load)>);

/// Arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

impl Operator {
    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::FloorDivide => "//",
            Operator::Modulo => "%",
            Operator::Power => "**",
        }
    }
}

/// Comparisons, membership among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// An expression.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    None,
    Bool(bool),
    Int(BigInt),
    Float(f64),
    Str(Arc<str>),
    Name(Name),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    Not(Box<Expr>),
    /// From left to right.
    Arithmetic(Box<Expr>, Vec<(Operator, Expr)>),
    Concat(Vec<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// Condition, value if true, value if false.
    Conditional(Box<(Expr, Expr, Option<Expr>)>),
    Attribute(Box<Expr>, Arc<str>),
    Item(Box<(Expr, Expr)>),
    /// Object, start, stop, step.
    Slice(Box<(Expr, Option<Expr>, Option<Expr>, Option<Expr>)>),
    Call(Box<Expr>, Box<Arguments>),
    /// Without an object it filters what its block wrote.
    Filter(Option<Box<Expr>>, Box<Applied>),
    Test(Box<Expr>, Box<Applied>),
}

/// A filter or test with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Applied {
    pub name: Arc<str>,
    pub arguments: Arguments,
}

/// Arguments of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    pub positional: Vec<Expr>,
    pub keyword: Vec<(Arc<str>, Expr)>,
    /// `*list`.
    pub rest: Option<Expr>,
    /// `**dict`.
    pub rest_keyword: Option<Expr>,
}

/// What can be assigned to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Name(Name),
    /// An attribute of a namespace.
    Attribute(Name, Arc<str>),
    Tuple(Vec<Target>),
}

/// A statement with its line.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub line: usize,
    pub kind: Kind,
}

/// What a statement does.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Text(Arc<str>),
    Print(Expr),
    If(Vec<(Expr, Vec<Statement>)>, Vec<Statement>),
    For(Arc<For>),
    Break,
    Continue,
    Set {
        target: Target,
        value: Expr,
        /// Whether other blocks see it.
        exported: bool,
    },
    SetBlock {
        target: Target,
        filter: Option<Expr>,
        scope: Scope,
        body: Vec<Statement>,
        exported: bool,
    },
    With {
        targets: Vec<Target>,
        values: Vec<Expr>,
        scope: Scope,
        body: Vec<Statement>,
    },
    FilterBlock {
        filter: Expr,
        scope: Scope,
        body: Vec<Statement>,
    },
    Generation {
        scope: Scope,
        body: Vec<Statement>,
    },
    Macro {
        target: Name,
        exported: bool,
        function: Arc<Macro>,
    },
    Call {
        call: Expr,
        caller: Arc<Macro>,
    },
    Block(Arc<Block>),
    /// A tag that needs a second template, which there never is.
    Loader(&'static str),
}

/// A loop.
#[derive(Clone, Debug)]
pub(crate) struct For {
    pub target: Target,
    pub iterable: Expr,
    pub test: Option<Filtered>,
    pub recursive: bool,
    /// Slot of `loop`.
    pub variable: usize,
    pub scope: Scope,
    pub body: Vec<Statement>,
    pub else_scope: Scope,
    pub otherwise: Vec<Statement>,
    /// Slots of the function that a recursive loop is.
    pub slots: usize,
}

/// The condition of a loop: a function of its own.
#[derive(Clone, Debug)]
pub(crate) struct Filtered {
    pub target: Target,
    pub condition: Expr,
    pub scope: Scope,
    pub slots: usize,
}

/// A macro, or the body of a call block.
#[derive(Clone, Debug)]
pub(crate) struct Macro {
    /// `None` for a call block.
    pub name: Option<Arc<str>>,
    pub parameters: Vec<Name>,
    /// Defaults of the last parameters.
    pub defaults: Vec<Expr>,
    /// Slots of `caller`, `kwargs`, `varargs` where the body asks for them.
    pub caller: Option<usize>,
    pub kwargs: Option<usize>,
    pub varargs: Option<usize>,
    pub scope: Scope,
    pub body: Vec<Statement>,
    pub slots: usize,
}

/// A named block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub scope: Scope,
    pub body: Vec<Statement>,
    pub slots: usize,
}

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub scope: Scope,
    pub body: Vec<Statement>,
    pub slots: usize,
    /// Whether there is a `generation` tag.
    pub marks_answers: bool,
}
