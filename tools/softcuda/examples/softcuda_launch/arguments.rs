//! The arguments of a launch as a command line gives them: `f32:1024:noise`, `ids=i32:8:labels`, `i32:1024`, `null`.

use softcuda::{Arg, Buffer, Device, Element};
use std::any::Any;
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An argument, and what keeps its buffer.
pub struct Argument {
    pub arg: Arg,
    pub output: Option<Output>,
    _buffer: Option<Box<dyn Any>>,
}

/// Reads the first elements of a buffer that the host did not write.
pub type Output = Box<dyn Fn() -> Result<String>>;

/// The elements of a buffer.
#[derive(Clone, Copy)]
enum Content {
    /// Numbers between -1 and 1, the same each time; whole numbers from 0 to 9 for integers.
    Noise,
    /// 0, 1, 2 and so on.
    Count,
    /// 0, 0, 0, 0, 1, 1, 1, 1, 2 and so on: four images a person.
    Labels,
    /// One number everywhere.
    Value(f64),
    /// Nothing, for outputs.
    Unwritten,
}

/// Makes argument number `index` (from 0) of a launch. Faults and pictures name its buffer as `text` does in front of a
/// `=`, else `argument 1` and so on.
///
/// # Errors
/// A text of another form, with the forms that there are; no memory for the buffer.
pub fn parse(device: &Device, index: usize, text: &str) -> Result<Argument> {
    let wrong = || {
        format!(
            "argument {}: `{text}` is neither a number TYPE:VALUE (i32:1024), nor a buffer TYPE:COUNT:CONTENT \
             (f32:1024:noise, or NAME=f32:1024:noise), nor `null`; TYPE is f32, f64, i32, u32, i64 or u64, for \
             buffers also bf16, i8, u8, i16 or u16; CONTENT is noise, count, labels, unwritten or a number",
            index + 1
        )
    };
    if text == "null" {
        return Ok(Argument { arg: Arg::Pointer(0), output: None, _buffer: None });
    }
    let (name, form) = match text.split_once('=') {
        Some((name, form)) if !name.is_empty() => (name.to_string(), form),
        Some(_) => return Err(wrong().into()),
        None => (format!("argument {}", index + 1), text),
    };
    let words: Vec<&str> = form.split(':').collect();
    match words[..] {
        [kind, value] => {
            let arg = number(kind, value).ok_or_else(wrong)?;
            Ok(Argument { arg, output: None, _buffer: None })
        }
        [kind, count, content] => {
            let count: usize = count.parse().map_err(|_| wrong())?;
            let content = match content {
                "noise" => Content::Noise,
                "count" => Content::Count,
                "labels" => Content::Labels,
                "unwritten" => Content::Unwritten,
                value => Content::Value(value.parse().map_err(|_| wrong())?),
            };
            match kind {
                "f32" => buffer(device, &name, count, content, true, |v| v as f32),
                "f64" => buffer(device, &name, count, content, true, |v| v),
                // The upper half of an f32: cut off, which is near enough for made-up numbers.
                "bf16" => {
                    buffer(device, &name, count, content, true, |v| ((v as f32).to_bits() >> 16) as u16)
                }
                "i8" => buffer(device, &name, count, content, false, |v| v as i8),
                "u8" => buffer(device, &name, count, content, false, |v| v as u8),
                "i16" => buffer(device, &name, count, content, false, |v| v as i16),
                "u16" => buffer(device, &name, count, content, false, |v| v as u16),
                "i32" => buffer(device, &name, count, content, false, |v| v as i32),
                "u32" => buffer(device, &name, count, content, false, |v| v as u32),
                "i64" => buffer(device, &name, count, content, false, |v| v as i64),
                "u64" => buffer(device, &name, count, content, false, |v| v as u64),
                _ => Err(wrong().into()),
            }
        }
        _ => Err(wrong().into()),
    }
}

fn number(kind: &str, value: &str) -> Option<Arg> {
    Some(match kind {
        "f32" => Arg::F32(value.parse().ok()?),
        "f64" => Arg::F64(value.parse().ok()?),
        "i32" => Arg::I32(value.parse().ok()?),
        "u32" => Arg::U32(value.parse().ok()?),
        "i64" => Arg::I64(value.parse().ok()?),
        "u64" => Arg::U64(value.parse().ok()?),
        _ => return None,
    })
}

fn buffer<T: Element + std::fmt::Debug>(
    device: &Device,
    name: &str,
    count: usize,
    content: Content,
    is_real: bool,
    convert: impl Fn(f64) -> T,
) -> Result<Argument> {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 24 bits: exact in f32.
        let unit = (state >> 40) as f64 / f64::from(1u32 << 24);
        if is_real { 2.0 * unit - 1.0 } else { (10.0 * unit).floor() }
    };
    let value = |i: usize, noise: &mut dyn FnMut() -> f64| match content {
        Content::Noise => noise(),
        Content::Count => i as f64,
        Content::Labels => (i / 4) as f64,
        Content::Value(value) => value,
        Content::Unwritten => 0.0,
    };
    let is_output = matches!(content, Content::Unwritten);
    let buffer: Buffer<T> = if is_output {
        device.unwritten(name, count)?
    } else {
        let host: Vec<T> = (0..count).map(|i| convert(value(i, &mut noise))).collect();
        device.upload(name, &host)?
    };
    let arg = Arg::from(&buffer);
    if !is_output {
        return Ok(Argument { arg, output: None, _buffer: Some(Box::new(buffer)) });
    }
    let name = name.to_string();
    let read: Output = Box::new(move || {
        let elements = buffer.read()?;
        let first: Vec<String> = elements.iter().take(4).map(|element| format!("{element:?}")).collect();
        let more = if elements.len() > 4 { ", ..." } else { "" };
        Ok(format!("{name}: {}{more}", first.join(", ")))
    });
    Ok(Argument { arg, output: Some(read), _buffer: None })
}
