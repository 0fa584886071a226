//! The formulas in the comments of `cuda/lab`: numbers, names, `+ - /`, products without a sign, and the functions
//! `ceil`, `floor`, `log2`, `max` and `min`.

/// A formula that was read, to be evaluated for different values of its names.
#[derive(Clone, Debug)]
pub enum Formula {
    Number(f64),
    Name(String),
    Call(Function, Vec<Formula>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    Add,
    Subtract,
    Multiply,
    Divide,
    Ceil,
    Floor,
    Log2,
    Max,
    Min,
}

impl Formula {
    /// Reads a formula.
    ///
    /// # Errors
    /// What was expected, and what stands there.
    pub fn parse(text: &str) -> Result<Formula, String> {
        let mut parser = Parser { rest: text };
        let formula = parser.sum().map_err(|error| format!("{error} in the formula {text:?}"))?;
        match parser.rest.trim() {
            "" => Ok(formula),
            rest => Err(format!("{rest:?} is left over of the formula {text:?}")),
        }
    }

    /// Its value; `value` gives that of a name.
    ///
    /// # Errors
    /// A name that has no value.
    pub fn at(&self, value: &dyn Fn(&str) -> Option<f64>) -> Result<f64, String> {
        match self {
            Formula::Number(number) => Ok(*number),
            Formula::Name(name) => value(name).ok_or_else(|| format!("{name} stands for nothing")),
            Formula::Call(function, arguments) => {
                let values: Vec<f64> = arguments.iter().map(|a| a.at(value)).collect::<Result<_, _>>()?;
                Ok(function.of(&values))
            }
        }
    }
}

impl Function {
    fn named(name: &str) -> Option<Function> {
        Some(match name {
            "ceil" => Function::Ceil,
            "floor" => Function::Floor,
            "log2" => Function::Log2,
            "max" => Function::Max,
            "min" => Function::Min,
            _ => return None,
        })
    }

    fn takes(self, count: usize) -> bool {
        matches!(self, Function::Max | Function::Min) || count == 1
    }

    fn of(self, values: &[f64]) -> f64 {
        match self {
            Function::Add => values.iter().sum(),
            Function::Subtract => values[0] - values[1],
            Function::Multiply => values.iter().product(),
            Function::Divide => values[0] / values[1],
            Function::Ceil => values[0].ceil(),
            Function::Floor => values[0].floor(),
            Function::Log2 => values[0].log2(),
            Function::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Function::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn takes(&mut self, wanted: char) -> bool {
        let here = self.peek() == Some(wanted);
        if here {
            self.rest = &self.rest[wanted.len_utf8()..];
        }
        here
    }

    fn sum(&mut self) -> Result<Formula, String> {
        let mut left = self.product()?;
        loop {
            let function = match () {
                () if self.takes('+') => Function::Add,
                () if self.takes('-') => Function::Subtract,
                () => return Ok(left),
            };
            left = Formula::Call(function, vec![left, self.product()?]);
        }
    }

    /// `a b / c d` is `((a b) / c) d`.
    fn product(&mut self) -> Result<Formula, String> {
        let mut left = self.factor()?;
        loop {
            let function = match self.peek() {
                Some('/') => Function::Divide,
                Some(c) if c.is_alphanumeric() || c == '(' => Function::Multiply,
                _ => return Ok(left),
            };
            self.takes('/');
            left = Formula::Call(function, vec![left, self.factor()?]);
        }
    }

    fn factor(&mut self) -> Result<Formula, String> {
        if self.takes('(') {
            let inner = self.sum()?;
            return if self.takes(')') { Ok(inner) } else { Err(format!("no `)` at {:?}", self.rest)) };
        }
        self.peek();
        let end = |part: &dyn Fn(char) -> bool| self.rest.find(|c| !part(c)).unwrap_or(self.rest.len());
        let number = end(&|c| c.is_ascii_digit() || c == '.');
        if number > 0 {
            let (digits, rest) = self.rest.split_at(number);
            self.rest = rest;
            return digits.parse().map(Formula::Number).map_err(|_| format!("{digits:?} is no number"));
        }
        let name = end(&|c| c.is_alphanumeric());
        if name == 0 {
            return Err(format!("no number, name or `(` at {:?}", self.rest));
        }
        let (name, rest) = self.rest.split_at(name);
        self.rest = rest;
        match Function::named(name) {
            None => Ok(Formula::Name(name.into())),
            Some(function) => self.call(name, function),
        }
    }

    fn call(&mut self, name: &str, function: Function) -> Result<Formula, String> {
        if !self.takes('(') {
            return Err(format!("no `(` after {name}"));
        }
        let mut arguments = vec![self.sum()?];
        while self.takes(',') {
            arguments.push(self.sum()?);
        }
        if !self.takes(')') {
            return Err(format!("no `)` at {:?}", self.rest));
        }
        if !function.takes(arguments.len()) {
            return Err(format!("{name} takes one argument"));
        }
        Ok(Formula::Call(function, arguments))
    }
}

#[test]
fn formulas_are_read_as_they_are_meant() {
    let value = |name: &str| match name {
        "m" => Some(3.0),
        "n" => Some(10.0),
        _ => None,
    };
    let of = |text: &str| Formula::parse(text).and_then(|formula| formula.at(&value));
    for (text, want) in [
        ("8 m n + 8 m", 264.0),
        ("m (2 log2(8) + 3)", 27.0),
        ("ceil(n / 4)", 3.0),
        ("ceil(n / 4) - floor(n / 4)", 1.0),
        ("m - 1 - 1", 1.0),
        ("n / 4 m", 7.5),
        ("max(m, n / 5, 0.5) min(2)", 6.0),
        ("m(n)", 30.0),
    ] {
        assert_eq!(of(text), Ok(want), "{text}");
    }
    for (text, why) in [
        ("m +", "no number, name or `(` at \"\" in the formula \"m +\""),
        ("(m", "no `)` at \"\" in the formula \"(m\""),
        ("ceil m", "no `(` after ceil in the formula \"ceil m\""),
        ("log2(m, n)", "log2 takes one argument in the formula \"log2(m, n)\""),
        ("1.2.3", "\"1.2.3\" is no number in the formula \"1.2.3\""),
        ("m * n", "\"* n\" is left over of the formula \"m * n\""),
        ("m k", "k stands for nothing"),
    ] {
        assert_eq!(of(text), Err(why.into()), "{text}");
    }
}
