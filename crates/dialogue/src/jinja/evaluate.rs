//! The value of an expression.

use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Args;
use super::attributes::{attribute, call_method, item, slice};
use super::fault::{Fault, Result};
use super::operators::{arithmetic, compare, concatenated, signed, truth};
use super::run::{Activation, Run};
use super::streams::collected;
use super::syntax::{Applied, Arguments, Expr};
use super::value::Value;

impl Run {
    /// Whether an expression is true.
    pub fn holds(&self, expr: &Expr, here: &Rc<Activation>) -> Result<bool> {
        Ok(truth(&self.evaluate(expr, here)?))
    }

    /// The value of an expression.
    pub fn evaluate(&self, expr: &Expr, here: &Rc<Activation>) -> Result<Value> {
        self.limits.spend(1)?;
        match expr {
            Expr::None => Ok(Value::None),
            Expr::Bool(value) => Ok(Value::Bool(*value)),
            Expr::Int(value) => Ok(Value::Int(value.clone())),
            Expr::Float(value) => Ok(Value::Float(*value)),
            Expr::Str(text) => Ok(Value::Str(Arc::clone(text))),
            Expr::Name(name) => Ok(self.variable(name, here)),
            _ => {
                let _level = self.limits.enter()?;
                self.compound(expr, here)
            }
        }
    }

    fn compound(&self, expr: &Expr, here: &Rc<Activation>) -> Result<Value> {
        match expr {
            Expr::Attribute(object, name) => {
                let object = self.evaluate(object, here)?;
                attribute(self, &object, name)
            }
            Expr::Item(parts) => {
                let object = self.evaluate(&parts.0, here)?;
                let key = self.evaluate(&parts.1, here)?;
                item(self, &object, &key)
            }
            Expr::Filter(object, applied) => self.apply(object.as_deref(), applied, None, here),
            Expr::Test(object, applied) => self.test_expr(object, applied, here),
            Expr::Call(..) => self.call_with(expr, None, here),
            Expr::And(items) => self.first_with(false, items, here),
            Expr::Or(items) => self.first_with(true, items, here),
            Expr::Not(inner) => Ok(Value::Bool(!self.holds(inner, here)?)),
            Expr::Conditional(parts) => {
                let (test, then, otherwise) = &**parts;
                match (self.holds(test, here)?, otherwise) {
                    (true, _) => self.evaluate(then, here),
                    (false, Some(otherwise)) => self.evaluate(otherwise, here),
                    (false, None) => {
                        let message = "the inline if-expression evaluated to false and no else \
                                       section was defined";
                        Ok(Value::Undefined(message.into()))
                    }
                }
            }
            _ => self.operation(expr, here),
        }
    }

    fn operation(&self, expr: &Expr, here: &Rc<Activation>) -> Result<Value> {
        match expr {
            Expr::List(items) => Value::list(self.all(items, here)?),
            Expr::Tuple(items) => Value::tuple(self.all(items, here)?),
            Expr::Dict(items) => {
                let mut dict = super::value::Dict::default();
                for (key, value) in items {
                    let key = self.evaluate(key, here)?;
                    dict.insert(key, self.evaluate(value, here)?)?;
                }
                Ok(Value::Dict(Rc::new(dict)))
            }
            Expr::Negative(inner) => signed(&self.evaluate(inner, here)?, true),
            Expr::Positive(inner) => signed(&self.evaluate(inner, here)?, false),
            Expr::Arithmetic(first, rest) => {
                let mut value = self.evaluate(first, here)?;
                for (operator, item) in rest {
                    let item = self.evaluate(item, here)?;
                    value = arithmetic(&value, *operator, &item, &self.limits)?;
                }
                Ok(value)
            }
            Expr::Concat(items) => concatenated(&self.all(items, here)?, &self.limits),
            Expr::Compare(first, rest) => {
                let mut left = self.evaluate(first, here)?;
                for (comparison, item) in rest {
                    let right = self.evaluate(item, here)?;
                    if !compare(&left, *comparison, &right, &self.limits)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Ok(Value::Bool(true))
            }
            Expr::Slice(parts) => self.slice_expr(parts, here),
            _ => Err(Fault::other("an expression of no known kind")),
        }
    }

    fn slice_expr(
        &self,
        parts: &(Expr, Option<Expr>, Option<Expr>, Option<Expr>),
        here: &Rc<Activation>,
    ) -> Result<Value> {
        let object = self.evaluate(&parts.0, here)?;
        let mut bounds = [None, None, None];
        for (bound, part) in bounds.iter_mut().zip([&parts.1, &parts.2, &parts.3]) {
            if let Some(part) = part {
                *bound = Some(self.evaluate(part, here)?);
            }
        }
        slice(&object, &bounds, &self.limits)
    }

    fn all(&self, items: &[Expr], here: &Rc<Activation>) -> Result<Vec<Value>> {
        items.iter().map(|item| self.evaluate(item, here)).collect()
    }

    /// Python's `and` and `or`: the first value that decides, else the last.
    fn first_with(&self, wanted: bool, items: &[Expr], here: &Rc<Activation>) -> Result<Value> {
        let mut last = Value::None;
        for item in items {
            last = self.evaluate(item, here)?;
            if truth(&last) == wanted {
                break;
            }
        }
        Ok(last)
    }

    fn arguments(&self, arguments: &Arguments, here: &Rc<Activation>) -> Result<Args> {
        let mut args = Args { positional: self.all(&arguments.positional, here)?, keyword: vec![] };
        for (name, value) in &arguments.keyword {
            args.keyword.push((Arc::clone(name), self.evaluate(value, here)?));
        }
        if let Some(rest) = &arguments.rest {
            let rest = self.evaluate(rest, here)?;
            args.positional.extend(collected(&rest, &self.limits)?);
        }
        if let Some(rest) = &arguments.rest_keyword {
            let rest = self.evaluate(rest, here)?;
            let Value::Dict(rest) = rest.defined()? else {
                return Err(Fault::type_error("argument after ** must be a mapping"));
            };
            for (name, value) in rest.entries() {
                let Value::Str(name) = name else {
                    return Err(Fault::type_error("keywords must be strings"));
                };
                if args.keyword.iter().any(|(known, _)| known == name) {
                    let message = format!("got multiple values for keyword argument '{name}'");
                    return Err(Fault::type_error(message));
                }
                args.keyword.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(args)
    }

    /// The value of a call, which gets a caller where a block calls.
    pub fn call_with(
        &self,
        call: &Expr,
        caller: Option<Value>,
        here: &Rc<Activation>,
    ) -> Result<Value> {
        let Expr::Call(callee, arguments) = call else { return self.evaluate(call, here) };
        let callee = self.evaluate(callee, here)?;
        let mut args = self.arguments(arguments, here)?;
        if let Some(caller) = caller {
            args.keyword.push(("caller".into(), caller));
        }
        self.call(&callee, args)
    }

    /// Calls a value.
    pub fn call(&self, callee: &Value, args: Args) -> Result<Value> {
        match callee.defined()? {
            Value::Macro(function) => self.call_macro(function, args),
            Value::Function(function) => self.call_function(*function, args),
            Value::Method(method) => call_method(self, &method.0, method.1, args),
            Value::Loop(state) => state.recurse(args, self),
            Value::Joiner(joiner) => {
                let [] = args.positional("joiner", 0)?;
                let used = joiner.1.replace(true);
                Ok(if used { joiner.0.clone() } else { Value::str("") })
            }
            other => {
                let name = other.type_name();
                Err(Fault::type_error(format!("'{name}' object is not callable")))
            }
        }
    }

    /// The value of a filter: of an expression's value, or of what a block wrote.
    fn apply(
        &self,
        object: Option<&Expr>,
        applied: &Applied,
        text: Option<String>,
        here: &Rc<Activation>,
    ) -> Result<Value> {
        let value = match (object, text) {
            (Some(Expr::Filter(inner, first)), Some(text)) => {
                self.apply(inner.as_deref(), first, Some(text), here)?
            }
            (Some(object), _) => self.evaluate(object, here)?,
            (None, text) => Value::str(text.unwrap_or_default()),
        };
        let args = self.arguments(&applied.arguments, here)?;
        self.filter(&applied.name, value, args)
    }

    /// Filters what a block wrote.
    pub fn filter_text(&self, filter: &Expr, text: String, here: &Rc<Activation>) -> Result<Value> {
        match filter {
            Expr::Filter(object, applied) => {
                self.apply(object.as_deref(), applied, Some(text), here)
            }
            other => self.evaluate(other, here),
        }
    }

    fn test_expr(&self, object: &Expr, applied: &Applied, here: &Rc<Activation>) -> Result<Value> {
        let value = self.evaluate(object, here)?;
        let args = self.arguments(&applied.arguments, here)?;
        self.test(&applied.name, &value, args)
    }
}
