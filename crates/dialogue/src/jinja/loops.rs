//! The state of a loop, which templates see as `loop`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Args;
use super::fault::{Fault, FaultKind, Result};
use super::operators::equal;
use super::run::{Activation, Run};
use super::streams::{Source, length_of};
use super::syntax::For;
use super::value::Value;

/// A loop that runs.
pub(crate) struct Loop {
    code: Arc<For>,
    source: RefCell<Source>,
    /// Slots of the condition.
    filter: Option<Rc<Activation>>,
    /// Slots around a recursive loop.
    around: Option<Rc<Activation>>,
    depth0: usize,
    /// Iterations before this one; −1 before the first.
    index0: Cell<i64>,
    length: Cell<Option<i64>>,
    before: RefCell<Option<Value>>,
    current: RefCell<Option<Value>>,
    /// What was read ahead: the next item, or that there is none.
    after: RefCell<Option<Value>>,
    changed: RefCell<Option<Value>>,
    /// Whether all items have been read and met the condition.
    drained: Cell<bool>,
}

impl std::fmt::Debug for Loop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop").field("index0", &self.index0).finish_non_exhaustive()
    }
}

/// Attributes of `loop` that are functions.
pub(crate) const LOOP_METHODS: [&str; 2] = ["changed", "cycle"];

impl Loop {
    pub fn new(
        iterable: &Value,
        code: &Arc<For>,
        filter: Option<Rc<Activation>>,
        around: Option<Rc<Activation>>,
        depth0: usize,
    ) -> Result<Self> {
        let known = if filter.is_none() { length_of(iterable) } else { None };
        Ok(Loop {
            code: Arc::clone(code),
            source: RefCell::new(Source::of(iterable)?),
            filter,
            around,
            depth0,
            index0: Cell::new(-1),
            length: Cell::new(known.map(|length| length as i64)),
            before: RefCell::default(),
            current: RefCell::default(),
            after: RefCell::default(),
            changed: RefCell::default(),
            drained: Cell::new(false),
        })
    }

    /// Reads one item from the source.
    fn pull(&self, run: &Run) -> Result<Option<Value>> {
        let Ok(mut source) = self.source.try_borrow_mut() else {
            return Err(Fault::value_error("generator already executing"));
        };
        let filter = self.filter.as_ref().filter(|_| !self.drained.get());
        run.next_item(&mut source, &self.code, filter)
    }

    /// Moves to the next item.
    pub fn advance(&self, run: &Run) -> Result<Option<Value>> {
        let read_ahead = self.after.borrow_mut().take();
        let next = match read_ahead {
            Some(item) => Some(item),
            None => self.pull(run)?,
        };
        if let Some(item) = &next {
            self.index0.set(self.index0.get() + 1);
            let current = self.current.replace(Some(item.clone()));
            self.before.replace(current);
        }
        Ok(next)
    }

    fn peek(&self, run: &Run) -> Result<Option<Value>> {
        if self.after.borrow().is_none() {
            let next = self.pull(run)?;
            self.after.replace(next);
        }
        Ok(self.after.borrow().clone())
    }

    fn length(&self, run: &Run) -> Result<i64> {
        if let Some(length) = self.length.get() {
            return Ok(length);
        }
        let mut rest = Vec::new();
        while let Some(item) = self.pull(run)? {
            run.limits.spend(1)?;
            rest.push(item);
        }
        let ahead = i64::from(self.after.borrow().is_some());
        let length = rest.len() as i64 + self.index0.get() + 1 + ahead;
        self.length.set(Some(length));
        self.drained.set(true);
        self.source.replace(Source::Stream(Rc::new(super::value::Stream {
            kind: "list_iterator",
            items: RefCell::new(rest.into()),
            fault: RefCell::default(),
        })));
        Ok(length)
    }

    /// `len(loop)`.
    pub fn len(&self, run: &Run) -> Result<usize> {
        Ok(usize::try_from(self.length(run)?).unwrap_or(0))
    }

    /// An attribute that is no function.
    pub fn attribute(&self, name: &str, run: &Run) -> Result<Option<Value>> {
        let index0 = self.index0.get();
        Ok(Some(match name {
            "index" => Value::int(index0 + 1),
            "index0" => Value::int(index0),
            "revindex" => Value::int(self.length(run)? - index0),
            "revindex0" => Value::int(self.length(run)? - index0 - 1),
            "first" => Value::Bool(index0 == 0),
            "last" => Value::Bool(self.peek(run)?.is_none()),
            "length" => Value::int(self.length(run)?),
            "depth" => Value::int(self.depth0 + 1),
            "depth0" => Value::int(self.depth0),
            "previtem" if index0 != 0 => self.before.borrow().clone().unwrap_or(Value::None),
            "previtem" => Value::Undefined("there is no previous item".into()),
            "nextitem" => {
                self.peek(run)?.unwrap_or_else(|| Value::Undefined("there is no next item".into()))
            }
            _ => return Ok(None),
        }))
    }

    /// `loop.cycle(...)` and `loop.changed(...)`.
    pub fn call_method(&self, name: &str, args: Args, run: &Run) -> Result<Value> {
        if let Some((keyword, _)) = args.keyword.first() {
            let message = format!("{name}() got an unexpected keyword argument '{keyword}'");
            return Err(Fault::type_error(message));
        }
        if name == "cycle" {
            let length = args.positional.len() as i64;
            if length == 0 {
                return Err(Fault::type_error("no items for cycling given"));
            }
            let at = usize::try_from(self.index0.get().rem_euclid(length)).unwrap_or(0);
            return Ok(args.positional[at].clone());
        }
        let value = Value::tuple(args.positional)?;
        let same = match &*self.changed.borrow() {
            Some(last) => equal(last, &value, &run.limits)?,
            None => false,
        };
        if !same {
            self.changed.replace(Some(value));
        }
        Ok(Value::Bool(!same))
    }

    /// `loop(items)`: the same loop over other items.
    pub fn recurse(&self, args: Args, run: &Run) -> Result<Value> {
        let [iterable] = args.bind("loop", ["iterable"], 1)?;
        let Some(around) = &self.around else {
            let message = "the loop must have the 'recursive' marker to be called recursively";
            return Err(Fault::new(FaultKind::Type, message));
        };
        let iterable = iterable.unwrap_or(Value::None);
        run.recursive_loop(&self.code, &iterable, around, self.depth0 + 1).map(Value::str)
    }
}
