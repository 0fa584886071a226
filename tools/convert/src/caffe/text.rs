//! Parser for Protobuf's text format: converts a prototxt, which describes a network without weights, to the binary
//! message.
//!
//! The text becomes the same bytes that a `.caffemodel` has, and the same reader reads them. So there is one reader of
//! layers, and its bounds hold for both. A crate for the format would need the schema of the fork of Caffe that the
//! text was written for, and stop at the first field it does not know; this reader skips what it does not know.

use super::schema::{Field, Kind, NET};
use super::v1;
use super::wire::Fault;
use crate::display::quoted;
use prost::encoding::encode_varint;

/// Largest accepted text in bytes; that of a ResNet-152 is a tenth of it.
pub const MAX_TEXT: usize = 4 << 20;
/// Largest nesting depth of messages; Caffe's have at most five.
const MAX_DEPTH: usize = 20;

/// Converts `text` to a NetParameter.
///
/// # Errors
/// An error of the text, with its line.
pub fn net(text: &[u8]) -> Result<Vec<u8>, Fault> {
    if text.len() > MAX_TEXT {
        return Err(format!("it takes more than {MAX_TEXT} bytes; a prototxt takes a tenth of that"));
    }
    let mut reader = Reader { text: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text), at: 0, line: 1 };
    reader.message(Some(NET), None, 0).map_err(|fault| format!("line {}: {fault}", reader.line))
}

/// A token of the text.
#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    /// A punctuation sign.
    Sign(u8),
    /// A name or a number.
    Word(&'a [u8]),
    /// A quoted string, unquoted.
    Quoted(Vec<u8>),
    /// End of the text.
    End,
}

impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |bytes: &[u8]| quoted(&String::from_utf8_lossy(bytes));
        match self {
            Token::Sign(sign) => write!(f, "{:?}", char::from(*sign)),
            Token::Word(word) => f.write_str(&shown(word)),
            Token::Quoted(text) => write!(f, "the string {}", shown(text)),
            Token::End => f.write_str("the end of the text"),
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => self.line += 1,
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {}
                b'#' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                    continue;
                }
                _ => break,
            }
            self.at += 1;
        }
    }

    fn token(&mut self) -> Result<Token<'a>, Fault> {
        self.skip_blanks();
        let Some(byte) = self.peek() else { return Ok(Token::End) };
        match byte {
            b'{' | b'}' | b'<' | b'>' | b'[' | b']' | b':' | b',' | b';' | b'/' => {
                self.at += 1;
                Ok(Token::Sign(byte))
            }
            b'"' | b'\'' => self.quoted(byte).map(Token::Quoted),
            _ if is_word(byte) => {
                let start = self.at;
                while self.peek().is_some_and(is_word) {
                    self.at += 1;
                }
                Ok(Token::Word(&self.text[start..self.at]))
            }
            _ => Err(format!("{:?} has no meaning here", char::from(byte))),
        }
    }

    /// Consumes the next token if it is this sign.
    fn accept(&mut self, sign: u8) -> bool {
        self.skip_blanks();
        let found = self.peek() == Some(sign);
        self.at += usize::from(found);
        found
    }

    /// Parses a string in quotes of this kind, with C's escapes.
    fn quoted(&mut self, quote: u8) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        self.at += 1;
        loop {
            let byte =
                self.peek().filter(|&byte| byte != b'\n').ok_or("a string does not end on its line")?;
            self.at += 1;
            match byte {
                b'\\' => out.push(self.escape()?),
                byte if byte == quote => return Ok(out),
                byte => out.push(byte),
            }
        }
    }

    fn escape(&mut self) -> Result<u8, Fault> {
        let byte = self.peek().ok_or("a string does not end")?;
        self.at += 1;
        let (radix, most) = match byte {
            b'n' => return Ok(b'\n'),
            b'r' => return Ok(b'\r'),
            b't' => return Ok(b'\t'),
            b'x' | b'X' => (16, 2),
            b'0'..=b'7' => {
                self.at -= 1;
                (8, 3)
            }
            b'\\' | b'\'' | b'"' | b'?' => return Ok(byte),
            _ => return Err(format!("a string has the escape \\{}, which is none", byte.escape_ascii())),
        };
        let digits =
            self.text[self.at..].iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix));
        let digits = &self.text[self.at..self.at + digits.count()];
        self.at += digits.len();
        let number =
            std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, radix).ok());
        number.ok_or_else(|| "a string has an escape that is no byte".into())
    }

    /// Parses the fields of a message up to `end` and returns its bytes; without `fields` the message is only skipped.
    fn message(
        &mut self,
        fields: Option<&'static [Field]>,
        end: Option<u8>,
        depth: usize,
    ) -> Result<Vec<u8>, Fault> {
        if depth > MAX_DEPTH {
            return Err(format!("messages lie more than {MAX_DEPTH} deep in one another"));
        }
        let (mut out, mut seen) = (Vec::new(), 0_u64);
        loop {
            let name = match self.token()? {
                Token::Sign(sign) if Some(sign) == end => return Ok(out),
                Token::End if end.is_none() => return Ok(out),
                Token::Word(name) => name,
                Token::Sign(b'[') => self.extension()?,
                other => return Err(format!("{other} stands where the name of a field is expected")),
            };
            let at = fields.and_then(|fields| fields.iter().position(|field| field.name.as_bytes() == name));
            let field = at.and_then(|at| Some(&fields?[at]));
            if let (Some(at), Some(field)) = (at, field) {
                if seen >> at & 1 == 1 && !field.repeated {
                    return Err(format!("{} stands twice in one message", field.name));
                }
                seen |= 1 << at;
            }
            self.field(field, name, depth, &mut out)?;
            let _ = self.accept(b',') || self.accept(b';');
        }
    }

    /// Parses the name of an extension after its bracket; no known field has such a name.
    fn extension(&mut self) -> Result<&'a [u8], Fault> {
        loop {
            match self.token()? {
                Token::Sign(b']') => return Ok(b"[]"),
                Token::Word(_) | Token::Sign(b'/') => {}
                other => return Err(format!("{other} stands in the name of an extension")),
            }
        }
    }

    /// Parses a field after its name: a value, or a list of values.
    fn field(
        &mut self,
        field: Option<&'static Field>,
        name: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let has_colon = self.accept(b':');
        if !(has_colon && self.accept(b'[')) {
            return self.value(field, name, has_colon, depth, out);
        }
        if field.is_some_and(|field| !field.repeated) {
            return Err(format!("{} takes one value, not a list", Token::Word(name)));
        }
        if self.accept(b']') {
            return Ok(());
        }
        loop {
            self.value(field, name, true, depth, out)?;
            if self.accept(b']') {
                return Ok(());
            }
            if !self.accept(b',') {
                let found = self.token()?;
                return Err(format!("{found} stands in a list, where a comma or its end is expected"));
            }
        }
    }

    fn value(
        &mut self,
        field: Option<&'static Field>,
        name: &[u8],
        has_colon: bool,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let end = if self.accept(b'{') {
            b'}'
        } else if self.accept(b'<') {
            b'>'
        } else {
            let scalar = if has_colon { self.scalar()? } else { self.token()? };
            return match (has_colon, field) {
                (false, _) => {
                    Err(format!("{scalar} follows {}, where \":\" or \"{{\" is expected", Token::Word(name)))
                }
                (true, Some(field)) => scalar_field(field, &scalar, out),
                (true, None) => Ok(()),
            };
        };
        let fields = match field {
            Some(Field { kind: Kind::Message(fields), .. }) => Some(*fields),
            Some(_) => return Err(format!("{} takes a value, not a message", Token::Word(name))),
            None => None,
        };
        let message = self.message(fields, Some(end), depth + 1)?;
        if let Some(field) = field {
            bytes(field, &message, out);
        }
        Ok(())
    }

    /// Parses a word, or a sequence of strings.
    fn scalar(&mut self) -> Result<Token<'a>, Fault> {
        match self.token()? {
            Token::Quoted(mut text) => loop {
                self.skip_blanks();
                match self.peek() {
                    Some(quote @ (b'"' | b'\'')) => text.extend(self.quoted(quote)?),
                    _ => return Ok(Token::Quoted(text)),
                }
            },
            word @ Token::Word(_) => Ok(word),
            other => Err(format!("{other} stands where a value is expected")),
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-')
}

/// Writes a field that is not a message.
fn scalar_field(field: &Field, value: &Token<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let wrong = |wanted: &str| Err(format!("{} is {value}; {wanted} is needed", field.name));
    let word = match value {
        Token::Word(word) => std::str::from_utf8(word).unwrap_or_default(),
        _ => "",
    };
    let number = match &field.kind {
        Kind::Text => match value {
            Token::Quoted(text) => {
                bytes(field, text, out);
                return Ok(());
            }
            _ => return wrong("a string in quotes"),
        },
        Kind::Real => match real(word) {
            Some(value) => {
                encode_varint(u64::from(field.number) << 3 | 5, out);
                out.extend(value.to_le_bytes());
                return Ok(());
            }
            None => return wrong("a number"),
        },
        Kind::Message(_) => return wrong("a message in braces"),
        Kind::Whole => whole(word),
        Kind::Integer => match word.strip_prefix('-') {
            Some(digits) => whole(digits).filter(|&value| value <= 1 << 63).map(u64::wrapping_neg),
            None => whole(word),
        },
        Kind::Flag => match word {
            "true" | "True" | "t" | "1" => Some(1),
            "false" | "False" | "f" | "0" => Some(0),
            _ => None,
        },
        Kind::Choice(choices) => {
            let named = choices.iter().find(|(name, _)| *name == word);
            named.map(|(_, number)| *number).or_else(|| whole(word))
        }
        Kind::LayerType => v1::number(word.as_bytes()).or_else(|| whole(word)),
    };
    let Some(number) = number else {
        return match &field.kind {
            Kind::Flag => wrong("true or false"),
            Kind::Choice(choices) => {
                wrong(&choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or "))
            }
            Kind::LayerType => wrong("a type of the older form of layers"),
            _ => wrong("a whole number"),
        };
    };
    encode_varint(u64::from(field.number) << 3, out);
    encode_varint(number, out);
    Ok(())
}

/// Writes a string or a message.
fn bytes(field: &Field, value: &[u8], out: &mut Vec<u8>) {
    encode_varint(u64::from(field.number) << 3 | 2, out);
    encode_varint(value.len() as u64, out);
    out.extend(value);
}

/// Parses an unsigned integer: decimal, hexadecimal with 0x, or octal with a leading 0.
fn whole(word: &str) -> Option<u64> {
    if word.starts_with('+') {
        return None;
    }
    match (word.strip_prefix("0x").or(word.strip_prefix("0X")), word.strip_prefix('0')) {
        (Some(digits), _) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => word.parse().ok(),
    }
}

/// Parses a float in C's notation.
fn real(word: &str) -> Option<f32> {
    let plain = word
        .strip_suffix(['f', 'F'])
        .filter(|plain| plain.ends_with(|c: char| c.is_ascii_digit() || c == '.'));
    plain.unwrap_or(word).parse().ok()
}
