//! Jinja2's tests: what may follow `is`.

use num_integer::Integer as _;

use super::arguments::Args;
use super::fault::{Fault, FaultKind, Result};
use super::filters::is_filter;
use super::operators::{arithmetic, compare, contains, equal};
use super::run::Run;
use super::streams::{Source, length_of};
use super::strings::is_of;
use super::syntax::{Comparison, Operator};
use super::text::str_of;
use super::value::Value;

/// The names of all tests.
pub(crate) const TESTS: &[&str] = &[
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "boolean",
    "callable",
    "defined",
    "divisibleby",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "sameas",
    "sequence",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
];

/// Comparisons by name.
const COMPARISONS: [(&str, Comparison); 15] = [
    ("==", Comparison::Equal),
    ("eq", Comparison::Equal),
    ("equalto", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("ne", Comparison::Unequal),
    (">", Comparison::Greater),
    ("gt", Comparison::Greater),
    ("greaterthan", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
    ("ge", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    ("lt", Comparison::Less),
    ("lessthan", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    ("le", Comparison::LessOrEqual),
];

impl Run {
    /// Whether a value passes a test.
    pub fn test(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        let limits = &self.limits;
        if let Some((_, comparison)) = COMPARISONS.into_iter().find(|(known, _)| *known == name) {
            let [other] = args.positional(name, 1)?;
            return compare(value, comparison, &other.unwrap_or(Value::None), limits)
                .map(Value::Bool);
        }
        let passes = match name {
            "divisibleby" => {
                let [other] = args.bind(name, ["num"], 1)?;
                let other = other.unwrap_or(Value::None);
                let rest = arithmetic(value, Operator::Modulo, &other, limits)?;
                equal(&rest, &Value::int(0), limits)?
            }
            "sameas" => {
                let [other] = args.bind(name, ["other"], 1)?;
                value.same(&other.unwrap_or(Value::None))
            }
            "in" => {
                let [container] = args.bind(name, ["seq"], 1)?;
                contains(&container.unwrap_or(Value::None), value, limits)?
            }
            _ => {
                let [] = args.bind(name, [], 0)?;
                self.plain_test(name, value)?
            }
        };
        Ok(Value::Bool(passes))
    }

    /// A test without arguments.
    fn plain_test(&self, name: &str, value: &Value) -> Result<bool> {
        Ok(match name {
            "defined" => !value.is_undefined(),
            "undefined" => value.is_undefined(),
            "none" => matches!(value, Value::None),
            "boolean" => matches!(value, Value::Bool(_)),
            "true" => matches!(value, Value::Bool(true)),
            "false" => matches!(value, Value::Bool(false)),
            "integer" => matches!(value, Value::Int(_)),
            "float" => matches!(value, Value::Float(_)),
            "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
            "string" => value.as_str().is_some(),
            "escaped" => matches!(value, Value::Markup(_)),
            "mapping" => matches!(value, Value::Dict(_)),
            // An undefined value has a length, and an attribute of every name but those that begin
            // with two underscores; it has `__getitem__` all the same.
            "sequence" => length_of(value).is_some() && !matches!(value, Value::View(..)),
            "iterable" => Source::of(value).is_ok() || matches!(value, Value::Loop(_)),
            "callable" => matches!(
                value,
                Value::Function(_)
                    | Value::Method(_)
                    | Value::Macro(_)
                    | Value::Loop(_)
                    | Value::Joiner(_)
                    | Value::Undefined(_)
            ),
            "lower" | "upper" => {
                let class = if name == "lower" { "islower" } else { "isupper" };
                is_of(&str_of(value, &self.limits)?, class)
            }
            "odd" | "even" => {
                let two = Value::int(2);
                let rest = arithmetic(value, Operator::Modulo, &two, &self.limits)?;
                let wanted = Value::int(u8::from(name == "odd"));
                match &rest {
                    Value::Int(rest) => rest.is_odd() == (name == "odd"),
                    rest => equal(rest, &wanted, &self.limits)?,
                }
            }
            "filter" => {
                value.key()?;
                value.as_str().is_some_and(is_filter)
            }
            "test" => {
                value.key()?;
                value.as_str().is_some_and(|name| TESTS.contains(&name))
            }
            other => {
                return Err(Fault::new(FaultKind::Other, format!("no test named '{other}'")));
            }
        })
    }
}
