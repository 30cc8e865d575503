//! Where variables live: Jinja2's rules of scope, applied once when a template is read.
//!
//! Loops, `with`, captured blocks and macros have scopes of their own. A scope sees the variables
//! of those around it, but what it sets is its own: a name that is set anywhere in a scope is that
//! scope's from its beginning, where it takes the value from around it. Each function (template,
//! macro, caller, condition of a loop, recursive loop, named block) has numbered slots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::syntax::{
    Arguments, Block, Expr, For, Kind, Load, Macro, Name, Program, Scope, Slot, Statement, Target,
};

/// How a name gets its value when its scope begins.
#[derive(Clone, Debug)]
enum Source {
    /// It is given.
    Parameter,
    Load(Load),
}

/// The names of one scope.
#[derive(Clone, Debug, Default)]
struct Symbols {
    sources: BTreeMap<Arc<str>, Source>,
    stores: BTreeSet<Arc<str>>,
}

struct Frame {
    /// Number of the function it belongs to, from the outermost.
    function: usize,
    slots: BTreeMap<Arc<str>, usize>,
    symbols: Symbols,
}

/// Slots of a function taken so far, for each function around the place.
#[derive(Default)]
struct Places {
    frames: Vec<Frame>,
    functions: Vec<usize>,
    /// Whether what is set here is seen by named blocks.
    top_level: bool,
}

/// Gives every variable of a template its slot.
pub(crate) fn place_variables(mut program: Program) -> Program {
    let mut places = Places { top_level: true, ..Places::default() };
    places.functions.push(0);
    places.begin();
    places.declare_all(&mut program.body);
    places.place_all(&mut program.body);
    program.scope = places.end();
    program.slots = places.functions.pop().unwrap_or(0);
    program
}

impl Places {
    fn begin(&mut self) {
        let function = self.functions.len() - 1;
        let (slots, symbols) = (BTreeMap::new(), Symbols::default());
        self.frames.push(Frame { function, slots, symbols });
    }

    /// Ends the innermost scope and says what is done when it begins.
    fn end(&mut self) -> Scope {
        let Some(frame) = self.frames.pop() else { return Scope::default() };
        let load = |(name, source): (Arc<str>, Source)| match source {
            Source::Load(load) => frame.slots.get(&name).map(|&slot| (slot, load)),
            Source::Parameter => None,
        };
        Scope(frame.symbols.sources.into_iter().filter_map(load).collect())
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("a scope is open wherever names are placed")
    }

    /// The slot of a name that this scope or one around it knows.
    fn find(&self, name: &str, outer_only: bool) -> Option<Slot> {
        let innermost = self.functions.len() - 1;
        let skipped = usize::from(outer_only);
        self.frames.iter().rev().skip(skipped).find_map(|frame| {
            frame.symbols.sources.contains_key(name).then(|| Slot {
                up: innermost - frame.function,
                index: frame.slots.get(name).copied().unwrap_or_default(),
            })
        })
    }

    /// Makes a name this scope's.
    fn define(&mut self, name: &Arc<str>, source: Source) -> usize {
        let function = self.frame().function;
        let next = self.functions[function];
        let frame = self.frame();
        frame.symbols.sources.insert(Arc::clone(name), source);
        let slot = *frame.slots.entry(Arc::clone(name)).or_insert(next);
        if slot == next {
            self.functions[function] += 1;
        }
        slot
    }

    fn parameter(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        self.frame().symbols.stores.insert(Arc::clone(&name));
        self.define(&name, Source::Parameter)
    }

    fn load(&mut self, name: &Arc<str>) {
        if self.find(name, false).is_none() {
            self.define(name, Source::Load(Load::Resolve(Arc::clone(name))));
        }
    }

    fn store(&mut self, name: &Arc<str>) {
        self.frame().symbols.stores.insert(Arc::clone(name));
        if !self.frame().symbols.sources.contains_key(name) {
            let load = self.find(name, true).map_or(Load::Undefined, Load::Alias);
            self.define(name, Source::Load(load));
        }
    }

    fn declare_expr(&mut self, expr: &mut Expr) {
        each_name(expr, &mut |name| self.load(&name.text));
    }

    fn declare_target(&mut self, target: &mut Target, parameter: bool) {
        match target {
            Target::Name(name) if parameter => drop(self.parameter(&name.text)),
            Target::Name(name) => self.store(&name.text),
            Target::Attribute(name, _) => self.load(&name.text),
            Target::Tuple(items) => {
                items.iter_mut().for_each(|item| self.declare_target(item, parameter));
            }
        }
    }

    /// Notes the names that statements of the innermost scope use, in their order.
    fn declare_all(&mut self, body: &mut [Statement]) {
        for statement in body {
            match &mut statement.kind {
                Kind::Print(expr) => self.declare_expr(expr),
                Kind::If(branches, otherwise) => self.declare_if(branches, otherwise),
                Kind::For(inner) => self.declare_expr(&mut unique(inner).iterable),
                Kind::Set { target, value, .. } => {
                    self.declare_expr(value);
                    self.declare_target(target, false);
                }
                Kind::SetBlock { target, .. } => self.declare_target(target, false),
                Kind::With { values, .. } => values.iter_mut().for_each(|v| self.declare_expr(v)),
                Kind::FilterBlock { filter, .. } => self.declare_expr(filter),
                Kind::Macro { target, .. } => self.store(&target.text),
                Kind::Call { call, .. } => self.declare_expr(call),
                Kind::Text(_)
                | Kind::Break
                | Kind::Continue
                | Kind::Generation { .. }
                | Kind::Block(_)
                | Kind::Loader(_) => {}
            }
        }
    }

    fn declare_if(&mut self, branches: &mut [(Expr, Vec<Statement>)], otherwise: &mut [Statement]) {
        let Some(((test, body), more)) = branches.split_first_mut() else { return };
        self.declare_expr(test);
        let before = self.frame().symbols.clone();
        self.declare_all(body);
        let first = std::mem::replace(&mut self.frame().symbols, before.clone());
        for branch in more {
            self.declare_if(std::slice::from_mut(branch), &mut []);
        }
        let second = std::mem::replace(&mut self.frame().symbols, before.clone());
        self.declare_all(otherwise);
        let third = std::mem::replace(&mut self.frame().symbols, before.clone());
        let mut stored = BTreeSet::new();
        for branch in [first, second, third] {
            stored.extend(branch.stores.iter().filter(|n| !before.stores.contains(*n)).cloned());
            let symbols = &mut self.frame().symbols;
            symbols.sources.extend(branch.sources);
            symbols.stores.extend(branch.stores);
        }
        // What only one branch sets has, without it, the value from around.
        for name in stored {
            let load = match self.find(&name, true) {
                Some(slot) => Load::Alias(slot),
                None => Load::Resolve(Arc::clone(&name)),
            };
            self.define(&name, Source::Load(load));
        }
    }

    fn place(&self, name: &mut Name) {
        name.slot = self.find(&name.text, false).unwrap_or_default();
    }

    fn place_expr(&self, expr: &mut Expr) {
        each_name(expr, &mut |name| self.place(name));
    }

    fn place_target(&self, target: &mut Target) {
        match target {
            Target::Name(name) | Target::Attribute(name, _) => self.place(name),
            Target::Tuple(items) => items.iter_mut().for_each(|item| self.place_target(item)),
        }
    }

    /// Places names of statements whose scope has been declared, and the scopes inside.
    fn place_all(&mut self, body: &mut [Statement]) {
        let top_level = self.top_level;
        for statement in body {
            match &mut statement.kind {
                Kind::Print(expr) => self.place_expr(expr),
                Kind::If(branches, otherwise) => {
                    for (test, body) in branches {
                        self.place_expr(test);
                        self.place_all(body);
                    }
                    self.place_all(otherwise);
                }
                Kind::For(inner) => self.place_for(unique(inner)),
                Kind::Set { target, value, exported } => {
                    self.place_expr(value);
                    self.place_target(target);
                    *exported = top_level;
                }
                Kind::SetBlock { target, filter, scope, body, exported } => {
                    self.place_target(target);
                    *exported = top_level;
                    *scope = self.inner(|places| {
                        places.declare_all(body);
                        filter.iter_mut().for_each(|filter| places.declare_expr(filter));
                        places.place_all(body);
                        filter.iter_mut().for_each(|filter| places.place_expr(filter));
                    });
                }
                Kind::With { targets, values, scope, body } => {
                    values.iter_mut().for_each(|value| self.place_expr(value));
                    *scope = self.inner(|places| {
                        targets.iter_mut().for_each(|target| places.declare_target(target, true));
                        places.declare_all(body);
                        targets.iter_mut().for_each(|target| places.place_target(target));
                        places.place_all(body);
                    });
                }
                Kind::FilterBlock { filter, scope, body } => {
                    *scope = self.inner(|places| {
                        places.declare_all(body);
                        places.declare_expr(filter);
                        places.place_all(body);
                        places.place_expr(filter);
                    });
                }
                Kind::Generation { scope, body } => {
                    *scope = self.inner(|places| {
                        places.declare_all(body);
                        places.place_all(body);
                    });
                }
                Kind::Macro { target, exported, function } => {
                    self.place(target);
                    *exported = top_level;
                    self.place_macro(unique(function));
                }
                Kind::Call { call, caller } => {
                    self.place_expr(call);
                    self.place_macro(unique(caller));
                }
                Kind::Block(block) => Self::place_block(unique(block)),
                Kind::Text(_) | Kind::Break | Kind::Continue | Kind::Loader(_) => {}
            }
        }
    }

    /// A scope inside the innermost one.
    fn inner(&mut self, fill: impl FnOnce(&mut Self)) -> Scope {
        let top_level = std::mem::replace(&mut self.top_level, false);
        self.begin();
        fill(self);
        self.top_level = top_level;
        self.end()
    }

    fn place_for(&mut self, inner: &mut For) {
        self.place_expr(&mut inner.iterable);
        if inner.recursive {
            self.functions.push(0);
        }
        if let Some(test) = &mut inner.test {
            self.functions.push(0);
            test.scope = self.inner(|places| {
                places.declare_target(&mut test.target, true);
                places.declare_expr(&mut test.condition);
                places.place_target(&mut test.target);
                places.place_expr(&mut test.condition);
            });
            test.slots = self.functions.pop().unwrap_or(0);
        }
        inner.scope = self.inner(|places| {
            inner.variable = places.parameter("loop");
            places.declare_target(&mut inner.target, true);
            places.declare_all(&mut inner.body);
            places.place_target(&mut inner.target);
            places.place_all(&mut inner.body);
        });
        inner.else_scope = self.inner(|places| {
            places.declare_all(&mut inner.otherwise);
            places.place_all(&mut inner.otherwise);
        });
        if inner.recursive {
            inner.slots = self.functions.pop().unwrap_or(0);
        }
    }

    fn place_macro(&mut self, function: &mut Macro) {
        self.functions.push(0);
        let mut special = [None; 3];
        function.scope = self.inner(|places| {
            for name in &mut function.parameters {
                places.parameter(&name.text);
            }
            function.defaults.iter_mut().for_each(|default| places.declare_expr(default));
            let names = ["caller", "kwargs", "varargs"];
            for (slot, name) in special.iter_mut().zip(names) {
                let explicit = function.parameters.iter().any(|known| &*known.text == name);
                if !explicit && mentions(&mut function.body, name) {
                    *slot = Some(places.parameter(name));
                }
            }
            places.declare_all(&mut function.body);
            function.parameters.iter_mut().for_each(|name| places.place(name));
            function.defaults.iter_mut().for_each(|default| places.place_expr(default));
            places.place_all(&mut function.body);
        });
        [function.caller, function.kwargs, function.varargs] = special;
        function.slots = self.functions.pop().unwrap_or(0);
    }

    /// A named block sees no scope around it.
    fn place_block(block: &mut Block) {
        let mut places = Places::default();
        places.functions.push(0);
        places.begin();
        places.declare_all(&mut block.body);
        places.place_all(&mut block.body);
        block.scope = places.end();
        block.slots = places.functions.pop().unwrap_or(0);
    }
}

/// The only owner's access to a part of the tree while it is being built.
fn unique<T: Clone>(part: &mut Arc<T>) -> &mut T {
    Arc::make_mut(part)
}

/// Whether statements read a variable, at any depth but in named blocks.
fn mentions(body: &mut [Statement], name: &str) -> bool {
    let mut found = false;
    let mut note = |read: &mut Name| found |= &*read.text == name;
    each_name_of(body, &mut note);
    found
}

fn each_name_of(body: &mut [Statement], visit: &mut dyn FnMut(&mut Name)) {
    for statement in body {
        match &mut statement.kind {
            Kind::Print(expr) => each_name(expr, visit),
            Kind::If(branches, otherwise) => {
                for (test, body) in branches {
                    each_name(test, visit);
                    each_name_of(body, visit);
                }
                each_name_of(otherwise, visit);
            }
            Kind::For(inner) => {
                let inner = unique(inner);
                each_name(&mut inner.iterable, visit);
                inner.test.iter_mut().for_each(|test| each_name(&mut test.condition, visit));
                each_name_of(&mut inner.body, visit);
                each_name_of(&mut inner.otherwise, visit);
            }
            Kind::Set { value, .. } => each_name(value, visit),
            Kind::SetBlock { filter, body, .. } => {
                filter.iter_mut().for_each(|filter| each_name(filter, visit));
                each_name_of(body, visit);
            }
            Kind::With { values, body, .. } => {
                values.iter_mut().for_each(|value| each_name(value, visit));
                each_name_of(body, visit);
            }
            Kind::FilterBlock { filter, body, .. } => {
                each_name(filter, visit);
                each_name_of(body, visit);
            }
            Kind::Generation { body, .. } => each_name_of(body, visit),
            Kind::Macro { function, .. } => macro_names(unique(function), visit),
            Kind::Call { call, caller } => {
                each_name(call, visit);
                macro_names(unique(caller), visit);
            }
            Kind::Text(_) | Kind::Break | Kind::Continue | Kind::Block(_) | Kind::Loader(_) => {}
        }
    }
}

fn macro_names(function: &mut Macro, visit: &mut dyn FnMut(&mut Name)) {
    function.defaults.iter_mut().for_each(|default| each_name(default, visit));
    each_name_of(&mut function.body, visit);
}

/// Every variable that an expression reads.
fn each_name(expr: &mut Expr, visit: &mut dyn FnMut(&mut Name)) {
    match expr {
        Expr::None | Expr::Bool(_) | Expr::Int(_) | Expr::Float(_) | Expr::Str(_) => {}
        Expr::Name(name) => visit(name),
        Expr::List(items)
        | Expr::Tuple(items)
        | Expr::Concat(items)
        | Expr::And(items)
        | Expr::Or(items) => items.iter_mut().for_each(|item| each_name(item, visit)),
        Expr::Dict(items) => {
            for (key, value) in items {
                each_name(key, visit);
                each_name(value, visit);
            }
        }
        Expr::Negative(inner) | Expr::Positive(inner) | Expr::Not(inner) => each_name(inner, visit),
        Expr::Arithmetic(first, rest) => {
            each_name(first, visit);
            rest.iter_mut().for_each(|(_, item)| each_name(item, visit));
        }
        Expr::Compare(first, rest) => {
            each_name(first, visit);
            rest.iter_mut().for_each(|(_, item)| each_name(item, visit));
        }
        Expr::Conditional(parts) => {
            let (test, then, otherwise) = &mut **parts;
            each_name(test, visit);
            each_name(then, visit);
            otherwise.iter_mut().for_each(|item| each_name(item, visit));
        }
        Expr::Attribute(inner, _) => each_name(inner, visit),
        Expr::Item(parts) => {
            each_name(&mut parts.0, visit);
            each_name(&mut parts.1, visit);
        }
        Expr::Slice(parts) => {
            let (object, start, stop, step) = &mut **parts;
            each_name(object, visit);
            for part in [start, stop, step] {
                part.iter_mut().for_each(|part| each_name(part, visit));
            }
        }
        Expr::Call(callee, arguments) => {
            each_name(callee, visit);
            argument_names(arguments, visit);
        }
        Expr::Filter(object, applied) => {
            object.iter_mut().for_each(|object| each_name(object, visit));
            argument_names(&mut applied.arguments, visit);
        }
        Expr::Test(object, applied) => {
            each_name(object, visit);
            argument_names(&mut applied.arguments, visit);
        }
    }
}

fn argument_names(arguments: &mut Arguments, visit: &mut dyn FnMut(&mut Name)) {
    arguments.positional.iter_mut().for_each(|argument| each_name(argument, visit));
    arguments.keyword.iter_mut().for_each(|(_, argument)| each_name(argument, visit));
    arguments.rest.iter_mut().for_each(|argument| each_name(argument, visit));
    arguments.rest_keyword.iter_mut().for_each(|argument| each_name(argument, visit));
}
