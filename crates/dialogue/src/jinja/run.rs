//! Runs the statements of a template: text, conditions, loops, macros, captured blocks, and the
//! variables of their scopes. Expressions are in `evaluate`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::arguments::Args;
use super::fault::{Fault, FaultKind, Result};
use super::limits::Limits;
use super::loops::Loop;
use super::operators::truth;
use super::streams::{Source, collected};
use super::syntax::{Block, For, Kind, Load, Macro, Name, Program, Scope, Slot, Statement, Target};
use super::text::str_of;
use super::value::{Dict, Value};
use crate::LocalTime;

/// Steps that an object costs which stays in memory to the end.
const KEPT_STEPS: usize = 64;

/// The slots of a function that runs, and of the function it was written in.
#[derive(Debug)]
pub(crate) struct Activation {
    slots: RefCell<Vec<Option<Value>>>,
    parent: Option<Rc<Activation>>,
}

impl Activation {
    fn new(slots: usize, parent: Option<&Rc<Activation>>) -> Rc<Self> {
        let slots = RefCell::new(vec![None; slots]);
        Rc::new(Activation { slots, parent: parent.cloned() })
    }

    fn get(&self, slot: Slot) -> Option<Value> {
        let mut place = self;
        for _ in 0..slot.up {
            place = place.parent.as_deref()?;
        }
        place.slots.borrow().get(slot.index).cloned().flatten()
    }

    pub fn set(&self, index: usize, value: Option<Value>) {
        if let Some(place) = self.slots.borrow_mut().get_mut(index) {
            *place = value;
        }
    }
}

/// A macro with the variables around it.
#[derive(Debug)]
pub(crate) struct MacroValue {
    pub code: Arc<Macro>,
    pub around: Rc<Activation>,
}

/// What comes after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// One rendering.
pub(crate) struct Run {
    pub limits: Limits,
    /// The variables outside all scopes.
    globals: BTreeMap<Arc<str>, Value>,
    /// Those that the template set outside all scopes.
    exported: RefCell<BTreeMap<Arc<str>, Value>>,
    /// What is written now, inside of what is written once it ends.
    out: RefCell<Vec<String>>,
    /// Objects that may hold each other in a circle: emptied at the end.
    namespaces: RefCell<Vec<Rc<RefCell<Dict>>>>,
    kept: RefCell<Vec<Rc<Activation>>>,
    /// The clock of `strftime_now`.
    pub now: Option<LocalTime>,
    /// What is written around what `generation` encloses.
    marks: (String, String),
}

impl Drop for Run {
    fn drop(&mut self) {
        // Every object that could be reached from another is still in one of the lists while it is
        // emptied, so nothing is dropped inside a drop at any depth.
        self.exported.borrow_mut().clear();
        for activation in self.kept.borrow().iter() {
            let slots = activation.slots.take();
            drop(slots);
        }
        for namespace in self.namespaces.borrow().iter() {
            let entries = namespace.borrow_mut().take();
            drop(entries);
        }
    }
}

impl Run {
    /// A rendering with these variables.
    pub fn new(
        globals: BTreeMap<Arc<str>, Value>,
        now: Option<LocalTime>,
        marks: (String, String),
    ) -> Self {
        Run {
            limits: Limits::new(),
            globals,
            exported: RefCell::default(),
            out: RefCell::new(vec![String::new()]),
            namespaces: RefCell::default(),
            kept: RefCell::default(),
            now,
            marks,
        }
    }

    /// The text of a template.
    pub fn render(&self, program: &Program) -> Result<String> {
        let root = Activation::new(program.slots, None);
        self.enter(&program.scope, &root);
        let ran = self.statements(&program.body, &root);
        self.retire(&root);
        ran?;
        Ok(self.out.borrow_mut().pop().unwrap_or_default())
    }

    /// A variable outside all scopes.
    fn resolve(&self, name: &str) -> Option<Value> {
        let exported = self.exported.borrow().get(name).cloned();
        exported.or_else(|| self.globals.get(name).cloned())
    }

    /// Fills the slots of a scope that begins.
    pub fn enter(&self, scope: &Scope, here: &Rc<Activation>) {
        for (slot, load) in &scope.0 {
            let value = match load {
                Load::Resolve(name) => self.resolve(name),
                Load::Alias(outer) => here.get(*outer),
                Load::Undefined => None,
            };
            here.set(*slot, value);
        }
    }

    /// Keeps the slots of a function that ended if something still refers to them.
    fn retire(&self, activation: &Rc<Activation>) {
        if Rc::strong_count(activation) > 1 {
            self.kept.borrow_mut().push(Rc::clone(activation));
            // A later step notices when the steps have run out.
            drop(self.limits.spend(KEPT_STEPS));
        }
    }

    /// A namespace, kept to the end.
    pub fn namespace(&self, dict: Dict) -> Result<Value> {
        self.limits.spend(KEPT_STEPS)?;
        let namespace = Rc::new(RefCell::new(dict));
        self.namespaces.borrow_mut().push(Rc::clone(&namespace));
        Ok(Value::Namespace(namespace))
    }

    /// The value of a variable.
    pub fn variable(&self, name: &Name, here: &Rc<Activation>) -> Value {
        here.get(name.slot).unwrap_or_else(|| Value::undefined(&name.text))
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut out = self.out.borrow_mut();
        let Some(buffer) = out.last_mut() else { return Ok(()) };
        self.limits.fits(buffer.len() + text.len())?;
        self.limits.spend(text.len() / 16)?;
        buffer.push_str(text);
        Ok(())
    }

    /// What `write` writes.
    fn captured(&self, write: impl FnOnce() -> Result<Flow>) -> Result<(String, Flow)> {
        self.out.borrow_mut().push(String::new());
        let flow = write();
        let text = self.out.borrow_mut().pop().unwrap_or_default();
        Ok((text, flow?))
    }

    fn statements(&self, body: &[Statement], here: &Rc<Activation>) -> Result<Flow> {
        let _level = self.limits.enter()?;
        for statement in body {
            let flow = self
                .limits
                .spend(1)
                .and_then(|()| self.statement(&statement.kind, here))
                .map_err(|fault| fault.at(statement.line))?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&self, kind: &Kind, here: &Rc<Activation>) -> Result<Flow> {
        match kind {
            Kind::Text(text) => self.write(text)?,
            Kind::Print(expr) => {
                let value = self.evaluate(expr, here)?;
                self.print(&value)?;
            }
            Kind::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.holds(test, here)? {
                        return self.statements(body, here);
                    }
                }
                return self.statements(otherwise, here);
            }
            Kind::For(inner) => {
                let iterable = self.evaluate(&inner.iterable, here)?;
                return self.for_loop(inner, &iterable, here);
            }
            Kind::Break => return Ok(Flow::Break),
            Kind::Continue => return Ok(Flow::Continue),
            Kind::Set { target, value, exported } => {
                let value = self.evaluate(value, here)?;
                self.assign(target, value, here, *exported)?;
            }
            Kind::SetBlock { target, filter, scope, body, exported } => {
                let (text, flow) = self.block_text(scope, body, here)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
                let value = match filter {
                    Some(filter) => self.filter_text(filter, text, here)?,
                    None => Value::str(text),
                };
                self.assign(target, value, here, *exported)?;
            }
            Kind::With { targets, values, scope, body } => {
                return self.with(targets, values, scope, body, here);
            }
            Kind::FilterBlock { filter, scope, body } => {
                let (text, flow) = self.block_text(scope, body, here)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
                let value = self.filter_text(filter, text, here)?;
                self.write_string(&value)?;
            }
            Kind::Generation { scope, body } => {
                let (text, _) = self.block_text(scope, body, here)?;
                let (begin, end) = &self.marks;
                [begin.as_str(), &text, end].into_iter().try_for_each(|text| self.write(text))?;
            }
            Kind::Macro { target, exported, function } => {
                let value = self.macro_value(function, here);
                self.assign(&Target::Name(target.clone()), value, here, *exported)?;
            }
            Kind::Call { call, caller } => {
                let caller = self.macro_value(caller, here);
                let value = self.call_with(call, Some(caller), here)?;
                self.write_string(&value)?;
            }
            Kind::Block(block) => self.named_block(block)?,
            Kind::Loader(tag) => {
                let message =
                    format!("no loader for this environment: {tag} has no other template");
                return Err(Fault::other(message));
            }
        }
        Ok(Flow::Next)
    }

    /// Writes what a filter or call block gives, which Jinja2 does not make a string.
    fn write_string(&self, value: &Value) -> Result<()> {
        match value.as_str() {
            Some(text) => self.write(text),
            None => {
                let name = value.type_name();
                Err(Fault::type_error(format!("expected str instance, {name} found")))
            }
        }
    }

    /// Writes a value as text.
    fn print(&self, value: &Value) -> Result<()> {
        match value {
            Value::Str(text) => self.write(text),
            other => self.write(&str_of(other, &self.limits)?),
        }
    }

    /// What the body of a block in a scope of its own writes.
    fn block_text(
        &self,
        scope: &Scope,
        body: &[Statement],
        here: &Rc<Activation>,
    ) -> Result<(String, Flow)> {
        self.enter(scope, here);
        self.captured(|| self.statements(body, here))
    }

    fn with(
        &self,
        targets: &[Target],
        values: &[super::syntax::Expr],
        scope: &Scope,
        body: &[Statement],
        here: &Rc<Activation>,
    ) -> Result<Flow> {
        self.enter(scope, here);
        for (target, value) in targets.iter().zip(values) {
            let value = self.evaluate(value, here)?;
            self.assign(target, value, here, false)?;
        }
        self.statements(body, here)
    }

    /// A named block sees only what is outside all scopes.
    fn named_block(&self, block: &Arc<Block>) -> Result<()> {
        let inner = Activation::new(block.slots, None);
        self.enter(&block.scope, &inner);
        let ran = self.statements(&block.body, &inner);
        self.retire(&inner);
        ran.map(|_| ())
    }

    fn macro_value(&self, code: &Arc<Macro>, here: &Rc<Activation>) -> Value {
        Value::Macro(Rc::new(MacroValue { code: Arc::clone(code), around: Rc::clone(here) }))
    }

    /// Gives a value to a target.
    pub fn assign(
        &self,
        target: &Target,
        value: Value,
        here: &Rc<Activation>,
        exported: bool,
    ) -> Result<()> {
        match target {
            Target::Name(name) => {
                if exported {
                    self.exported.borrow_mut().insert(Arc::clone(&name.text), value.clone());
                }
                here.set(name.slot.index, Some(value));
                Ok(())
            }
            Target::Attribute(name, attribute) => {
                let Value::Namespace(names) = self.variable(name, here) else {
                    let message = "cannot assign attribute on non-namespace object";
                    return Err(Fault::other(message));
                };
                check_attribute(attribute)?;
                let key = Value::Str(Arc::clone(attribute));
                // A namespace may hold itself; what it held is dropped after the borrow ends.
                names.borrow_mut().insert(key, value)
            }
            Target::Tuple(targets) => {
                let items = collected(&value, &self.limits).map_err(|fault| match fault.kind {
                    FaultKind::Type => {
                        let name = value.type_name();
                        Fault::type_error(format!("cannot unpack non-iterable {name} object"))
                    }
                    _ => fault,
                })?;
                if items.len() != targets.len() {
                    let message = format!(
                        "cannot unpack {} values into {} names",
                        items.len(),
                        targets.len()
                    );
                    return Err(Fault::value_error(message));
                }
                for (target, item) in targets.iter().zip(items) {
                    self.assign(target, item, here, exported)?;
                }
                Ok(())
            }
        }
    }

    /// The value that a target holds.
    fn read_target(&self, target: &Target, here: &Rc<Activation>) -> Result<Value> {
        match target {
            Target::Name(name) | Target::Attribute(name, _) => Ok(self.variable(name, here)),
            Target::Tuple(targets) => {
                let items: Result<Vec<Value>> =
                    targets.iter().map(|target| self.read_target(target, here)).collect();
                Value::tuple(items?)
            }
        }
    }

    fn for_loop(&self, code: &Arc<For>, iterable: &Value, here: &Rc<Activation>) -> Result<Flow> {
        if !code.recursive {
            return self.loop_over(code, iterable, here, None, 0);
        }
        let text = self.recursive_loop(code, iterable, here, 0)?;
        self.write(&text)?;
        Ok(Flow::Next)
    }

    /// The text of a recursive loop, or of a level of it.
    pub fn recursive_loop(
        &self,
        code: &Arc<For>,
        iterable: &Value,
        around: &Rc<Activation>,
        depth: usize,
    ) -> Result<String> {
        let _level = self.limits.enter()?;
        let inner = Activation::new(code.slots, Some(around));
        let looped = self.captured(|| self.loop_over(code, iterable, &inner, Some(around), depth));
        self.retire(&inner);
        Ok(looped?.0)
    }

    fn loop_over(
        &self,
        code: &Arc<For>,
        iterable: &Value,
        here: &Rc<Activation>,
        around: Option<&Rc<Activation>>,
        depth: usize,
    ) -> Result<Flow> {
        let filter = code.test.as_ref().map(|test| {
            let inner = Activation::new(test.slots, Some(here));
            self.enter(&test.scope, &inner);
            inner
        });
        let state = Rc::new(Loop::new(iterable, code, filter.clone(), around.cloned(), depth)?);
        let looped = self.iterations(code, &state, here);
        here.set(code.variable, None);
        if let Some(filter) = filter {
            drop(state);
            self.retire(&filter);
        }
        let (completed, flow) = looped?;
        if flow == Flow::Next && !completed && !code.otherwise.is_empty() {
            self.enter(&code.else_scope, here);
            return self.statements(&code.otherwise, here);
        }
        Ok(Flow::Next)
    }

    /// All iterations of a loop, and whether one of them came to its end.
    fn iterations(
        &self,
        code: &Arc<For>,
        state: &Rc<Loop>,
        here: &Rc<Activation>,
    ) -> Result<(bool, Flow)> {
        let mut completed = false;
        while let Some(item) = state.advance(self)? {
            self.limits.spend(1)?;
            here.set(code.variable, Some(Value::Loop(Rc::clone(state))));
            self.assign(&code.target, item, here, false)?;
            self.enter(&code.scope, here);
            match self.statements(&code.body, here)? {
                Flow::Next => completed = true,
                Flow::Continue => {}
                Flow::Break => break,
            }
        }
        Ok((completed, Flow::Next))
    }

    /// The next item of a loop that meets its condition.
    pub fn next_item(
        &self,
        source: &mut Source,
        code: &For,
        filter: Option<&Rc<Activation>>,
    ) -> Result<Option<Value>> {
        loop {
            let Some(item) = source.next()? else { return Ok(None) };
            let (Some(test), Some(inner)) = (&code.test, filter) else { return Ok(Some(item)) };
            self.limits.spend(1)?;
            self.assign(&test.target, item, inner, false)?;
            if truth(&self.evaluate(&test.condition, inner)?) {
                return self.read_target(&test.target, inner).map(Some);
            }
        }
    }

    /// Calls a macro.
    pub fn call_macro(&self, function: &MacroValue, args: Args) -> Result<Value> {
        let _level = self.limits.enter()?;
        let code = &function.code;
        let inner = Activation::new(code.slots, Some(&function.around));
        let called = self.captured(|| {
            self.bind_parameters(code, args, &inner)?;
            self.statements(&code.body, &inner)
        });
        self.retire(&inner);
        Ok(Value::str(called?.0))
    }

    fn bind_parameters(&self, code: &Macro, mut args: Args, inner: &Rc<Activation>) -> Result<()> {
        let name = code.name.as_deref().unwrap_or("caller");
        let count = code.parameters.len();
        let mut rest = args.positional.split_off(count.min(args.positional.len()));
        let mut given: Vec<Option<Value>> =
            std::mem::take(&mut args.positional).into_iter().map(Some).collect();
        let mut found_caller = false;
        if given.len() == count {
            found_caller = code.parameters.iter().any(|parameter| &*parameter.text == "caller");
        }
        for parameter in &code.parameters[given.len()..] {
            found_caller |= &*parameter.text == "caller";
            given.push(args.pop(&parameter.text));
        }
        if let Some(slot) = code.caller
            && !found_caller
        {
            let none = Value::Undefined("No caller defined".into());
            let caller = match args.pop("caller") {
                None | Some(Value::None) => none,
                Some(caller) => caller,
            };
            inner.set(slot, Some(caller));
        }
        if let Some(slot) = code.kwargs {
            let entries = args.keyword.drain(..).map(|(name, value)| (Value::Str(name), value));
            inner.set(slot, Some(Value::dict(entries)?));
        } else if let Some((keyword, _)) = args.keyword.first() {
            let message = format!("macro '{name}' takes no keyword argument '{keyword}'");
            return Err(Fault::type_error(message));
        }
        if let Some(slot) = code.varargs {
            inner.set(slot, Some(Value::tuple(std::mem::take(&mut rest))?));
        } else if !rest.is_empty() {
            let message = format!("macro '{name}' takes not more than {count} argument(s)");
            return Err(Fault::type_error(message));
        }
        for (parameter, value) in code.parameters.iter().zip(&given) {
            inner.set(parameter.slot.index, value.clone());
        }
        self.enter(&code.scope, inner);
        let first_default = count - code.defaults.len();
        for (i, (parameter, value)) in code.parameters.iter().zip(given).enumerate() {
            if value.is_some() {
                continue;
            }
            let value = match i.checked_sub(first_default).and_then(|i| code.defaults.get(i)) {
                Some(default) => self.evaluate(default, inner)?,
                None => {
                    let text = format!("parameter '{}' was not provided", parameter.text);
                    Value::Undefined(text.into())
                }
            };
            inner.set(parameter.slot.index, Some(value));
        }
        Ok(())
    }
}

/// Names of a namespace do not begin with an underscore.
pub(crate) fn check_attribute(name: &str) -> Result<()> {
    if name.starts_with('_') {
        let message =
            format!("chat templates cannot store underscore-prefixed attributes: '{name}'");
        return Err(Fault::other(message));
    }
    Ok(())
}
