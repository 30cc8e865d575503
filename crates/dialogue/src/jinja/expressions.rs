//! Expressions of a template: Jinja2's grammar, from conditional expressions down to literals.

use std::sync::Arc;

use super::fault::Result;
use super::lexer::Token;
use super::parser::{Parser, described};
use super::syntax::{Applied, Arguments, Comparison, Expr, Name, Operator, Target};

const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::Unequal),
    ("<", Comparison::Less),
    ("<=", Comparison::LessOrEqual),
    (">", Comparison::Greater),
    (">=", Comparison::GreaterOrEqual),
];
const SUMS: [(&str, Operator); 2] = [("+", Operator::Add), ("-", Operator::Subtract)];
const PRODUCTS: [(&str, Operator); 4] = [
    ("*", Operator::Multiply),
    ("/", Operator::Divide),
    ("//", Operator::FloorDivide),
    ("%", Operator::Modulo),
];
const POWERS: [(&str, Operator); 1] = [("**", Operator::Power)];

impl Parser {
    pub fn expression(&mut self) -> Result<Expr> {
        self.deeper(Self::conditional)
    }

    fn conditional(&mut self) -> Result<Expr> {
        let mut then = self.or()?;
        while self.skip_name("if") {
            self.step()?;
            let test = self.or()?;
            let otherwise = if self.skip_name("else") { Some(self.expression()?) } else { None };
            then = Expr::Conditional(Box::new((test, then, otherwise)));
        }
        Ok(then)
    }

    fn or(&mut self) -> Result<Expr> {
        self.several("or", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Result<Expr> {
        self.several("and", Self::not, Expr::And)
    }

    fn several(
        &mut self,
        word: &str,
        parse: fn(&mut Self) -> Result<Expr>,
        make: fn(Vec<Expr>) -> Expr,
    ) -> Result<Expr> {
        let first = parse(self)?;
        if !self.is_name(word) {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_name(word) {
            all.push(parse(self)?);
        }
        Ok(make(all))
    }

    fn not(&mut self) -> Result<Expr> {
        if self.skip_name("not") {
            let inner = self.deeper(Self::not)?;
            return Ok(Expr::Not(Box::new(inner)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Expr> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let sign = COMPARISONS.into_iter().find(|(sign, _)| self.is_sign(sign));
            let ahead_in = matches!(self.ahead(), Token::Name(name) if name == "in");
            if let Some((_, comparison)) = sign {
                self.advance();
                rest.push((comparison, self.sum()?));
            } else if self.skip_name("in") {
                rest.push((Comparison::In, self.sum()?));
            } else if self.is_name("not") && ahead_in {
                self.advance();
                self.advance();
                rest.push((Comparison::NotIn, self.sum()?));
            } else {
                break;
            }
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn sum(&mut self) -> Result<Expr> {
        self.chain(&SUMS, Self::concat)
    }

    fn chain(
        &mut self,
        signs: &[(&str, Operator)],
        parse: fn(&mut Self) -> Result<Expr>,
    ) -> Result<Expr> {
        let first = parse(self)?;
        let mut rest = Vec::new();
        while let Some(&(_, operator)) = signs.iter().find(|(sign, _)| self.is_sign(sign)) {
            self.advance();
            rest.push((operator, parse(self)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Arithmetic(Box::new(first), rest) })
    }

    fn concat(&mut self) -> Result<Expr> {
        let first = self.product()?;
        if !self.is_sign("~") {
            return Ok(first);
        }
        let mut all = vec![first];
        while self.skip_sign("~") {
            all.push(self.product()?);
        }
        Ok(Expr::Concat(all))
    }

    fn product(&mut self) -> Result<Expr> {
        self.chain(&PRODUCTS, Self::power)
    }

    fn power(&mut self) -> Result<Expr> {
        self.chain(&POWERS, |parser| parser.unary(true))
    }

    fn unary(&mut self, with_filters: bool) -> Result<Expr> {
        let before = self.nesting;
        let node = if self.skip_sign("-") {
            Expr::Negative(Box::new(self.deeper(|parser| parser.unary(false))?))
        } else if self.skip_sign("+") {
            Expr::Positive(Box::new(self.deeper(|parser| parser.unary(false))?))
        } else {
            self.primary()?
        };
        let mut node = self.postfix(node)?;
        if with_filters {
            node = self.filters_and_tests(node)?;
        }
        self.nesting = before;
        Ok(node)
    }

    fn primary(&mut self) -> Result<Expr> {
        match self.current().clone() {
            Token::Name(name) => {
                self.advance();
                Ok(match name.as_str() {
                    "true" | "True" => Expr::Bool(true),
                    "false" | "False" => Expr::Bool(false),
                    "none" | "None" => Expr::None,
                    name => Expr::Name(Name::new(name)),
                })
            }
            Token::Str(mut text) => {
                self.advance();
                while let Token::Str(more) = self.current() {
                    text.push_str(more);
                    self.advance();
                }
                Ok(Expr::Str(text.into()))
            }
            Token::Int(value) => {
                self.advance();
                Ok(Expr::Int(value))
            }
            Token::Float(value) => {
                self.advance();
                Ok(Expr::Float(value))
            }
            Token::Sign("(") => {
                self.advance();
                let inner = self.deeper(|parser| parser.tuple_or_empty(true, true))?;
                self.expect_sign(")")?;
                Ok(inner)
            }
            Token::Sign("[") => self.list(),
            Token::Sign("{") => self.dict(),
            other => Err(self.error(format!("unexpected {}", described(&other)))),
        }
    }

    fn list(&mut self) -> Result<Expr> {
        self.advance();
        let mut items = Vec::new();
        while !self.is_sign("]") {
            if !items.is_empty() {
                self.expect_sign(",")?;
                if self.is_sign("]") {
                    break;
                }
            }
            items.push(self.expression()?);
        }
        self.expect_sign("]")?;
        Ok(Expr::List(items))
    }

    fn dict(&mut self) -> Result<Expr> {
        self.advance();
        let mut items = Vec::new();
        while !self.is_sign("}") {
            if !items.is_empty() {
                self.expect_sign(",")?;
                if self.is_sign("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect_sign(":")?;
            items.push((key, self.expression()?));
        }
        self.expect_sign("}")?;
        Ok(Expr::Dict(items))
    }

    /// One expression, or several with commas between them, which are a tuple.
    pub fn tuple(&mut self, with_conditions: bool) -> Result<Expr> {
        self.tuple_or_empty(with_conditions, false)
    }

    fn tuple_or_empty(&mut self, with_conditions: bool, may_be_empty: bool) -> Result<Expr> {
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let end = match self.current() {
                Token::VariableEnd | Token::BlockEnd | Token::Sign(")") => true,
                // Only the list of a loop is read without conditional expressions and may be
                // followed by this word.
                Token::Name(name) => !with_conditions && name == "recursive",
                _ => false,
            };
            if end {
                break;
            }
            items.push(if with_conditions { self.expression()? } else { self.deeper(Self::or)? });
            if !self.skip_sign(",") {
                break;
            }
            is_tuple = true;
        }
        if is_tuple {
            return Ok(Expr::Tuple(items));
        }
        match items.pop() {
            Some(only) => Ok(only),
            None if may_be_empty => Ok(Expr::Tuple(items)),
            None => {
                let found = described(self.current());
                Err(self.error(format!("expected an expression, found {found}")))
            }
        }
    }

    /// What a loop, a `set` or a `with` assigns to.
    pub fn target(&mut self, with_attributes: bool) -> Result<Target> {
        let (mut items, mut is_tuple) = (Vec::new(), false);
        loop {
            let end = match self.current() {
                Token::VariableEnd | Token::BlockEnd | Token::Sign(")") => true,
                Token::Name(name) => name == "in" && !with_attributes,
                _ => false,
            };
            if end {
                break;
            }
            items.push(self.single_target(with_attributes)?);
            if !self.skip_sign(",") {
                break;
            }
            is_tuple = true;
        }
        match items.pop() {
            Some(only) if !is_tuple => Ok(only),
            Some(last) => {
                items.push(last);
                Ok(Target::Tuple(items))
            }
            None => Err(self.error("expected a name to assign to")),
        }
    }

    fn single_target(&mut self, with_attributes: bool) -> Result<Target> {
        if self.skip_sign("(") {
            let inner = self.deeper(|parser| parser.target(false))?;
            self.expect_sign(")")?;
            return Ok(inner);
        }
        let name = match self.current() {
            Token::Name(name) => name.clone(),
            other => return Err(self.error(format!("can't assign to {}", described(other)))),
        };
        if ["true", "false", "none", "True", "False", "None"].contains(&name.as_str()) {
            return Err(self.error(format!("can't assign to '{name}'")));
        }
        self.advance();
        if with_attributes && self.skip_sign(".") {
            let attribute = self.expect_name()?;
            return Ok(Target::Attribute(Name::new(&name), attribute.as_str().into()));
        }
        Ok(Target::Name(Name::new(&name)))
    }

    fn postfix(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            if self.is_sign(".") || self.is_sign("[") {
                self.step()?;
                node = self.subscript(node)?;
            } else if self.is_sign("(") {
                self.step()?;
                node = Expr::Call(Box::new(node), Box::new(self.arguments()?));
            } else {
                return Ok(node);
            }
        }
    }

    fn filters_and_tests(&mut self, mut node: Expr) -> Result<Expr> {
        loop {
            if self.is_sign("|") {
                node = self.filters(Some(node))?;
            } else if self.is_name("is") {
                self.step()?;
                node = self.test(node)?;
            } else if self.is_sign("(") {
                self.step()?;
                node = Expr::Call(Box::new(node), Box::new(self.arguments()?));
            } else {
                return Ok(node);
            }
        }
    }

    fn subscript(&mut self, node: Expr) -> Result<Expr> {
        if self.skip_sign(".") {
            return match self.advance() {
                Token::Name(name) => Ok(Expr::Attribute(Box::new(node), name.as_str().into())),
                Token::Int(value) => Ok(Expr::Item(Box::new((node, Expr::Int(value))))),
                _ => Err(self.error("expected name or number")),
            };
        }
        self.advance();
        let slice = self.slice(node)?;
        self.expect_sign("]")?;
        Ok(slice)
    }

    /// What stands between `[` and `]`.
    fn slice(&mut self, node: Expr) -> Result<Expr> {
        let ends = |parser: &Self| parser.is_sign("]") || parser.is_sign(",");
        let start = if self.is_sign(":") { None } else { Some(self.expression()?) };
        if !self.is_sign(":") {
            let first = start.unwrap_or(Expr::None);
            if !self.is_sign(",") {
                return Ok(Expr::Item(Box::new((node, first))));
            }
            let mut items = vec![first];
            while self.skip_sign(",") {
                items.push(self.expression()?);
            }
            return Ok(Expr::Item(Box::new((node, Expr::Tuple(items)))));
        }
        self.advance();
        let part = |parser: &mut Self| -> Result<Option<Expr>> {
            if parser.is_sign(":") || ends(parser) {
                return Ok(None);
            }
            Ok(Some(parser.expression()?))
        };
        let stop = part(self)?;
        let step = if self.skip_sign(":") { part(self)? } else { None };
        Ok(Expr::Slice(Box::new((node, start, stop, step))))
    }

    fn arguments(&mut self) -> Result<Arguments> {
        self.expect_sign("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.is_sign(")") {
            if !first {
                self.expect_sign(",")?;
                if self.is_sign(")") {
                    break;
                }
            }
            first = false;
            let named = matches!(self.ahead(), Token::Sign("="));
            let plain = arguments.rest.is_none() && arguments.rest_keyword.is_none();
            let fits = if self.skip_sign("*") {
                arguments.rest = Some(self.expression()?);
                plain
            } else if self.skip_sign("**") {
                let only = arguments.rest_keyword.is_none();
                arguments.rest_keyword = Some(self.expression()?);
                only
            } else if named && let Token::Name(name) = self.current().clone() {
                self.advance();
                self.advance();
                let value = self.expression()?;
                if arguments.keyword.iter().any(|(known, _)| **known == *name) {
                    return Err(self.error(format!("keyword argument repeated: {name}")));
                }
                arguments.keyword.push((name.as_str().into(), value));
                arguments.rest_keyword.is_none()
            } else {
                let fits = plain && arguments.keyword.is_empty();
                arguments.positional.push(self.expression()?);
                fits
            };
            if !fits {
                return Err(self.error("invalid syntax for function call expression"));
            }
        }
        self.expect_sign(")")?;
        Ok(arguments)
    }

    /// Filters with the signs before them.
    pub fn filters(&mut self, mut node: Option<Expr>) -> Result<Expr> {
        while self.skip_sign("|") {
            self.step()?;
            node = Some(self.applied_filter(node)?);
        }
        node.ok_or_else(|| self.error("expected a filter"))
    }

    /// A filter without a sign before it, and more with.
    pub fn filters_inline(&mut self) -> Result<Expr> {
        let first = self.applied_filter(None)?;
        self.filters(Some(first))
    }

    fn applied_filter(&mut self, node: Option<Expr>) -> Result<Expr> {
        let name = self.dotted_name()?;
        self.check_applied(&name, true)?;
        let arguments = if self.is_sign("(") { self.arguments()? } else { Arguments::default() };
        let applied = Applied { name, arguments };
        Ok(Expr::Filter(node.map(Box::new), Box::new(applied)))
    }

    fn dotted_name(&mut self) -> Result<Arc<str>> {
        let mut name = self.expect_name()?;
        while self.skip_sign(".") {
            name = format!("{name}.{}", self.expect_name()?);
        }
        Ok(name.as_str().into())
    }

    fn test(&mut self, node: Expr) -> Result<Expr> {
        self.advance();
        let negated = self.skip_name("not");
        let name = self.dotted_name()?;
        self.check_applied(&name, false)?;
        let mut arguments = Arguments::default();
        let starts = match self.current() {
            Token::Name(word) => !["else", "or", "and"].contains(&word.as_str()),
            Token::Str(_) | Token::Int(_) | Token::Float(_) => true,
            Token::Sign(sign) => ["[", "{"].contains(sign),
            _ => false,
        };
        if self.is_sign("(") {
            arguments = self.arguments()?;
        } else if self.is_name("is") {
            return Err(self.error("you cannot chain multiple tests with is"));
        } else if starts {
            let argument = self.primary()?;
            arguments.positional.push(self.postfix(argument)?);
        }
        let test = Expr::Test(Box::new(node), Box::new(Applied { name, arguments }));
        Ok(if negated { Expr::Not(Box::new(test)) } else { test })
    }
}
