//! Interpreter for pickles that executes no code.
//!
//! A pickle is a program for a stack machine. This machine keeps only texts, integers, containers and persistent ids,
//! which suffice for the names of classes and the nesting of dictionaries. Calls build inert objects, and a pickle that
//! names a class which is not harmless ([`super::harmless`]) is refused at once. [`Budget`] bounds time and memory.

use super::harmless::is_harmless;
use super::pickle::{Budget, Fault, Kind, Pickle, Pile, Value};
use std::collections::HashMap;
use std::io::{self, BufRead, Read};

fn broken(what: impl Into<String>) -> Fault {
    Fault::Broken(what.into())
}

/// Interprets one pickle; the reader is then after its end.
///
/// # Errors
/// A [`Fault`]; nothing was executed.
pub fn walk(reader: &mut impl BufRead, budget: &mut Budget) -> Result<Pickle, Fault> {
    let mut machine = Machine {
        reader,
        budget,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        piles: Vec::new(),
        persistent: Vec::new(),
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { piles: machine.piles, persistent: machine.persistent, root })
}

struct Machine<'a, R> {
    reader: &'a mut R,
    budget: &'a mut Budget,
    stack: Vec<Value>,
    /// Height of the stack at each open mark.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    piles: Vec<Pile>,
    persistent: Vec<Value>,
}

impl<R: BufRead> Machine<'_, R> {
    /// Interprets one opcode (documented in Python's `pickletools`); false at the last one.
    fn step(&mut self) -> Result<bool, Fault> {
        self.budget.step()?;
        let [opcode] = self.array()?;
        match opcode {
            b'.' => return Ok(false),
            0x80 => self.protocol()?,
            0x95 => self.skip(8)?,

            b'N' => self.stack.push(Value::Opaque),
            0x88 => self.stack.push(Value::Int(1)),
            0x89 => self.stack.push(Value::Int(0)),
            b'I' | b'L' => self.decimal()?,
            b'F' => self.line().map(|_| self.stack.push(Value::Opaque))?,
            b'G' => self.bytes(8)?,
            b'K' => self.array().map(|b| self.stack.push(Value::Int(u8::from_le_bytes(b).into())))?,
            b'M' => self.array().map(|b| self.stack.push(Value::Int(u16::from_le_bytes(b).into())))?,
            b'J' => self.array().map(|b| self.stack.push(Value::Int(i32::from_le_bytes(b).into())))?,
            0x8a => self.length::<1>().and_then(|n| self.long(n))?,
            0x8b => self.length::<4>().and_then(|n| self.long(n))?,

            b'V' => self.escaped_text()?,
            b'U' | 0x8c => self.length::<1>().and_then(|n| self.text(n))?,
            b'T' | b'X' => self.length::<4>().and_then(|n| self.text(n))?,
            0x8d => self.length::<8>().and_then(|n| self.text(n))?,
            b'C' => self.length::<1>().and_then(|n| self.bytes(n))?,
            b'B' => self.length::<4>().and_then(|n| self.bytes(n))?,
            0x8e | 0x96 => self.length::<8>().and_then(|n| self.bytes(n))?,

            b'(' => self.marks.push(self.stack.len()),
            b')' | b']' | 0x8f => self.gather(Kind::Sequence, 0)?,
            b'}' => self.gather(Kind::Dict, 0)?,
            0x85 => self.gather(Kind::Sequence, 1)?,
            0x86 => self.gather(Kind::Sequence, 2)?,
            0x87 => self.gather(Kind::Sequence, 3)?,
            b't' | b'l' | 0x91 => self.gather_to_mark(Kind::Sequence)?,
            b'd' => self.gather_to_mark(Kind::Dict)?,
            b'a' => self.add(1)?,
            b's' => self.add(2)?,
            b'e' | b'u' | 0x90 => self.above_mark().and_then(|n| self.add(n))?,

            b'0' if self.marks.last() == Some(&self.stack.len()) => {
                self.marks.pop();
            }
            b'0' => self.pop().map(drop)?,
            b'1' => self.above_mark().map(|n| self.stack.truncate(self.stack.len() - n))?,
            b'2' => self.top().cloned().map(|v| self.stack.push(v))?,

            b'g' | b'h' | b'j' => self.fetch(opcode)?,
            b'p' | b'q' | b'r' | 0x94 => self.remember(opcode)?,

            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(&module, &name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.name(&module, &name)?,
                _ => return Err(Fault::Forbidden("a class whose name it computes".into())),
            },
            b'P' => {
                let id = self.line()?;
                self.identify(Value::Text(id.into()));
            }
            b'Q' => self.pop().map(|id| self.identify(id))?,
            b'R' | 0x81 => self.call()?,
            0x92 => self.pop().and_then(|_| self.call())?,
            b'b' => self.build()?,

            b'i' | b'o' => return Err(Fault::Forbidden("an object in the manner of Python 1".into())),
            0x82..=0x84 => return Err(Fault::Forbidden("a class by a registry's number".into())),
            other => {
                return Err(broken(format!(
                    "byte 0x{other:02x} is no step of a pickle that torch.save writes"
                )));
            }
        }
        Ok(true)
    }

    fn protocol(&mut self) -> Result<(), Fault> {
        match self.array()? {
            [0..=5] => Ok(()),
            [version] => Err(broken(format!("it claims protocol {version}; there are 0 to 5"))),
        }
    }

    // Bytes

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.budget.spend(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn length<const N: usize>(&mut self) -> Result<u64, Fault> {
        let mut whole = [0; 8];
        whole[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u64::from_le_bytes(whole))
    }

    /// Reads the next bytes; memory grows only as they arrive, because a length may be wrong.
    fn take(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        self.budget.spend(length)?;
        let mut bytes = Vec::new();
        self.reader.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(Fault::End) }
    }

    fn skip(&mut self, length: u64) -> Result<(), Fault> {
        self.budget.spend(length)?;
        let skipped = io::copy(&mut self.reader.take(length), &mut io::sink())?;
        if skipped == length { Ok(()) } else { Err(Fault::End) }
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        self.reader.take(self.budget.left()).read_until(b'\n', &mut line)?;
        self.budget.spend(line.len() as u64)?;
        if line.pop() != Some(b'\n') {
            return Err(Fault::End);
        }
        String::from_utf8(line).map_err(|_| broken("a line is not UTF-8"))
    }

    // Plain values

    fn decimal(&mut self) -> Result<(), Fault> {
        let line = self.line()?;
        let digits = line.strip_suffix('L').unwrap_or(&line);
        self.stack.push(digits.parse().map_or(Value::Opaque, Value::Int));
        Ok(())
    }

    fn long(&mut self, length: u64) -> Result<(), Fault> {
        let bytes = self.take(length)?;
        let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 8];
        self.stack.push(match whole.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(&bytes);
                Value::Int(i64::from_le_bytes(whole))
            }
            None => Value::Opaque,
        });
        Ok(())
    }

    fn text(&mut self, length: u64) -> Result<(), Fault> {
        let text = String::from_utf8(self.take(length)?);
        self.stack.push(text.map_or(Value::Opaque, |text| Value::Text(text.into())));
        Ok(())
    }

    /// Reads a text of protocol 0. A text with escapes becomes an opaque value, because names have no escapes.
    fn escaped_text(&mut self) -> Result<(), Fault> {
        let text = self.line()?;
        let is_plain = text.is_ascii() && !text.contains('\\');
        self.stack.push(if is_plain { Value::Text(text.into()) } else { Value::Opaque });
        Ok(())
    }

    fn bytes(&mut self, length: u64) -> Result<(), Fault> {
        self.skip(length)?;
        self.stack.push(Value::Opaque);
        Ok(())
    }

    // The stack

    /// Height of the stack at the innermost mark, or 0 without a mark.
    fn floor(&self) -> usize {
        self.stack.len() - self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, Fault> {
        let underflow = || broken("it takes more values than it has");
        if self.floor() == 0 { Err(underflow()) } else { self.stack.pop().ok_or_else(underflow) }
    }

    fn top(&self) -> Result<&Value, Fault> {
        let underflow = || broken("it takes more values than it has");
        if self.floor() == 0 { Err(underflow()) } else { self.stack.last().ok_or_else(underflow) }
    }

    /// Pops the innermost mark and returns the number of values above it.
    fn above_mark(&mut self) -> Result<usize, Fault> {
        let mark = self.marks.pop().ok_or_else(|| broken("it misses a mark"))?;
        Ok(self.stack.len() - mark)
    }

    // Containers

    fn gather_to_mark(&mut self, kind: Kind) -> Result<(), Fault> {
        let count = self.above_mark()?;
        self.gather(kind, count)
    }

    /// Replaces the uppermost values by a container of them.
    fn gather(&mut self, kind: Kind, count: usize) -> Result<(), Fault> {
        let items = self.uppermost(count)?;
        self.push_pile(kind, items);
        Ok(())
    }

    fn push_pile(&mut self, kind: Kind, items: Vec<Value>) {
        self.stack.push(Value::Pile(self.piles.len()));
        self.piles.push(Pile { kind, items });
    }

    fn uppermost(&mut self, count: usize) -> Result<Vec<Value>, Fault> {
        if count > self.floor() {
            return Err(broken("it takes more values than it has"));
        }
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// Adds the uppermost values to the container under them.
    fn add(&mut self, count: usize) -> Result<(), Fault> {
        let items = self.uppermost(count)?;
        match *self.top()? {
            Value::Pile(pile) => {
                self.piles[pile].items.extend(items);
                Ok(())
            }
            _ => Err(broken("it fills what is no container")),
        }
    }

    // Memo

    fn fetch(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = self.index(opcode)?;
        let value = self.memo.get(&index).cloned();
        self.stack
            .push(value.ok_or_else(|| broken(format!("it fetches value {index}, which it never kept")))?);
        Ok(())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = if opcode == 0x94 { self.memo.len() as u32 } else { self.index(opcode)? };
        let value = self.top()?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn index(&mut self, opcode: u8) -> Result<u32, Fault> {
        Ok(match opcode {
            b'h' | b'q' => u8::from_le_bytes(self.array()?).into(),
            b'j' | b'r' => u32::from_le_bytes(self.array()?),
            _ => {
                let line = self.line()?;
                line.parse().map_err(|_| broken("it numbers a value by no number"))?
            }
        })
    }

    // Classes and calls

    fn name(&mut self, module: &str, name: &str) -> Result<(), Fault> {
        let full = format!("{module}.{name}");
        if !is_harmless(module, name) {
            return Err(Fault::Forbidden(full));
        }
        self.stack.push(Value::Global(full.into()));
        Ok(())
    }

    fn identify(&mut self, id: Value) {
        self.stack.push(Value::Persistent(self.persistent.len()));
        self.persistent.push(id);
    }

    /// Interprets a call: the result is an inert object of the callee and its arguments, or a dictionary.
    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let Value::Global(class) = called else {
            return Err(Fault::Forbidden("a call of what is no class".into()));
        };
        if &*class != "collections.OrderedDict" {
            let items = self.copy_of(&arguments)?;
            self.push_pile(Kind::Object(class), items);
            return Ok(());
        }
        // Python 2 passes a list of pairs where Python 3 sets items one by one.
        let pairs = match self.items(&arguments) {
            [pairs, ..] => self.copy_of(&pairs.clone())?,
            [] => Vec::new(),
        };
        let pairs = pairs.iter().map(|pair| self.items(pair)).filter(|pair| pair.len() == 2);
        let pairs = pairs.flatten().cloned().collect();
        self.push_pile(Kind::Dict, pairs);
        Ok(())
    }

    /// Sets an object's state. A dictionary's attributes (`_metadata`) hold no weights.
    fn build(&mut self) -> Result<(), Fault> {
        let state = self.pop()?;
        let Value::Pile(object) = *self.top()? else { return Ok(()) };
        if matches!(self.piles[object].kind, Kind::Object(_)) {
            let state = self.copy_of(&state)?;
            self.piles[object].items.extend(state);
        }
        Ok(())
    }

    /// Copies a container's items and charges the budget, because a large tuple may be the arguments of many calls.
    fn copy_of(&mut self, container: &Value) -> Result<Vec<Value>, Fault> {
        let size = size_of_val(self.items(container)) as u64;
        self.budget.spend(size)?;
        Ok(self.items(container).to_vec())
    }

    fn items(&self, value: &Value) -> &[Value] {
        match value {
            Value::Pile(pile) => &self.piles[*pile].items,
            _ => &[],
        }
    }
}
