//! Jinja2's filters of numbers.

use super::arguments::{Args, index};
use super::fault::{Fault, FaultKind, Result};
use super::numbers::{parse_float, parse_int, truncated};
use super::operators::{arithmetic, int_to_float};
use super::printf::rounded;
use super::run::Run;
use super::syntax::Operator;
use super::value::Value;

impl Run {
    /// `abs`, `int`, `float` and `round`.
    pub fn number_filter(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "abs" => {
                let [] = args.positional(name, 0)?;
                match (value.defined()?, value.as_int()) {
                    (_, Some(whole)) => {
                        Ok(Value::Int(num_bigint::BigInt::from(whole.magnitude().clone())))
                    }
                    (Value::Float(x), _) => Ok(Value::Float(x.abs())),
                    _ => {
                        let name = value.type_name();
                        Err(Fault::type_error(format!("bad operand type for abs(): '{name}'")))
                    }
                }
            }
            "int" => to_int(value, args),
            "float" => {
                let [default] = args.bind(name, ["default"], 0)?;
                let default = default.unwrap_or(Value::Float(0.0));
                match (value.defined()?, value.as_int(), value.as_str()) {
                    (Value::Float(x), _, _) => Ok(Value::Float(*x)),
                    (_, Some(whole), _) => int_to_float(&whole).map(Value::Float),
                    (_, _, Some(text)) => Ok(parse_float(text).map_or(default, Value::Float)),
                    _ => Ok(default),
                }
            }
            _ => self.round(value, args),
        }
    }

    fn round(&self, value: &Value, args: Args) -> Result<Value> {
        let [precision, method] = args.bind("round", ["precision", "method"], 0)?;
        let places = precision.as_ref().map(index).transpose()?.unwrap_or(0);
        let method = method.unwrap_or_else(|| Value::str("common"));
        let up = match method.as_str() {
            Some("common") => return rounded(value, places),
            Some("ceil") => true,
            Some("floor") => false,
            _ => return Err(Fault::other("method must be common, ceil or floor")),
        };
        let (ten, places) = (Value::int(10), Value::int(places));
        let power = arithmetic(&ten, Operator::Power, &places, &self.limits)?;
        let scaled = arithmetic(value, Operator::Multiply, &power, &self.limits)?;
        let whole = match &scaled {
            Value::Float(x) => {
                let whole = truncated(if up { x.ceil() } else { x.floor() });
                whole.ok_or_else(|| Fault::value_error("cannot convert float to integer"))?
            }
            other => other.as_int().ok_or_else(|| {
                Fault::type_error(format!("must be real number, not {}", other.type_name()))
            })?,
        };
        arithmetic(&Value::Int(whole), Operator::Divide, &power, &self.limits)
    }
}

fn to_int(value: &Value, args: Args) -> Result<Value> {
    let [default, base] = args.bind("int", ["default", "base"], 0)?;
    let base = base.as_ref().map(index).transpose()?.unwrap_or(10);
    let base = u32::try_from(base).ok().filter(|base| *base == 0 || (2..=36).contains(base));
    let default = default.unwrap_or_else(|| Value::int(0));
    let whole = match value.defined()? {
        Value::Float(x) if x.is_infinite() => {
            let message = "cannot convert float infinity to integer";
            return Err(Fault::new(FaultKind::Overflow, message));
        }
        Value::Float(x) => truncated(*x),
        Value::Str(text) | Value::Markup(text) => {
            let whole = base.and_then(|base| parse_int(text, base));
            whole.or_else(|| parse_float(text).and_then(truncated))
        }
        other => other.as_int(),
    };
    Ok(whole.map_or(default, Value::Int))
}
