//! Functions that every chat template may call: those of Jinja2's sandbox and those that
//! `transformers` adds.

use std::cell::Cell;
use std::rc::Rc;

use super::arguments::{Args, index, text};
use super::fault::{Fault, FaultKind, Result};
use super::limits::MAX_RANGE;
use super::run::{Run, check_attribute};
use super::streams::collected;
use super::text::str_of;
use super::value::{Cycler, Dict, Range, Value};

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Range,
    Dict,
    Namespace,
    Cycler,
    Joiner,
    Lipsum,
    RaiseException,
    StrftimeNow,
}

/// The functions by name.
pub(crate) const FUNCTIONS: [(&str, Function); 8] = [
    ("range", Function::Range),
    ("dict", Function::Dict),
    ("namespace", Function::Namespace),
    ("cycler", Function::Cycler),
    ("joiner", Function::Joiner),
    ("lipsum", Function::Lipsum),
    ("raise_exception", Function::RaiseException),
    ("strftime_now", Function::StrftimeNow),
];

impl Run {
    /// Calls a function.
    pub fn call_function(&self, function: Function, args: Args) -> Result<Value> {
        match function {
            Function::Range => range(args),
            Function::Dict => Ok(Value::Dict(Rc::new(self.dict(args)?))),
            Function::Namespace => {
                let dict = self.dict(args)?;
                for (name, _) in dict.entries() {
                    name.as_str().map_or(Ok(()), check_attribute)?;
                }
                self.namespace(dict)
            }
            Function::Cycler => {
                if args.positional.is_empty() || !args.keyword.is_empty() {
                    return Err(Fault::other("at least one item has to be provided"));
                }
                // Its depth is bounded with that of its items.
                let items = args.positional;
                Value::tuple(items.clone())?;
                Ok(Value::Cycler(Rc::new(Cycler { items, at: Cell::new(0) })))
            }
            Function::Joiner => {
                let [separator] = args.bind("joiner", ["sep"], 0)?;
                let separator = separator.unwrap_or_else(|| Value::str(", "));
                Value::tuple(vec![separator.clone()])?;
                Ok(Value::Joiner(Rc::new((separator, Cell::new(false)))))
            }
            Function::Lipsum => {
                Err(Fault::other("lipsum writes random text, which is not supported"))
            }
            Function::RaiseException => {
                let [message] = args.bind("raise_exception", ["message"], 1)?;
                let message = str_of(&message.unwrap_or(Value::None), &self.limits)?;
                Err(Fault::new(FaultKind::Raised, message))
            }
            Function::StrftimeNow => {
                let Some(now) = self.now else {
                    return Err(Fault::other("'strftime_now' is undefined"));
                };
                let [format] = args.bind("strftime_now", ["format"], 1)?;
                Ok(Value::str(now.format(text(&format.unwrap_or(Value::None))?)))
            }
        }
    }

    /// `dict(mapping_or_pairs, **names)`.
    fn dict(&self, mut args: Args) -> Result<Dict> {
        if args.positional.len() > 1 {
            let given = args.positional.len();
            let message = format!("dict expected at most 1 argument, got {given}");
            return Err(Fault::type_error(message));
        }
        let mut dict = Dict::default();
        match args.positional.pop() {
            None => {}
            Some(Value::Dict(given)) => {
                self.limits.spend(given.len())?;
                dict = (*given).clone();
            }
            Some(pairs) => {
                for pair in collected(&pairs, &self.limits)? {
                    let mut pair = collected(&pair, &self.limits)?;
                    let (Some(value), Some(key), None) = (pair.pop(), pair.pop(), pair.pop())
                    else {
                        let message =
                            "dictionary update sequence element has not length 2; 2 is required";
                        return Err(Fault::value_error(message));
                    };
                    dict.insert(key, value)?;
                }
            }
        }
        for (name, value) in args.keyword {
            dict.insert(Value::Str(name), value)?;
        }
        Ok(dict)
    }
}

fn range(args: Args) -> Result<Value> {
    let [first, second, step] = args.positional("range", 1)?;
    let first = index(&first.unwrap_or(Value::None))?;
    let (start, stop) = match second {
        Some(second) => (first, index(&second)?),
        None => (0, first),
    };
    let step = step.as_ref().map(index).transpose()?.unwrap_or(1);
    if step == 0 {
        return Err(Fault::value_error("range() arg 3 must not be zero"));
    }
    let range = Range { start, stop, step };
    if range.len() > MAX_RANGE {
        let message =
            format!("range too big: the sandbox blocks ranges of more than {MAX_RANGE} items");
        return Err(Fault::new(FaultKind::Overflow, message));
    }
    Ok(Value::Range(range))
}
