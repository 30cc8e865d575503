//! Python's operators on values: truth, equality, order, membership, arithmetic. Integers have any
//! size; comparisons of integers with floats are exact.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_integer::Integer as _;
use num_traits::{FromPrimitive as _, Pow as _, ToPrimitive as _, Zero as _};

use super::fault::{Fault, FaultKind, Result};
use super::limits::{Limits, MAX_BITS};
use super::printf::printf;
use super::streams::Source;
use super::syntax::{Comparison, Operator};
use super::text::{escaped, str_of};
use super::value::{Value, View};

/// `bool(value)`.
pub(crate) fn truth(value: &Value) -> bool {
    match value {
        Value::Undefined(_) | Value::None => false,
        Value::Bool(value) => *value,
        Value::Int(value) => !value.is_zero(),
        Value::Float(value) => *value != 0.0,
        Value::Str(text) | Value::Markup(text) => !text.is_empty(),
        Value::List(items) | Value::Tuple(items) => !items.items.is_empty(),
        Value::Dict(dict) | Value::View(_, dict) => dict.len() > 0,
        Value::Range(range) => range.len() > 0,
        _ => true,
    }
}

/// A number of Python.
enum Number {
    Int(BigInt),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Float(value) => Some(Number::Float(*value)),
        other => other.as_int().map(Number::Int),
    }
}

/// The order of an integer and a float; `None` beside NaN.
fn order_mixed(a: &BigInt, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    let Some(whole) = BigInt::from_f64(b.trunc()) else {
        return Some(if b > 0.0 { Ordering::Less } else { Ordering::Greater });
    };
    Some(a.cmp(&whole).then_with(|| 0.0f64.partial_cmp(&b.fract()).unwrap_or(Ordering::Equal)))
}

/// The order of two numbers; `None` unless both are numbers that can be ordered.
fn order_numbers(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    Some(match (number(a)?, number(b)?) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
        (Number::Int(a), Number::Float(b)) => order_mixed(&a, b),
        (Number::Float(a), Number::Int(b)) => order_mixed(&b, a).map(Ordering::reverse),
    })
}

/// `a == b`.
pub(crate) fn equal(a: &Value, b: &Value, limits: &Limits) -> Result<bool> {
    limits.spend(1)?;
    if let Some(order) = order_numbers(a, b) {
        return Ok(order == Some(Ordering::Equal));
    }
    Ok(match (a, b) {
        (Value::Undefined(_), Value::Undefined(_)) => true,
        (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
            if x.items.len() != y.items.len() {
                return Ok(false);
            }
            for (x, y) in x.items.iter().zip(&y.items) {
                if !x.same(y) && !equal(x, y, limits)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Dict(x), Value::Dict(y)) => {
            if x.len() != y.len() {
                return Ok(false);
            }
            for (key, value) in x.entries() {
                match y.get(&key.key()?) {
                    Some(other) if value.same(other) || equal(value, other, limits)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::View(View::Keys, x), Value::View(View::Keys, y)) => {
            x.len() == y.len()
                && x.entries().iter().all(|(key, _)| key.key().is_ok_and(|k| y.get(&k).is_some()))
        }
        (Value::View(View::Items, x), Value::View(View::Items, y)) => {
            equal(&Value::Dict(x.clone()), &Value::Dict(y.clone()), limits)?
        }
        _ => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => {
                let both = matches!((a, b), (Value::Range(_), Value::Range(_)));
                if both { a.key()? == b.key()? } else { a.same(b) }
            }
            _ => false,
        },
    })
}

/// The order of two values for `<` and its kin; `None` where none of them holds.
fn order(a: &Value, b: &Value, sign: &str, limits: &Limits) -> Result<Option<Ordering>> {
    limits.spend(1)?;
    a.defined()?;
    b.defined()?;
    if let Some(order) = order_numbers(a, b) {
        return Ok(order);
    }
    match (a, b) {
        (Value::List(x), Value::List(y)) | (Value::Tuple(x), Value::Tuple(y)) => {
            for (x, y) in x.items.iter().zip(&y.items) {
                if !x.same(y) && !equal(x, y, limits)? {
                    return order(x, y, sign, limits);
                }
            }
            Ok(Some(x.items.len().cmp(&y.items.len())))
        }
        _ => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) => Ok(Some(a.cmp(b))),
            _ => Err(Fault::type_error(format!(
                "'{sign}' not supported between instances of '{}' and '{}'",
                a.type_name(),
                b.type_name()
            ))),
        },
    }
}

/// `a < b`.
pub(crate) fn less(a: &Value, b: &Value, limits: &Limits) -> Result<bool> {
    Ok(order(a, b, "<", limits)? == Some(Ordering::Less))
}

/// One comparison.
pub(crate) fn compare(
    a: &Value,
    comparison: Comparison,
    b: &Value,
    limits: &Limits,
) -> Result<bool> {
    let holds = |sign, wanted: &[Ordering]| -> Result<bool> {
        Ok(order(a, b, sign, limits)?.is_some_and(|order| wanted.contains(&order)))
    };
    match comparison {
        Comparison::Equal => equal(a, b, limits),
        Comparison::Unequal => Ok(!equal(a, b, limits)?),
        Comparison::Less => holds("<", &[Ordering::Less]),
        Comparison::LessOrEqual => holds("<=", &[Ordering::Less, Ordering::Equal]),
        Comparison::Greater => holds(">", &[Ordering::Greater]),
        Comparison::GreaterOrEqual => holds(">=", &[Ordering::Greater, Ordering::Equal]),
        Comparison::In => contains(b, a, limits),
        Comparison::NotIn => Ok(!contains(b, a, limits)?),
    }
}

/// `item in container`.
pub(crate) fn contains(container: &Value, item: &Value, limits: &Limits) -> Result<bool> {
    match container {
        Value::Str(text) | Value::Markup(text) => match item.as_str() {
            Some(part) => {
                limits.bytes(text.len())?;
                Ok(text.contains(part))
            }
            None => {
                let name = item.type_name();
                let message = format!("'in <string>' requires string as left operand, not {name}");
                Err(Fault::type_error(message))
            }
        },
        Value::Dict(dict) | Value::View(View::Keys, dict) => Ok(dict.get(&item.key()?).is_some()),
        Value::Namespace(_) | Value::Macro(_) | Value::Function(_) | Value::Method(_) => {
            let name = container.type_name();
            Err(Fault::type_error(format!("argument of type '{name}' is not iterable")))
        }
        other => {
            let mut source = Source::of(other).map_err(|fault| match fault.kind {
                FaultKind::Type => {
                    let name = other.type_name();
                    Fault::type_error(format!("argument of type '{name}' is not iterable"))
                }
                _ => fault,
            })?;
            while let Some(found) = source.next()? {
                if found.same(item) || equal(&found, item, limits)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
    }
}

fn unsupported(a: &Value, operator: Operator, b: &Value) -> Fault {
    Fault::type_error(format!(
        "unsupported operand type(s) for {}: '{}' and '{}'",
        operator.sign(),
        a.type_name(),
        b.type_name()
    ))
}

/// `a operator b`.
pub(crate) fn arithmetic(
    a: &Value,
    operator: Operator,
    b: &Value,
    limits: &Limits,
) -> Result<Value> {
    // A string on the left of `%` formats anything, undefined values too.
    if let (Some(format), Operator::Modulo) = (a.as_str(), operator) {
        let text = printf(format, b, limits)?;
        return Ok(like(a, text));
    }
    a.defined()?;
    b.defined()?;
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        return match (x, y) {
            (Number::Int(x), Number::Int(y)) => integers(x, operator, y),
            (x, y) => floats(real(x)?, operator, real(y)?).map(Value::Float),
        };
    }
    match (a, operator, b) {
        (_, Operator::Add, _) if a.as_str().is_some() && b.as_str().is_some() => {
            joined(a, b, limits)
        }
        (Value::List(x), Operator::Add, Value::List(y)) => {
            limits.spend(x.items.len() + y.items.len())?;
            Value::list(x.items.iter().chain(&y.items).cloned().collect())
        }
        (Value::Tuple(x), Operator::Add, Value::Tuple(y)) => {
            limits.spend(x.items.len() + y.items.len())?;
            Value::tuple(x.items.iter().chain(&y.items).cloned().collect())
        }
        (_, Operator::Multiply, _) => match (a.as_int(), b.as_int()) {
            (None, Some(count)) => repeated(a, &count, limits),
            (Some(count), None) => repeated(b, &count, limits),
            _ => Err(unsupported(a, operator, b)),
        }
        .map_err(|fault| match fault.message.as_str() {
            "" => unsupported(a, operator, b),
            _ => fault,
        }),
        _ => Err(unsupported(a, operator, b)),
    }
}

/// Text of the same kind as `model`.
fn like(model: &Value, text: String) -> Value {
    match model {
        Value::Markup(_) => Value::Markup(text.into()),
        _ => Value::str(text),
    }
}

/// `a + b` of strings; beside HTML, text is escaped.
fn joined(a: &Value, b: &Value, limits: &Limits) -> Result<Value> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (left, right) = match (a, b) {
        (Value::Markup(_), Value::Str(_)) => (text(a), escaped(&text(b))),
        (Value::Str(_), Value::Markup(_)) => (escaped(&text(a)), text(b)),
        _ => (text(a), text(b)),
    };
    limits.bytes(left.len() + right.len())?;
    let markup = matches!(a, Value::Markup(_)) || matches!(b, Value::Markup(_));
    let text = left + &right;
    Ok(if markup { Value::Markup(text.into()) } else { Value::str(text) })
}

/// `value * count`; a fault without message where Python multiplies no such value.
fn repeated(value: &Value, count: &BigInt, limits: &Limits) -> Result<Value> {
    let negative = count.sign() == Sign::Minus;
    let times = if negative { 0 } else { count.to_usize().unwrap_or(usize::MAX) };
    match value {
        Value::Str(text) | Value::Markup(text) => {
            limits.bytes(text.len().saturating_mul(times))?;
            Ok(like(value, text.repeat(times)))
        }
        Value::List(items) | Value::Tuple(items) => {
            limits.spend(items.items.len().saturating_mul(times))?;
            let length = items.items.len() * times;
            let all = items.items.iter().cycle().take(length).cloned().collect();
            if matches!(value, Value::List(_)) { Value::list(all) } else { Value::tuple(all) }
        }
        _ => Err(Fault::type_error("")),
    }
}

fn real(number: Number) -> Result<f64> {
    match number {
        Number::Float(value) => Ok(value),
        Number::Int(value) => int_to_float(&value),
    }
}

/// `float(int)`.
pub(crate) fn int_to_float(value: &BigInt) -> Result<f64> {
    value
        .to_f64()
        .filter(|value| value.is_finite())
        .ok_or_else(|| Fault::new(FaultKind::Overflow, "int too large to convert to float"))
}

fn zero_division(message: &str) -> Fault {
    Fault::other(message)
}

fn integers(a: BigInt, operator: Operator, b: BigInt) -> Result<Value> {
    let bits = a.bits().saturating_add(b.bits());
    Ok(Value::Int(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => {
            bounded(bits)?;
            a * b
        }
        Operator::Divide => {
            if b.is_zero() {
                return Err(zero_division("division by zero"));
            }
            return Ok(Value::Float(divided(&a, &b)?));
        }
        Operator::FloorDivide | Operator::Modulo if b.is_zero() => {
            return Err(zero_division("integer division or modulo by zero"));
        }
        Operator::FloorDivide => a.div_floor(&b),
        Operator::Modulo => a.mod_floor(&b),
        Operator::Power => {
            if b.sign() == Sign::Minus {
                let power = floats(int_to_float(&a)?, operator, int_to_float(&b)?)?;
                return Ok(Value::Float(power));
            }
            let exponent = b.to_u32().unwrap_or(u32::MAX);
            if a.bits() > 1 {
                bounded(a.bits().saturating_mul(u64::from(exponent)))?;
            } else if exponent == u32::MAX {
                // Powers of 0, 1 and -1 depend on whether the exponent is odd or zero.
                return Ok(Value::Int(if b.is_even() { &a * &a } else { a }));
            }
            a.pow(exponent)
        }
    }))
}

fn bounded(bits: u64) -> Result<()> {
    if bits > MAX_BITS {
        let message = format!("an integer of {bits} bits; at most {MAX_BITS} are allowed");
        return Err(Fault::new(FaultKind::Limit, message));
    }
    Ok(())
}

/// `a / b` of integers, correctly rounded.
fn divided(a: &BigInt, b: &BigInt) -> Result<f64> {
    const EXACT: u64 = 53;
    if a.bits() <= EXACT && b.bits() <= EXACT {
        return Ok(a.to_f64().unwrap_or(f64::NAN) / b.to_f64().unwrap_or(f64::NAN));
    }
    // A quotient of 66 bits or more, its last bit set where something was left over, rounds to the
    // same float as the exact one.
    let shift = 66 + b.bits() as i64 - a.bits() as i64;
    let (numerator, denominator) =
        if shift > 0 { (a << shift, b.clone()) } else { (a.clone(), b << -shift) };
    let (quotient, rest) = numerator.div_rem(&denominator);
    let negative = a.sign() != b.sign();
    let mut magnitude = BigInt::from_biguint(Sign::Plus, quotient.magnitude().clone());
    if !rest.is_zero() {
        magnitude |= BigInt::from(1);
    }
    let scaled = magnitude.to_f64().unwrap_or(f64::INFINITY) * 2f64.powi((-shift) as i32);
    if !scaled.is_finite() {
        let message = "integer division result too large for a float";
        return Err(Fault::new(FaultKind::Overflow, message));
    }
    Ok(if negative { -scaled } else { scaled })
}

fn floats(a: f64, operator: Operator, b: f64) -> Result<f64> {
    let by_zero = b == 0.0;
    Ok(match operator {
        Operator::Add => a + b,
        Operator::Subtract => a - b,
        Operator::Multiply => a * b,
        Operator::Divide if by_zero => return Err(zero_division("float division by zero")),
        Operator::Divide => a / b,
        Operator::FloorDivide if by_zero => {
            return Err(zero_division("float floor division by zero"));
        }
        Operator::Modulo if by_zero => return Err(zero_division("float modulo")),
        Operator::FloorDivide => {
            let (quotient, _) = divided_floor(a, b);
            quotient
        }
        Operator::Modulo => divided_floor(a, b).1,
        Operator::Power => {
            if a == 0.0 && b < 0.0 {
                return Err(zero_division("0.0 cannot be raised to a negative power"));
            }
            if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 {
                return Err(Fault::other("a power that is a complex number is not supported"));
            }
            let power = a.powf(b);
            if power.is_infinite() && a.is_finite() && b.is_finite() {
                let message = "(34, 'Numerical result out of range')";
                return Err(Fault::new(FaultKind::Overflow, message));
            }
            power
        }
    })
}

/// Quotient and remainder with the sign of the divisor, as CPython computes them.
fn divided_floor(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest != 0.0 {
        if (b < 0.0) != (rest < 0.0) {
            rest += b;
            quotient -= 1.0;
        }
    } else {
        rest = 0.0f64.copysign(b);
    }
    let mut floor = quotient.floor();
    if quotient == 0.0 {
        floor = 0.0f64.copysign(a / b);
    } else if quotient - floor > 0.5 {
        floor += 1.0;
    }
    (floor, rest)
}

/// `-value` and `+value`.
pub(crate) fn signed(value: &Value, negative: bool) -> Result<Value> {
    value.defined()?;
    match number(value) {
        Some(Number::Int(value)) => Ok(Value::Int(if negative { -value } else { value })),
        Some(Number::Float(value)) => Ok(Value::Float(if negative { -value } else { value })),
        None => Err(Fault::type_error(format!(
            "bad operand type for unary {}: '{}'",
            if negative { '-' } else { '+' },
            value.type_name()
        ))),
    }
}

/// `str(a) + str(b) + …`.
pub(crate) fn concatenated(values: &[Value], limits: &Limits) -> Result<Value> {
    let mut out = String::new();
    for value in values {
        let text = str_of(value, limits)?;
        limits.bytes(out.len() + text.len())?;
        out.push_str(&text);
    }
    Ok(Value::str(out))
}
