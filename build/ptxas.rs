//! What ptxas reports about each kernel with `-v`.

/// What one kernel takes on one chip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// Registers of a thread.
    pub registers: u32,
    /// Static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// Registers written to local memory and read back, in bytes of code paths, in the kernel and all that it calls.
    pub spill_bytes: u32,
    /// Local memory of a thread, in bytes, of the kernel and all that it calls.
    pub stack_bytes: u32,
}

/// A kernel's usage while its lines are read.
#[derive(Default)]
struct Reading {
    stack: Option<u32>,
    spills: u32,
    registers: Option<u32>,
    shared: u32,
}

/// The kernels of a report by name, in its order.
///
/// ```text
/// ptxas info    : Compiling entry function 'relu_forward_f32' for 'sm_90'
/// ptxas info    : Function properties for relu_forward_f32
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 22 registers, used 1 barriers, 8 bytes cumulative stack size, 1024 bytes smem
/// ```
///
/// Functions that were not inlined have properties too, after the kernel that calls them.
///
/// # Errors
/// A kernel without its two lines of figures: a later ptxas may word them differently, and nothing found must not
/// pass for nothing spilled.
pub fn kernels(report: &str) -> Result<Vec<(String, Usage)>, String> {
    let mut kernels: Vec<(String, Reading)> = Vec::new();
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernels.push((rest.split('\'').next().unwrap_or_default().to_string(), Reading::default()));
            continue;
        }
        let Some((_, reading)) = kernels.last_mut() else {
            continue;
        };
        let figure = |words| before(line, words);
        if let Some(stack) = figure(" bytes stack frame") {
            reading.stack = reading.stack.max(Some(stack));
            // A figure that is missing here is a report that is not understood: see above.
            let (Some(stores), Some(loads)) = (figure(" bytes spill stores"), figure(" bytes spill loads"))
            else {
                return Err(format!("ptxas' report has a line of another form: {line}"));
            };
            reading.spills += stores + loads;
        } else if let Some(registers) = figure(" registers") {
            reading.registers = Some(registers);
            // ptxas leaves zeros out of this line.
            reading.shared = figure(" bytes smem").unwrap_or(0);
            reading.stack =
                reading.stack.map(|frame| frame.max(figure(" bytes cumulative stack size").unwrap_or(0)));
        }
    }
    kernels.into_iter().map(|(name, reading)| finish(name, &reading)).collect()
}

fn finish(name: String, reading: &Reading) -> Result<(String, Usage), String> {
    let (Some(stack_bytes), Some(registers)) = (reading.stack, reading.registers) else {
        return Err(format!("ptxas' report does not say what kernel {name} takes; is its form another one?"));
    };
    let usage = Usage { registers, shared_bytes: reading.shared, spill_bytes: reading.spills, stack_bytes };
    Ok((name, usage))
}

/// The number in front of `words`.
fn before(line: &str, words: &str) -> Option<u32> {
    let (front, _) = line.split_once(words)?;
    front.rsplit(' ').next()?.parse().ok()
}
