//! Jinja2's filters that choose, order and change lists and other values; filters of text are in
//! `text_filters`, the ways to a part of each item in `paths`.

use num_traits::ToPrimitive as _;

use super::arguments::{Args, flag, index, optional_index};
use super::attributes::attribute;
use super::fault::{Fault, FaultKind, Result};
use super::operators::{arithmetic, equal, less, truth};
use super::paths::Path;
use super::run::Run;
use super::sorting::sorted;
use super::streams::{Source, collected, length};
use super::syntax::Operator;
use super::text::{DumpOptions, dumps};
use super::text_filters::TEXT_FILTERS;
use super::value::{Value, View};

/// The names of the filters here.
const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "batch",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "groupby",
    "int",
    "items",
    "last",
    "length",
    "list",
    "map",
    "max",
    "min",
    "random",
    "reject",
    "rejectattr",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "sum",
    "tojson",
    "unique",
];

/// Whether there is a filter of this name.
pub(crate) fn is_filter(name: &str) -> bool {
    FILTERS.contains(&name) || TEXT_FILTERS.contains(&name)
}

/// What a list of results is called in Python.
const GENERATOR: &str = "generator";

/// The value of an argument that is `None` unless given.
fn given(value: Option<Value>) -> Option<Value> {
    value.filter(|value| !matches!(value, Value::None))
}

impl Run {
    /// What a filter makes of a value.
    pub fn filter(&self, name: &str, value: Value, args: Args) -> Result<Value> {
        if TEXT_FILTERS.contains(&name) {
            return self.text_filter(name, &value, args);
        }
        match name {
            "default" | "d" => {
                let [default, boolean] = args.bind(name, ["default_value", "boolean"], 0)?;
                let missing = value.is_undefined() || (flag(boolean) && !truth(&value));
                Ok(if missing { default.unwrap_or_else(|| Value::str("")) } else { value })
            }
            "length" | "count" => {
                let [] = args.positional("len", 0)?;
                match &value {
                    Value::Loop(state) => Ok(Value::int(state.len(self)?)),
                    value => Ok(Value::int(length(value)?)),
                }
            }
            "list" => {
                let [] = args.positional(name, 0)?;
                Value::list(collected(&value, &self.limits)?)
            }
            "abs" | "int" | "float" | "round" => self.number_filter(name, &value, args),
            "first" | "last" | "min" | "max" | "sum" => self.one_of(name, &value, args),
            "sort" | "unique" | "groupby" | "dictsort" => self.ordered(name, &value, args),
            "batch" | "slice" => self.pieces(name, &value, args),
            "map" => Ok(self.lazily(&value, |run, item, args| run.mapped(item, args), args)),
            "select" | "reject" | "selectattr" | "rejectattr" => {
                Ok(self.selected(name, &value, args))
            }
            "items" => {
                let [] = args.positional(name, 0)?;
                Ok(match value {
                    Value::Undefined(_) => Value::stream(GENERATOR, Vec::new(), None),
                    Value::Dict(dict) => {
                        let view = Value::View(View::Items, dict);
                        Value::stream(GENERATOR, collected(&view, &self.limits)?, None)
                    }
                    _ => {
                        let fault = Fault::type_error("can only get item pairs from a mapping");
                        Value::stream(GENERATOR, Vec::new(), Some(fault))
                    }
                })
            }
            "reverse" => {
                let [] = args.positional(name, 0)?;
                self.reversed(&value)
            }
            "attr" => {
                let [name] = args.bind(name, ["name"], 1)?;
                self.attr(&value, &name.unwrap_or(Value::None))
            }
            "tojson" => self.tojson(&value, args),
            "random" => Err(Fault::other("random choices are not supported")),
            other => Err(Fault::other(format!("no filter named '{other}'"))),
        }
    }

    /// A value's attribute without its items.
    fn attr(&self, value: &Value, name: &Value) -> Result<Value> {
        value.defined()?;
        let Some(name) = name.as_str() else {
            return Err(Fault::type_error("attribute name must be string"));
        };
        let without_items = match value {
            Value::Dict(_) => &Value::dict([])?,
            other => other,
        };
        attribute(self, without_items, name).map(|found| match (found, value) {
            (Value::Method(method), Value::Dict(_)) => {
                Value::Method(std::rc::Rc::new((value.clone(), method.1)))
            }
            (found, _) => found,
        })
    }

    /// `json.dumps` as `transformers` gives it to templates.
    fn tojson(&self, value: &Value, args: Args) -> Result<Value> {
        let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
        let [ensure_ascii, indent, separators, sort_keys] = args.bind("tojson", names, 0)?;
        let indent = match given(indent) {
            None => None,
            Some(indent) => Some(match indent.as_str() {
                Some(indent) => indent.to_owned(),
                None => {
                    let width = usize::try_from(index(&indent)?).unwrap_or(0);
                    self.limits.bytes(width)?;
                    " ".repeat(width)
                }
            }),
        };
        let separators = match given(separators) {
            Some(pair) => {
                let pair = collected(&pair, &self.limits)?;
                match pair.as_slice() {
                    [item, key] if item.as_str().is_some() && key.as_str().is_some() => {
                        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                        (text(item), text(key))
                    }
                    [_, _] => return Err(Fault::type_error("separators must be strings")),
                    _ => return Err(Fault::value_error("separators are a pair of strings")),
                }
            }
            // Python leaves out the space at the end of a line.
            None => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
        };
        let options = DumpOptions {
            ensure_ascii: flag(ensure_ascii),
            indent,
            separators,
            sort_keys: flag(sort_keys),
        };
        dumps(value, &options, &self.limits).map(Value::str)
    }

    fn one_of(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "first" => {
                let [] = args.positional(name, 0)?;
                let first = Source::of(value)?.next()?;
                Ok(first.unwrap_or_else(|| {
                    Value::Undefined("no first item, sequence was empty".into())
                }))
            }
            "last" => {
                let [] = args.positional(name, 0)?;
                let reversed = self.reversed_items(value)?;
                Ok(reversed
                    .into_iter()
                    .next()
                    .unwrap_or_else(|| Value::Undefined("no last item, sequence was empty".into())))
            }
            "sum" => {
                let [attribute, start] = args.bind(name, ["attribute", "start"], 0)?;
                let path = Path::new(given(attribute).as_ref())?;
                let mut sum = start.unwrap_or_else(|| Value::int(0));
                if sum.as_str().is_some() {
                    return Err(Fault::type_error("sum() can't sum strings"));
                }
                for item in collected(value, &self.limits)? {
                    let item = path.of(self, &item)?;
                    sum = arithmetic(&sum, Operator::Add, &item, &self.limits)?;
                }
                Ok(sum)
            }
            _ => {
                let names = ["case_sensitive", "attribute"];
                let [case_sensitive, attribute] = args.bind(name, names, 0)?;
                let path = Path::new(given(attribute).as_ref())?.folding(!flag(case_sensitive));
                let mut best: Option<(Value, Value)> = None;
                for item in collected(value, &self.limits)? {
                    let key = path.of(self, &item)?;
                    let better = match &best {
                        None => true,
                        Some((known, _)) if name == "min" => less(&key, known, &self.limits)?,
                        Some((known, _)) => less(known, &key, &self.limits)?,
                    };
                    if better {
                        best = Some((key, item));
                    }
                }
                Ok(best.map_or_else(
                    || Value::Undefined("no aggregated item, sequence was empty".into()),
                    |(_, item)| item,
                ))
            }
        }
    }

    fn ordered(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        match name {
            "sort" => {
                let names = ["reverse", "case_sensitive", "attribute"];
                let [reverse, case_sensitive, attribute] = args.bind(name, names, 0)?;
                let paths = Path::several(given(attribute).as_ref(), !flag(case_sensitive))?;
                let keyed = self.keyed(value, |item| {
                    let parts: Result<Vec<Value>> =
                        paths.iter().map(|path| path.of(self, item)).collect();
                    Value::list(parts?)
                })?;
                self.sorted_items(keyed, flag(reverse)).map(Value::list)?
            }
            "unique" => {
                let names = ["case_sensitive", "attribute"];
                let [case_sensitive, attribute] = args.bind(name, names, 0)?;
                let path = Path::new(given(attribute).as_ref())?.folding(!flag(case_sensitive));
                let mut seen = std::collections::HashSet::new();
                let mut items = Vec::new();
                let mut read = || -> Result<()> {
                    for item in collected(value, &self.limits)? {
                        if seen.insert(path.of(self, &item)?.key()?) {
                            items.push(item);
                        }
                    }
                    Ok(())
                };
                let fault = read().err();
                limit(&fault)?;
                Ok(Value::stream(GENERATOR, items, fault))
            }
            "groupby" => {
                let names = ["attribute", "default", "case_sensitive"];
                let [attribute, default, case_sensitive] = args.bind(name, names, 1)?;
                let exact = Path::new(given(attribute).as_ref())?.or(given(default));
                let path = exact.clone().folding(!flag(case_sensitive));
                let keyed = self.keyed(value, |item| path.of(self, item))?;
                self.groups(keyed, &exact)
            }
            _ => {
                let names = ["case_sensitive", "by", "reverse"];
                let [case_sensitive, by, reverse] = args.bind(name, names, 0)?;
                let by = by.unwrap_or_else(|| Value::str("key"));
                let place = match by.as_str() {
                    Some("key") => 0,
                    Some("value") => 1,
                    _ => {
                        let message = "you can only sort by either \"key\" or \"value\"";
                        return Err(Fault::other(message));
                    }
                };
                let Value::Dict(dict) = value.defined()? else {
                    return Err(Fault::other("dictsort needs a dict"));
                };
                let path = Path::index(place).folding(!flag(case_sensitive));
                let items = Value::View(View::Items, dict.clone());
                let keyed = self.keyed(&items, |item| path.of(self, item))?;
                self.sorted_items(keyed, flag(reverse)).map(Value::list)?
            }
        }
    }

    fn keyed(
        &self,
        value: &Value,
        key: impl Fn(&Value) -> Result<Value>,
    ) -> Result<Vec<(Value, Value)>> {
        let items = collected(value, &self.limits)?;
        items.into_iter().map(|item| Ok((key(&item)?, item))).collect()
    }

    fn sorted_items(&self, keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>> {
        let ordered = sorted(keyed, |a, b| {
            let (a, b) = if reverse { (b, a) } else { (a, b) };
            less(&a.0, &b.0, &self.limits)
        })?;
        Ok(ordered.into_iter().map(|(_, item)| item).collect())
    }

    fn groups(&self, keyed: Vec<(Value, Value)>, exact: &Path) -> Result<Value> {
        let ordered = sorted(keyed, |a, b| less(&a.0, &b.0, &self.limits))?;
        let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
        for (key, item) in ordered {
            match groups.last_mut() {
                Some((known, items)) if equal(known, &key, &self.limits)? => items.push(item),
                _ => groups.push((key, vec![item])),
            }
        }
        let mut out = Vec::new();
        for (_, items) in groups {
            let key = items.first().map_or(Ok(Value::None), |item| exact.of(self, item))?;
            out.push(Value::tuple(vec![key, Value::list(items)?])?);
        }
        Value::list(out)
    }

    fn pieces(&self, name: &str, value: &Value, args: Args) -> Result<Value> {
        let count_name = if name == "batch" { "linecount" } else { "slices" };
        let [count, fill] = args.bind(name, [count_name, "fill_with"], 1)?;
        let (count, fill) = (count.unwrap_or(Value::None), given(fill));
        let mut pieces = Vec::new();
        let mut cut = || -> Result<()> {
            let items = collected(value, &self.limits)?;
            let wanted = if name == "batch" {
                batches(self, items, &count, fill.as_ref())?
            } else {
                slices(self, &items, &count, fill.as_ref())?
            };
            for piece in wanted {
                pieces.push(Value::list(piece)?);
            }
            Ok(())
        };
        let fault = cut().err();
        limit(&fault)?;
        Ok(Value::stream(GENERATOR, pieces, fault))
    }

    /// A generator over what `make` makes of the items. What Python would compute while it is read
    /// is computed at once; an error waits until the reader comes to it.
    fn lazily(
        &self,
        value: &Value,
        make: impl Fn(&Self, &Value, &Args) -> Result<Option<Value>>,
        args: Args,
    ) -> Value {
        let mut items = Vec::new();
        let mut read = || -> Result<()> {
            if !truth(value) {
                return Ok(());
            }
            for item in collected(value, &self.limits)? {
                self.limits.spend(1)?;
                items.extend(make(self, &item, &args)?);
            }
            Ok(())
        };
        let fault = read().err();
        Value::stream(GENERATOR, items, fault)
    }

    /// One item of `map`: a part of it, or what a filter makes of it.
    fn mapped(&self, item: &Value, args: &Args) -> Result<Option<Value>> {
        let mut args = args.clone();
        if args.positional.is_empty()
            && let Some(attribute) = args.pop("attribute")
        {
            let default = given(args.pop("default"));
            if let Some((name, _)) = args.keyword.first() {
                return Err(Fault::other(format!("unexpected keyword argument '{name}'")));
            }
            return Path::new(given(Some(attribute)).as_ref())?
                .or(default)
                .of(self, item)
                .map(Some);
        }
        if args.positional.is_empty() {
            return Err(Fault::other("map requires a filter argument"));
        }
        let name = args.positional.remove(0);
        let Some(name) = name.as_str() else { return Err(Fault::other("no such filter")) };
        self.filter(name, item.clone(), args).map(Some)
    }

    fn selected(&self, name: &str, value: &Value, args: Args) -> Value {
        let (wanted, by_part) = (name.starts_with("select"), name.ends_with("attr"));
        let choose = |run: &Self, item: &Value, args: &Args| -> Result<Option<Value>> {
            let mut args = args.clone();
            let part = if by_part {
                if args.positional.is_empty() {
                    return Err(Fault::other("missing parameter for attribute name"));
                }
                Path::new(given(Some(args.positional.remove(0))).as_ref())?.of(run, item)?
            } else {
                item.clone()
            };
            let passes = if args.positional.is_empty() {
                truth(&part)
            } else {
                let test = args.positional.remove(0);
                let Some(test) = test.as_str() else { return Err(Fault::other("no such test")) };
                truth(&run.test(test, &part, args)?)
            };
            Ok((passes == wanted).then(|| item.clone()))
        };
        self.lazily(value, choose, args)
    }

    /// `list(reversed(value))`.
    fn reversed_items(&self, value: &Value) -> Result<Vec<Value>> {
        value.defined()?;
        if matches!(value, Value::Stream(_)) {
            let name = value.type_name();
            return Err(Fault::type_error(format!("'{name}' object is not reversible")));
        }
        let mut items = collected(value, &self.limits)?;
        items.reverse();
        Ok(items)
    }

    fn reversed(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Str(_) | Value::Markup(_) => {
                let bounds = [None, None, Some(Value::int(-1))];
                super::attributes::slice(value, &bounds, &self.limits)
            }
            Value::Stream(_) => {
                let mut items = collected(value, &self.limits)?;
                items.reverse();
                Value::list(items)
            }
            value => {
                let items = self.reversed_items(value)?;
                Ok(Value::stream("list_reverseiterator", items, None))
            }
        }
    }
}

/// A limit of the engine is an error at once, not when a generator is read.
fn limit(fault: &Option<Fault>) -> Result<()> {
    match fault {
        Some(fault) if fault.kind == FaultKind::Limit => Err(fault.clone()),
        _ => Ok(()),
    }
}

fn batches(
    run: &Run,
    items: Vec<Value>,
    count: &Value,
    fill: Option<&Value>,
) -> Result<Vec<Vec<Value>>> {
    let size = count.as_int().and_then(|count| count.to_usize());
    let (mut out, mut piece) = (Vec::new(), Vec::new());
    for item in items {
        // A size that is no count is never reached.
        if Some(piece.len()) == size {
            out.push(std::mem::take(&mut piece));
        }
        piece.push(item);
    }
    if !piece.is_empty() {
        if let Some(fill) = fill {
            let size = usize::try_from(index(count)?).unwrap_or(0);
            run.limits.spend(size)?;
            if piece.len() < size {
                piece.resize(size, fill.clone());
            }
        }
        out.push(piece);
    }
    Ok(out)
}

fn slices(
    run: &Run,
    items: &[Value],
    count: &Value,
    fill: Option<&Value>,
) -> Result<Vec<Vec<Value>>> {
    let count = optional_index(Some(count))?.unwrap_or(0);
    if count == 0 {
        return Err(Fault::other("integer division or modulo by zero"));
    }
    let Ok(count) = usize::try_from(count) else { return Ok(Vec::new()) };
    run.limits.spend(count)?;
    let (size, longer) = (items.len() / count, items.len() % count);
    let mut out = Vec::new();
    for i in 0..count {
        let start = i * size + i.min(longer);
        let end = start + size + usize::from(i < longer);
        let mut piece = items[start..end].to_vec();
        if i >= longer {
            piece.extend(fill.cloned());
        }
        out.push(piece);
    }
    Ok(out)
}
