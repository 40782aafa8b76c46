//! What stands between `%{` and `}%`: assertions on `TCP_INFO`, in as much of Python's notation as assertions need.
//!
//! Statements are `assert TEST`, `assert TEST, MESSAGE`, `NAME = VALUE` and `print(...)`, one a line or parted by `;`. Expressions have
//! Python's operators and their binding: `or`, `and`, `not`, comparisons (chained ones too), `| ^ & << >> + - * / // % **`, brackets, `abs`,
//! `min`, `max`.

mod parse;

pub(super) use parse::parse;

use super::fault::At;
use std::collections::BTreeMap;
use std::fmt;

#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) at: At,
    /// As it was written.
    pub(super) text: String,
    pub(super) kind: StatementKind,
}

#[derive(Clone, Debug)]
pub(super) enum StatementKind {
    Assert {
        test: Py,
        message: Option<Py>,
    },
    Assign {
        name: String,
        value: Py,
    },
    /// Evaluated, and looked at by nobody.
    Print(Vec<Py>),
}

/// An expression.
#[derive(Clone, Debug)]
pub(super) enum Py {
    Int(i128),
    Float(f64),
    Text(String),
    Name(At, String),
    Not(Box<Py>),
    Negative(Box<Py>),
    Invert(Box<Py>),
    And(Box<Py>, Box<Py>),
    Or(Box<Py>, Box<Py>),
    /// `a < b <= c`: each pair must hold.
    Compare(Box<Py>, Vec<(Comparison, Py)>),
    Arithmetic(At, Operator, Box<Py>, Box<Py>),
    Apply(At, String, Vec<Py>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    AtMost,
    More,
    AtLeast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    BitOr,
    BitXor,
    BitAnd,
    Left,
    Right,
    Plus,
    Minus,
    Times,
    Divide,
    Floor,
    Modulo,
    Power,
}

/// What an expression is worth.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i128),
    Float(f64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Value {
    fn is_true(&self) -> bool {
        match self {
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
        }
    }

    fn as_float(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Int(i128::from(value))
    }
}

/// What names stand for.
pub(super) type Names = BTreeMap<String, Value>;

/// Runs one statement. The error says what does not hold, or what is not known.
pub(super) fn run(statement: &Statement, names: &mut Names) -> Result<(), (At, String)> {
    match &statement.kind {
        StatementKind::Print(values) => {
            for value in values {
                let _ = value.value(names)?;
            }
        }
        StatementKind::Assign { name, value } => {
            let value = value.value(names)?;
            let _ = names.insert(name.clone(), value);
        }
        StatementKind::Assert { test, message } => {
            if !test.value(names)?.is_true() {
                let mut text = format!("{} does not hold", statement.text);
                let mut seen = Vec::new();
                test.names(&mut seen);
                for name in seen {
                    if let Some(value) = names.get(&name) {
                        text.push_str(&format!("; {name} is {value}"));
                    }
                }
                if let Some(message) = message {
                    text.push_str(&format!(" ({})", message.value(names)?));
                }
                return Err((statement.at, text));
            }
        }
    }
    Ok(())
}

impl Py {
    /// Names in it, each once.
    fn names(&self, into: &mut Vec<String>) {
        match self {
            Self::Name(_, name) if !into.contains(name) => into.push(name.clone()),
            Self::Int(_) | Self::Float(_) | Self::Text(_) | Self::Name(..) => {}
            Self::Not(inner) | Self::Negative(inner) | Self::Invert(inner) => inner.names(into),
            Self::And(a, b) | Self::Or(a, b) | Self::Arithmetic(_, _, a, b) => {
                a.names(into);
                b.names(into);
            }
            Self::Compare(first, rest) => {
                first.names(into);
                for (_, next) in rest {
                    next.names(into);
                }
            }
            Self::Apply(_, _, args) => {
                for arg in args {
                    arg.names(into);
                }
            }
        }
    }

    fn value(&self, names: &Names) -> Result<Value, (At, String)> {
        Ok(match self {
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Text(text) => Value::Text(text.clone()),
            Self::Name(at, name) => match names.get(name) {
                Some(value) => value.clone(),
                None => return Err((*at, unknown(name, names))),
            },
            Self::Not(inner) => (!inner.value(names)?.is_true()).into(),
            Self::Negative(inner) => match inner.value(names)? {
                Value::Int(value) => Value::Int(value.saturating_neg()),
                Value::Float(value) => Value::Float(-value),
                text @ Value::Text(_) => text,
            },
            Self::Invert(inner) => match inner.value(names)? {
                Value::Int(value) => Value::Int(!value),
                other => other,
            },
            Self::And(a, b) => {
                let a = a.value(names)?;
                if a.is_true() { b.value(names)? } else { a }
            }
            Self::Or(a, b) => {
                let a = a.value(names)?;
                if a.is_true() { a } else { b.value(names)? }
            }
            Self::Compare(first, rest) => {
                let mut left = first.value(names)?;
                for (how, next) in rest {
                    let right = next.value(names)?;
                    if !compare(*how, &left, &right) {
                        return Ok(false.into());
                    }
                    left = right;
                }
                true.into()
            }
            Self::Arithmetic(at, operator, a, b) => {
                let (a, b) = (a.value(names)?, b.value(names)?);
                let Some(value) = arithmetic(*operator, &a, &b) else {
                    return Err((*at, format!("{a} and {b} cannot be combined like this")));
                };
                value
            }
            Self::Apply(at, name, args) => {
                let args = args.iter().map(|arg| arg.value(names)).collect::<Result<Vec<_>, _>>()?;
                let Some(value) = apply(name, &args) else {
                    return Err((
                        *at,
                        format!("{name}() is not known with these arguments: abs, min, max are"),
                    ));
                };
                value
            }
        })
    }
}

fn unknown(name: &str, names: &Names) -> String {
    // The known name that shares most of its beginning.
    let shared = |known: &str| known.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    match names.keys().max_by_key(|known| shared(known)) {
        Some(near) if shared(near) > 2 => format!("`{name}` is not known; {near} is"),
        _ => format!("`{name}` is not known: the fields of TCP_INFO (tcpi_rto, ...) are"),
    }
}

fn compare(how: Comparison, a: &Value, b: &Value) -> bool {
    let order = match (a, b) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        _ => match (a.as_float(), b.as_float()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => None,
        },
    };
    match how {
        Comparison::Equal => order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Unequal => !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::AtMost => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::More => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn arithmetic(operator: Operator, a: &Value, b: &Value) -> Option<Value> {
    if let (Operator::Plus, Value::Text(_), _) | (Operator::Modulo, Value::Text(_), _) = (operator, a, b) {
        // Messages put together: what is said matters, not how.
        return Some(Value::Text(format!("{a} {b}")));
    }
    if let (Value::Int(a), Value::Int(b)) = (a, b) {
        let shift = || u32::try_from(*b).ok().filter(|by| *by < 64);
        let value = match operator {
            Operator::BitOr => a | b,
            Operator::BitXor => a ^ b,
            Operator::BitAnd => a & b,
            Operator::Left => a.checked_shl(shift()?)?,
            Operator::Right => a.checked_shr(shift()?)?,
            Operator::Plus => a.checked_add(*b)?,
            Operator::Minus => a.checked_sub(*b)?,
            Operator::Times => a.checked_mul(*b)?,
            Operator::Floor => floor(*a, *b)?,
            Operator::Modulo => a.checked_sub(floor(*a, *b)?.checked_mul(*b)?)?,
            Operator::Power => a.checked_pow(u32::try_from(*b).ok()?)?,
            Operator::Divide => return (*b != 0).then(|| Value::Float(*a as f64 / *b as f64)),
        };
        return Some(Value::Int(value));
    }
    let (a, b) = (a.as_float()?, b.as_float()?);
    Some(Value::Float(match operator {
        Operator::Plus => a + b,
        Operator::Minus => a - b,
        Operator::Times => a * b,
        Operator::Divide if b != 0.0 => a / b,
        Operator::Floor if b != 0.0 => (a / b).floor(),
        Operator::Modulo if b != 0.0 => a - (a / b).floor() * b,
        Operator::Power => a.powf(b),
        _ => return None,
    }))
}

/// Division that rounds down, as Python's does.
fn floor(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    let exact = a.checked_rem(b)? == 0;
    Some(if !exact && (a < 0) != (b < 0) {
        quotient - 1
    } else {
        quotient
    })
}

fn apply(name: &str, args: &[Value]) -> Option<Value> {
    match (name, args) {
        ("abs", [Value::Int(value)]) => value.checked_abs().map(Value::Int),
        ("abs", [Value::Float(value)]) => Some(Value::Float(value.abs())),
        ("int", [value]) => value.as_float().map(|value| Value::Int(value as i128)),
        ("min", [first, rest @ ..]) => Some(extreme(first, rest, Comparison::Less)),
        ("max", [first, rest @ ..]) => Some(extreme(first, rest, Comparison::More)),
        ("str", [value]) => Some(Value::Text(value.to_string())),
        _ => None,
    }
}

fn extreme(first: &Value, rest: &[Value], beats: Comparison) -> Value {
    let mut best = first;
    for value in rest {
        if compare(beats, value, best) {
            best = value;
        }
    }
    best.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_all(code: &str) -> Result<(), String> {
        let at = At { line: 5, column: 3 };
        let mut names = Names::new();
        let _ = names.insert("tcpi_snd_cwnd".into(), Value::Int(10));
        let _ = names.insert("TCP_CA_Open".into(), Value::Int(0));
        let statements =
            parse(at, &format!("%{{{code}}}%")).map_err(|(at, text)| format!("{}:{}: {text}", at.line, at.column))?;
        for statement in &statements {
            run(statement, &mut names).map_err(|(at, text)| format!("{}:{}: {text}", at.line, at.column))?;
        }
        Ok(())
    }

    #[test]
    fn what_holds_in_python_holds_here() {
        for code in [
            "assert tcpi_snd_cwnd == 10",
            "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
            "\nassert tcpi_snd_cwnd > 9\nassert not tcpi_snd_cwnd < 9 # comment\n",
            "assert 1 < 2 < 3 and not 3 < 2 or 0",
            "assert 7 // 2 == 3; assert -7 // 2 == -4; assert -7 % 3 == 2",
            "assert 7 / 2 == 3.5",
            "assert 1 | 2 ^ 3 & 1 == 3 or 1",
            "assert 2 ** 3 ** 2 == 512",
            "assert (1 + 2) * 3 == 9 and 1 + 2 * 3 == 7 and -2 ** 2 == -4",
            "x = tcpi_snd_cwnd\nassert x * 2 == 20",
            "assert abs(-3) == 3 and min(3, 1, 2) == 1 and max(1, 2.5) == 2.5",
            "assert tcpi_snd_cwnd >= 10 and \\\n  tcpi_snd_cwnd <= 10",
            "print(tcpi_snd_cwnd, 'text')",
            "assert 0x10 == 16 and 1 << 4 == 16 and 1e3 == 1000",
            "assert TCP_CA_Open == 0 and True and not False and None == None",
            "assert (tcpi_snd_cwnd ==\n   10)",
        ] {
            assert_eq!(run_all(code), Ok(()), "{code}");
        }
    }

    #[test]
    fn what_does_not_hold_is_said_with_values() {
        let said = run_all("\n  assert tcpi_snd_cwnd == 11, 'cwnd'").unwrap_err();
        assert_eq!(
            said,
            "6:3: assert tcpi_snd_cwnd == 11, 'cwnd' does not hold; tcpi_snd_cwnd is 10 (cwnd)"
        );
        for (code, at, word) in [
            ("assert tcpi_snd_wnd == 1", "5:12", "tcpi_snd_cwnd is"),
            ("assert 1 +", "5:15", "expected"),
            ("import os", "5:5", "assert"),
            ("assert 1 / 0", "5:14", "cannot"),
            ("assert 1 << 100", "5:14", "cannot"),
            ("assert frob(1)", "5:12", "not known"),
            ("assert (1", "5:14", "expected"),
        ] {
            let said = run_all(code).unwrap_err();
            assert!(said.starts_with(at) && said.contains(word), "{code}: {said}");
        }
    }
}
