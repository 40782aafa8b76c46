//! Socket statements: `accept(3, ..., ...) = 4`, with C-like arguments.

use super::{Kind, Parser, Wrong};
use crate::script::tree::{Call, Expr, ExprKind};

impl Parser {
    pub(super) fn call(&mut self) -> Result<Call, Wrong> {
        let at = self.at();
        let until = if self.token().kind == Kind::Ellipsis {
            self.step();
            Some(self.time()?)
        } else {
            None
        };
        let name = self.word("the name of a call")?;
        self.expect('(')?;
        let args = self.list(')')?;
        self.expect('=')?;
        let result = self.expr()?;
        let errno_at = self.at();
        let errno = if self.token().kind == Kind::Word && self.token().text.starts_with('E') {
            Some((errno_at, self.word("an error's name")?))
        } else {
            None
        };
        // `(Operation now in progress)`: a note for readers.
        if self.take('(') {
            while !self.take(')') {
                if self.token().kind == Kind::End {
                    return self.expected("`)`");
                }
                self.step();
            }
        }
        Ok(Call {
            at,
            until,
            name,
            args,
            result,
            errno,
        })
    }

    /// Expressions up to `close`, which is taken.
    fn list(&mut self, close: char) -> Result<Vec<Expr>, Wrong> {
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(self.expr()?);
            if self.take(close) {
                return Ok(items);
            }
            if !self.take(',') {
                return self.expected(&format!("`,` or `{close}`"));
            }
        }
    }

    fn expr(&mut self) -> Result<Expr, Wrong> {
        let before = self.depth;
        let mut left = self.operand()?;
        while self.is('|') {
            let at = self.at();
            self.step();
            let kind = ExprKind::Or(Box::new(left), Box::new(self.operand()?));
            left = Expr { at, kind };
            // A chain nests, too: whoever walks it must not run out of stack.
            self.deeper()?;
        }
        self.depth = before;
        Ok(left)
    }

    fn operand(&mut self) -> Result<Expr, Wrong> {
        let at = self.at();
        let kind = match self.token().kind.clone() {
            Kind::Ellipsis => {
                self.step();
                ExprKind::Ellipsis
            }
            Kind::Int(value) => {
                self.step();
                ExprKind::Int(value)
            }
            Kind::Sign('-') => {
                self.step();
                ExprKind::Int(-self.number::<i64>("a number")?.max(-i64::MAX))
            }
            Kind::Text(text) => {
                self.step();
                // `"abc"...`: what follows does not matter.
                if self.token().kind == Kind::Ellipsis {
                    self.step();
                }
                ExprKind::Text(text)
            }
            Kind::Word => {
                let name = self.word("a name")?;
                if self.is('(') {
                    self.deeper()?;
                    self.step();
                    let args = self.list(')')?;
                    self.depth -= 1;
                    ExprKind::Apply(name, args)
                } else {
                    ExprKind::Name(name)
                }
            }
            Kind::Sign('[') => {
                self.deeper()?;
                self.step();
                let items = self.list(']')?;
                self.depth -= 1;
                ExprKind::Array(items)
            }
            Kind::Sign('{') => {
                self.deeper()?;
                self.step();
                let fields = self.fields()?;
                self.depth -= 1;
                ExprKind::Struct(fields)
            }
            _ => return self.expected("a number, name, text, `...`, `[` or `{`"),
        };
        Ok(Expr { at, kind })
    }

    /// `name=value`, `name(size)=value` or plain values, up to `}`.
    fn fields(&mut self) -> Result<Vec<(Option<String>, Expr)>, Wrong> {
        let mut fields = Vec::new();
        loop {
            let named = self.token().kind == Kind::Word
                && (self.ahead(1).kind == Kind::Sign('=')
                    || self.ahead(1).kind == Kind::Sign('(') && self.ahead(4).kind == Kind::Sign('='));
            let name = if named {
                let name = self.word("a field's name")?;
                if self.take('(') {
                    let _ = self.list(')')?;
                }
                self.expect('=')?;
                Some(name)
            } else {
                None
            };
            fields.push((name, self.expr()?));
            if self.take('}') {
                return Ok(fields);
            }
            if !self.take(',') {
                return self.expected("`,` or `}`");
            }
        }
    }
}
