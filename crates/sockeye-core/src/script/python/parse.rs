//! Code to statements.

use super::{At, Comparison, Operator, Py, Statement, StatementKind};
use crate::script::fault::{Wrong, wrong};

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Int(i128),
    Float(f64),
    Text(String),
    Name(String),
    Sign(&'static str),
    /// End of a line, or `;`.
    Break,
    End,
}

const SIGNS: &[&str] = &[
    "**", "//", "<<", ">>", "==", "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "|", "&", "^", "~", "(",
    ")", ",",
];

/// Reads `code`, which begins with `%{` at `at`.
pub(in crate::script) fn parse(at: At, code: &str) -> Result<Vec<Statement>, Wrong> {
    let code: Vec<char> = code.chars().collect();
    let mut parser = Parser {
        tokens: lex(at, &code)?,
        here: 0,
        depth: 0,
    };
    let mut statements = Vec::new();
    loop {
        while parser.token() == &Token::Break {
            parser.here += 1;
        }
        if parser.token() == &Token::End {
            return Ok(statements);
        }
        let (at, from) = (parser.at(), parser.offset());
        let kind = parser.statement()?;
        if !matches!(parser.token(), Token::Break | Token::End) {
            return parser.expected("the end of the statement");
        }
        let text: String = code[from..parser.offset().min(code.len())].iter().collect();
        let text = text.trim_end_matches([';', '\n', ' ', '}', '%']).trim().to_owned();
        statements.push(Statement { at, text, kind });
    }
}

/// A token, its place, and its offset in the code.
type Placed = (At, usize, Token);

fn lex(start: At, code: &[char]) -> Result<Vec<Placed>, Wrong> {
    let mut tokens = Vec::new();
    let mut at = start;
    // Between `%{` and `}%`.
    let end = code.len().saturating_sub(2);
    let (mut here, mut open) = (2, 0_u32);
    at.column += 2;
    while here < end {
        let c = code[here];
        let rest = &code[here..end];
        let (token, len) = match c {
            '\n' => {
                if open == 0 {
                    tokens.push((at, here, Token::Break));
                }
                here += 1;
                at = At {
                    line: at.line + 1,
                    column: 1,
                };
                continue;
            }
            '\\' if rest.get(1) == Some(&'\n') => {
                here += 2;
                at = At {
                    line: at.line + 1,
                    column: 1,
                };
                continue;
            }
            '#' => (None, rest.iter().take_while(|c| **c != '\n').count()),
            ';' => (Some(Token::Break), 1),
            _ if c.is_whitespace() => (None, 1),
            '"' | '\'' => {
                let Some(len) = rest[1..].iter().position(|d| *d == c) else {
                    return wrong(at, format!("text that begins here never ends: {c} is missing"));
                };
                (Some(Token::Text(rest[1..=len].iter().collect())), len + 2)
            }
            _ if c.is_alphabetic() || c == '_' => {
                let len = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
                (Some(Token::Name(rest[..len].iter().collect())), len)
            }
            _ if c.is_ascii_digit() || c == '.' => number(at, rest)?,
            _ => {
                let sign = SIGNS
                    .iter()
                    .find(|sign| sign.chars().eq(rest.iter().copied().take(sign.len())));
                let Some(sign) = sign else {
                    return wrong(at, format!("`{c}` means nothing here: only assertions are understood"));
                };
                match *sign {
                    "(" => open += 1,
                    ")" => open = open.saturating_sub(1),
                    _ => {}
                }
                (Some(Token::Sign(sign)), sign.len())
            }
        };
        if let Some(token) = token {
            tokens.push((at, here, token));
        }
        // Text over several lines keeps its lines.
        for c in &code[here..here + len] {
            if *c == '\n' {
                at = At {
                    line: at.line + 1,
                    column: 0,
                };
            }
            at.column += 1;
        }
        here += len;
    }
    tokens.push((at, end, Token::End));
    Ok(tokens)
}

fn number(at: At, rest: &[char]) -> Result<(Option<Token>, usize), Wrong> {
    let len = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '.').count();
    let text: String = rest[..len].iter().collect();
    let token = if let Some(hex) = text.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok().map(Token::Int)
    } else if let Ok(value) = text.parse() {
        Some(Token::Int(value))
    } else {
        text.parse().ok().map(Token::Float)
    };
    match token {
        Some(token) => Ok((Some(token), len)),
        None => wrong(at, format!("`{text}` is no number")),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    here: usize,
    depth: u32,
}

impl Parser {
    fn placed(&self) -> &Placed {
        &self.tokens[self.here.min(self.tokens.len() - 1)]
    }

    fn token(&self) -> &Token {
        &self.placed().2
    }

    fn at(&self) -> At {
        self.placed().0
    }

    fn offset(&self) -> usize {
        self.placed().1
    }

    fn expected<T>(&self, what: &str) -> Result<T, Wrong> {
        wrong(self.at(), format!("{what} is expected here"))
    }

    fn take(&mut self, sign: &str) -> bool {
        let there = matches!(self.token(), Token::Sign(found) if *found == sign);
        self.here += usize::from(there);
        there
    }

    fn take_name(&mut self, name: &str) -> bool {
        let there = matches!(self.token(), Token::Name(found) if found == name);
        self.here += usize::from(there);
        there
    }

    fn statement(&mut self) -> Result<StatementKind, Wrong> {
        if self.take_name("assert") {
            let test = self.any()?;
            let message = if self.take(",") { Some(self.any()?) } else { None };
            return Ok(StatementKind::Assert { test, message });
        }
        if self.take_name("print") {
            if !self.take("(") {
                return self.expected("`(`");
            }
            return self.arguments().map(StatementKind::Print);
        }
        let next = self.tokens.get(self.here + 1).map(|placed| &placed.2);
        if let (Token::Name(name), Some(Token::Sign("="))) = (self.token().clone(), next) {
            self.here += 2;
            let value = self.any()?;
            return Ok(StatementKind::Assign { name, value });
        }
        self.expected("`assert TEST`, `NAME = VALUE` or `print(...)`")
    }

    /// Up to `)`, which is taken.
    fn arguments(&mut self) -> Result<Vec<Py>, Wrong> {
        let mut args = Vec::new();
        if self.take(")") {
            return Ok(args);
        }
        loop {
            args.push(self.any()?);
            if self.take(")") {
                return Ok(args);
            }
            if !self.take(",") {
                return self.expected("`,` or `)`");
            }
        }
    }

    /// Everything that nests comes through here or through a chain's `deeper`: nobody drives us out of stack.
    fn any(&mut self) -> Result<Py, Wrong> {
        let before = self.depth;
        self.deeper()?;
        let mut left = self.conjunction()?;
        while self.take_name("or") {
            self.deeper()?;
            left = Py::Or(Box::new(left), Box::new(self.conjunction()?));
        }
        self.depth = before;
        Ok(left)
    }

    fn deeper(&mut self) -> Result<(), Wrong> {
        self.depth += 1;
        if self.depth > 64 {
            return wrong(self.at(), "the expression nests too deeply: 64 is the most");
        }
        Ok(())
    }

    fn conjunction(&mut self) -> Result<Py, Wrong> {
        let mut left = self.negation()?;
        while self.take_name("and") {
            self.deeper()?;
            left = Py::And(Box::new(left), Box::new(self.negation()?));
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Py, Wrong> {
        if self.take_name("not") {
            self.deeper()?;
            return Ok(Py::Not(Box::new(self.negation()?)));
        }
        let first = self.binary(0)?;
        let mut rest = Vec::new();
        loop {
            let how = match self.token() {
                Token::Sign("==") => Comparison::Equal,
                Token::Sign("!=") => Comparison::Unequal,
                Token::Sign("<") => Comparison::Less,
                Token::Sign("<=") => Comparison::AtMost,
                Token::Sign(">") => Comparison::More,
                Token::Sign(">=") => Comparison::AtLeast,
                _ if rest.is_empty() => return Ok(first),
                _ => return Ok(Py::Compare(Box::new(first), rest)),
            };
            self.here += 1;
            rest.push((how, self.binary(0)?));
        }
    }

    /// Operators that group from the left, by how tightly they bind.
    fn binary(&mut self, level: usize) -> Result<Py, Wrong> {
        const LEVELS: &[&[(&str, Operator)]] = &[
            &[("|", Operator::BitOr)],
            &[("^", Operator::BitXor)],
            &[("&", Operator::BitAnd)],
            &[("<<", Operator::Left), (">>", Operator::Right)],
            &[("+", Operator::Plus), ("-", Operator::Minus)],
            &[
                ("*", Operator::Times),
                ("//", Operator::Floor),
                ("/", Operator::Divide),
                ("%", Operator::Modulo),
            ],
        ];
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        loop {
            let at = self.at();
            let Some((_, operator)) = operators.iter().find(|(sign, _)| self.take(sign)) else {
                return Ok(left);
            };
            self.deeper()?;
            let right = self.binary(level + 1)?;
            left = Py::Arithmetic(at, *operator, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Result<Py, Wrong> {
        if self.take("-") {
            self.deeper()?;
            return Ok(Py::Negative(Box::new(self.unary()?)));
        }
        if self.take("~") {
            self.deeper()?;
            return Ok(Py::Invert(Box::new(self.unary()?)));
        }
        if self.take("+") {
            self.deeper()?;
            return self.unary();
        }
        let base = self.atom()?;
        let at = self.at();
        if self.take("**") {
            self.deeper()?;
            let power = self.unary()?;
            return Ok(Py::Arithmetic(at, Operator::Power, Box::new(base), Box::new(power)));
        }
        Ok(base)
    }

    fn atom(&mut self) -> Result<Py, Wrong> {
        let at = self.at();
        let token = self.token().clone();
        let value = match token {
            Token::Int(value) => Py::Int(value),
            Token::Float(value) => Py::Float(value),
            Token::Text(text) => Py::Text(text),
            Token::Name(name) => match name.as_str() {
                "True" => Py::Int(1),
                "False" | "None" => Py::Int(0),
                _ => {
                    self.here += 1;
                    if self.take("(") {
                        return Ok(Py::Apply(at, name, self.arguments()?));
                    }
                    return Ok(Py::Name(at, name));
                }
            },
            Token::Sign("(") => {
                self.here += 1;
                let inner = self.any()?;
                if !self.take(")") {
                    return self.expected("`)`");
                }
                return Ok(inner);
            }
            _ => return self.expected("a number, a name or `(`"),
        };
        self.here += 1;
        Ok(value)
    }
}
