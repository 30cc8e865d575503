//! Jinja as chat templates need it: the language of Jinja2 with the values of Python, set up as
//! `transformers` sets it up (a sandbox in which lists and dicts do not change, `trim_blocks`,
//! `lstrip_blocks`, loop controls, `generation` blocks). Knows nothing of conversations.
//!
//! `lexer`, `parser`, `expressions` and `scopes` make a tree of a template; `run` and `evaluate`
//! render it; the other modules are Python's values and what can be done with them.

mod arguments;
mod attributes;
mod evaluate;
mod expressions;
mod fault;
mod filters;
mod formatting;
mod functions;
mod lexer;
mod limits;
mod loops;
mod number_filters;
mod numbers;
mod operators;
mod parser;
mod paths;
mod predicates;
mod printf;
mod run;
mod scopes;
mod sorting;
mod streams;
mod strings;
mod syntax;
mod text;
mod text_filters;
mod value;
mod words;
mod wrapping;

pub(crate) use fault::{Fault, FaultKind};
pub(crate) use functions::{FUNCTIONS, Function};
pub(crate) use parser::parse;
pub(crate) use run::Run;
pub(crate) use syntax::Program;
pub(crate) use value::Value;
