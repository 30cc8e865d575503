//! Statements of a template: Jinja2's grammar with loop controls and `generation` blocks. Names of
//! variables are found a place by `scopes`; expressions are in `expressions`.

use std::sync::Arc;

use super::fault::{Fault, Result};
use super::filters::is_filter;
use super::lexer::{Token, tokens};
use super::limits::MAX_NESTING;
use super::scopes::place_variables;
use super::syntax::{
    Block, Expr, Filtered, For, Kind, Macro, Name, Program, Scope, Statement, Target,
};

/// Reads a template.
///
/// # Errors
/// The line that is not Jinja.
pub(crate) fn parse(source: &str) -> Result<Program> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        at: 0,
        nesting: 0,
        loops: 0,
        soft: false,
        in_loop: false,
        blocks: Vec::new(),
        marks_answers: false,
    };
    let body = parser.statements(&[])?;
    if *parser.current() != Token::End {
        return Err(parser.error("unexpected end of a block"));
    }
    let marks_answers = parser.marks_answers;
    Ok(place_variables(Program { scope: Scope::default(), body, slots: 0, marks_answers }))
}

pub(super) struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// Depth of the tree at this point, at least.
    pub nesting: usize,
    /// Loops of this function around this point.
    loops: usize,
    /// Whether an unknown filter here is an error only when it is reached.
    pub soft: bool,
    /// Whether any loop is around this point.
    in_loop: bool,
    blocks: Vec<String>,
    marks_answers: bool,
}

impl Parser {
    pub fn current(&self) -> &Token {
        &self.tokens[self.at.min(self.tokens.len() - 1)].1
    }

    pub fn ahead(&self) -> &Token {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].1
    }

    pub fn line(&self) -> usize {
        self.tokens[self.at.min(self.tokens.len() - 1)].0
    }

    pub fn advance(&mut self) -> Token {
        let token = self.current().clone();
        self.at += 1;
        token
    }

    pub fn error(&self, message: impl Into<String>) -> Fault {
        Fault::syntax(self.line(), message)
    }

    pub fn is_sign(&self, sign: &str) -> bool {
        matches!(self.current(), Token::Sign(found) if *found == sign)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.current(), Token::Name(found) if found == name)
    }

    pub fn skip_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub fn expect_sign(&mut self, sign: &str) -> Result<()> {
        if self.skip_sign(sign) {
            return Ok(());
        }
        Err(self.error(format!("expected '{sign}', found {}", described(self.current()))))
    }

    pub fn expect_name(&mut self) -> Result<String> {
        match self.current() {
            Token::Name(name) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            other => Err(self.error(format!("expected a name, found {}", described(other)))),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<()> {
        if self.current() == token {
            self.at += 1;
            return Ok(());
        }
        let (expected, found) = (described(token), described(self.current()));
        Err(self.error(format!("expected {expected}, found {found}")))
    }

    /// One level deeper.
    pub fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let before = self.nesting;
        self.step()?;
        let parsed = parse(self);
        self.nesting = before;
        parsed
    }

    /// Counts a level that stays until the construct around it ends.
    pub fn step(&mut self) -> Result<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(format!("more than {MAX_NESTING} levels of nesting")));
        }
        Ok(())
    }

    /// Statements up to a tag with one of these names, which is left, or the end.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        let mut body = Vec::new();
        loop {
            let line = self.line();
            match self.current() {
                Token::End => return Ok(body),
                Token::Data(text) => {
                    body.push(Statement { line, kind: Kind::Text(text.as_str().into()) });
                    self.at += 1;
                }
                Token::VariableBegin => {
                    self.at += 1;
                    let kind = Kind::Print(self.tuple(true)?);
                    body.push(Statement { line, kind });
                    self.expect(&Token::VariableEnd)?;
                }
                Token::BlockBegin => {
                    self.at += 1;
                    if ends.iter().any(|end| self.is_name(end)) {
                        return Ok(body);
                    }
                    let line = self.line();
                    for kind in self.deeper(Self::statement)? {
                        body.push(Statement { line, kind });
                    }
                    self.expect(&Token::BlockEnd)?;
                }
                other => {
                    return Err(self.error(format!("unexpected {}", described(other))));
                }
            }
        }
    }

    /// The body of a tag, up to one of these end tags, which is left.
    fn body(&mut self, ends: &[&str]) -> Result<Vec<Statement>> {
        self.skip_sign(":");
        self.expect(&Token::BlockEnd)?;
        let body = self.statements(ends)?;
        if *self.current() == Token::End {
            let ends = ends.join(" or ");
            return Err(self.error(format!("unexpected end of template; looking for {ends}")));
        }
        Ok(body)
    }

    /// The body of a tag with its end tag.
    fn whole_body(&mut self, end: &str) -> Result<Vec<Statement>> {
        let body = self.body(&[end])?;
        self.at += 1;
        Ok(body)
    }

    /// A body in which unknown filters are errors at once, loops of this function or none around.
    fn scoped<T>(
        &mut self,
        keeps_loops: bool,
        parse: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let (soft, loops) = (self.soft, self.loops);
        self.soft = false;
        if !keeps_loops {
            self.loops = 0;
        }
        let parsed = parse(self);
        (self.soft, self.loops) = (soft, loops);
        parsed
    }

    fn statement(&mut self) -> Result<Vec<Kind>> {
        let Token::Name(tag) = self.current().clone() else {
            return Err(self.error("tag name expected"));
        };
        let kind = match tag.as_str() {
            "set" => self.set()?,
            "for" => self.for_loop()?,
            "if" => self.condition()?,
            "with" => self.with()?,
            "macro" => self.macro_definition()?,
            "call" => self.call()?,
            "filter" => self.filter_block()?,
            "block" => self.block()?,
            "autoescape" => self.autoescape()?,
            "print" => return self.print(),
            "generation" => {
                self.at += 1;
                self.marks_answers = true;
                let body = self.scoped(false, |parser| parser.whole_body("endgeneration"))?;
                Kind::Generation { scope: Scope::default(), body }
            }
            "break" | "continue" => {
                self.at += 1;
                if self.loops == 0 {
                    return Err(self.error(format!("'{tag}' outside loop")));
                }
                if tag == "break" { Kind::Break } else { Kind::Continue }
            }
            "include" | "import" | "from" | "extends" => self.loader(&tag)?,
            _ => return Err(self.error(format!("encountered unknown tag '{tag}'"))),
        };
        Ok(vec![kind])
    }

    fn print(&mut self) -> Result<Vec<Kind>> {
        self.at += 1;
        let mut printed = Vec::new();
        while *self.current() != Token::BlockEnd {
            if !printed.is_empty() {
                self.expect_sign(",")?;
            }
            printed.push(Kind::Print(self.expression()?));
        }
        Ok(printed)
    }

    fn set(&mut self) -> Result<Kind> {
        self.at += 1;
        let target = self.target(true)?;
        self.check_target(&target)?;
        if self.skip_sign("=") {
            let value = self.tuple(true)?;
            return Ok(Kind::Set { target, value, exported: false });
        }
        let filter = if self.is_sign("|") { Some(self.filters(None)?) } else { None };
        let body = self.scoped(true, |parser| parser.whole_body("endset"))?;
        Ok(Kind::SetBlock { target, filter, scope: Scope::default(), body, exported: false })
    }

    /// `loop` is the loop's own in loops.
    fn check_target(&self, target: &Target) -> Result<()> {
        match target {
            Target::Name(name) if &*name.text == "loop" && self.in_loop => {
                Err(self.error("can't assign to special loop variable in for-loop target"))
            }
            Target::Tuple(items) => items.iter().try_for_each(|item| self.check_target(item)),
            _ => Ok(()),
        }
    }

    fn for_loop(&mut self) -> Result<Kind> {
        self.at += 1;
        let target = self.target(false)?;
        if !self.skip_name("in") {
            return Err(self.error("expected 'in'"));
        }
        let iterable = self.tuple(false)?;
        let test = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        let was_in_loop = std::mem::replace(&mut self.in_loop, true);
        self.check_target(&target)?;
        let parsed = self.scoped(true, |parser| {
            parser.loops += 1;
            let body = parser.body(&["endfor", "else"])?;
            parser.loops -= 1;
            if recursive {
                parser.loops = 0;
            }
            let otherwise =
                if parser.skip_name("else") { parser.body(&["endfor"])? } else { Vec::new() };
            parser.at += 1;
            Ok((body, otherwise))
        });
        self.in_loop = was_in_loop;
        let (body, otherwise) = parsed?;
        let test = test.map(|condition| Filtered {
            target: target.clone(),
            condition,
            scope: Scope::default(),
            slots: 0,
        });
        Ok(Kind::For(Arc::new(For {
            target,
            iterable,
            test,
            recursive,
            variable: 0,
            scope: Scope::default(),
            body,
            else_scope: Scope::default(),
            otherwise,
            slots: 0,
        })))
    }

    fn condition(&mut self) -> Result<Kind> {
        let soft = std::mem::replace(&mut self.soft, true);
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        self.at += 1;
        loop {
            let test = self.tuple(false)?;
            branches.push((test, self.body(&["elif", "else", "endif"])?));
            if self.skip_name("elif") {
                continue;
            }
            if self.skip_name("else") {
                otherwise = self.body(&["endif"])?;
            }
            self.at += 1;
            break;
        }
        self.soft = soft;
        Ok(Kind::If(branches, otherwise))
    }

    fn with(&mut self) -> Result<Kind> {
        self.at += 1;
        let (mut targets, mut values) = (Vec::new(), Vec::new());
        while *self.current() != Token::BlockEnd {
            if !targets.is_empty() {
                self.expect_sign(",")?;
            }
            let target = self.target(false)?;
            self.check_target(&target)?;
            targets.push(target);
            self.expect_sign("=")?;
            values.push(self.expression()?);
        }
        let body = self.scoped(true, |parser| parser.whole_body("endwith"))?;
        Ok(Kind::With { targets, values, scope: Scope::default(), body })
    }

    fn autoescape(&mut self) -> Result<Kind> {
        self.at += 1;
        if !matches!(self.expression()?, Expr::Bool(false)) {
            return Err(self.error("autoescape is not supported; chat templates print text"));
        }
        let body = self.scoped(true, |parser| parser.whole_body("endautoescape"))?;
        let (targets, values) = (Vec::new(), Vec::new());
        Ok(Kind::With { targets, values, scope: Scope::default(), body })
    }

    /// `(name, name=default)`.
    fn parameters(&mut self) -> Result<(Vec<Name>, Vec<Expr>)> {
        let (mut parameters, mut defaults) = (Vec::new(), Vec::new());
        self.expect_sign("(")?;
        while !self.is_sign(")") {
            if !parameters.is_empty() {
                self.expect_sign(",")?;
            }
            let name = self.expect_name()?;
            if self.skip_sign("=") {
                defaults.push(self.expression()?);
            } else if !defaults.is_empty() {
                return Err(self.error("non-default argument follows default argument"));
            }
            if parameters.iter().any(|known: &Name| *known.text == name) {
                return Err(self.error(format!("duplicate argument '{name}'")));
            }
            parameters.push(Name::new(&name));
        }
        self.expect_sign(")")?;
        Ok((parameters, defaults))
    }

    fn function(
        &mut self,
        name: Option<&str>,
        (parameters, defaults): (Vec<Name>, Vec<Expr>),
        end: &str,
    ) -> Result<Arc<Macro>> {
        let body = self.scoped(false, |parser| parser.whole_body(end))?;
        Ok(Arc::new(Macro {
            name: name.map(Into::into),
            parameters,
            defaults,
            caller: None,
            kwargs: None,
            varargs: None,
            scope: Scope::default(),
            body,
            slots: 0,
        }))
    }

    fn macro_definition(&mut self) -> Result<Kind> {
        self.at += 1;
        let name = self.expect_name()?;
        let signature = self.parameters()?;
        let function = self.function(Some(&name), signature, "endmacro")?;
        Ok(Kind::Macro { target: Name::new(&name), exported: false, function })
    }

    fn call(&mut self) -> Result<Kind> {
        self.at += 1;
        let signature =
            if self.is_sign("(") { self.parameters()? } else { (Vec::new(), Vec::new()) };
        let call = self.expression()?;
        if !matches!(call, Expr::Call(..)) {
            return Err(self.error("expected call"));
        }
        let caller = self.function(None, signature, "endcall")?;
        Ok(Kind::Call { call, caller })
    }

    fn filter_block(&mut self) -> Result<Kind> {
        self.at += 1;
        let filter = self.filters_inline()?;
        let body = self.scoped(true, |parser| parser.whole_body("endfilter"))?;
        Ok(Kind::FilterBlock { filter, scope: Scope::default(), body })
    }

    fn block(&mut self) -> Result<Kind> {
        self.at += 1;
        let name = self.expect_name()?;
        self.skip_name("scoped");
        if self.skip_name("required") {
            return Err(self.error("required blocks need a template that extends this one"));
        }
        if self.blocks.contains(&name) {
            return Err(self.error(format!("block '{name}' defined twice")));
        }
        self.blocks.push(name.clone());
        let body = self.scoped(false, |parser| parser.whole_body("endblock"))?;
        self.skip_name(&name);
        Ok(Kind::Block(Arc::new(Block { scope: Scope::default(), body, slots: 0 })))
    }

    /// Tags that load other templates: read for their grammar, an error when they are reached.
    fn loader(&mut self, tag: &str) -> Result<Kind> {
        self.at += 1;
        self.expression()?;
        while *self.current() != Token::BlockEnd && *self.current() != Token::End {
            self.at += 1;
        }
        let tags = ["include", "import", "from", "extends"];
        Ok(Kind::Loader(tags.into_iter().find(|known| *known == tag).unwrap_or("include")))
    }

    /// Whether a filter exists; unknown ones are an error now or when reached.
    pub fn check_applied(&self, name: &str, filter: bool) -> Result<()> {
        let known = if filter { is_filter(name) } else { super::predicates::TESTS.contains(&name) };
        if self.soft || known {
            return Ok(());
        }
        let kind = if filter { "filter" } else { "test" };
        Err(self.error(format!("no {kind} named '{name}'")))
    }
}

/// A token for messages.
pub(super) fn described(token: &Token) -> String {
    match token {
        Token::Data(_) => "text".to_owned(),
        Token::BlockBegin => "'{%'".to_owned(),
        Token::BlockEnd => "'%}', the end of the block".to_owned(),
        Token::VariableBegin => "'{{'".to_owned(),
        Token::VariableEnd => "'}}'".to_owned(),
        Token::Name(name) => format!("'{name}'"),
        Token::Str(text) => format!("the string {text:?}"),
        Token::Int(value) => format!("the number {value}"),
        Token::Float(value) => format!("the number {value}"),
        Token::Sign(sign) => format!("'{sign}'"),
        Token::End => "the end of the template".to_owned(),
    }
}
