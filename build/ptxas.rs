//! Parser of the report that ptxas prints with `-v`.

/// The resources of a kernel on one chip.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The registers of a thread.
    pub registers: u32,
    /// The static shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// The register spills to local memory, stores and loads, in bytes, of the kernel and the functions it calls.
    pub spill_bytes: u32,
    /// The local memory of a thread, in bytes, of the kernel and the functions it calls.
    pub stack_bytes: u32,
}

/// The figures of a kernel that have been read so far.
#[derive(Default)]
struct Figures {
    stack: Option<u32>,
    spills: u32,
    registers: Option<u32>,
    shared: u32,
}

/// Parses a report: the kernels by name, in the report's order.
///
/// ```text
/// ptxas info    : Compiling entry function 'relu_forward_f32' for 'sm_90'
/// ptxas info    : Function properties for relu_forward_f32
///     0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
/// ptxas info    : Used 22 registers, used 1 barriers, 8 bytes cumulative stack size, 1024 bytes smem
/// ```
///
/// The properties of functions that were not inlined follow the kernel that calls them.
///
/// # Errors
/// A kernel without its two lines of figures: a later ptxas may use other words, and missing figures must not count as
/// no spills.
pub fn kernels(report: &str) -> Result<Vec<(String, Usage)>, String> {
    let mut kernels: Vec<(String, Figures)> = Vec::new();
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            kernels.push((rest.split('\'').next().unwrap_or_default().to_string(), Figures::default()));
            continue;
        }
        let Some((_, figures)) = kernels.last_mut() else {
            continue;
        };
        let figure = |words| before(line, words);
        if let Some(stack) = figure(" bytes stack frame") {
            figures.stack = figures.stack.max(Some(stack));
            // A missing figure is an error, as documented above.
            let (Some(stores), Some(loads)) = (figure(" bytes spill stores"), figure(" bytes spill loads"))
            else {
                return Err(format!("ptxas' report has a line in an unknown form: {line}"));
            };
            figures.spills += stores + loads;
        } else if let Some(registers) = figure(" registers") {
            figures.registers = Some(registers);
            // ptxas omits zeros from this line.
            figures.shared = figure(" bytes smem").unwrap_or(0);
            figures.stack =
                figures.stack.map(|frame| frame.max(figure(" bytes cumulative stack size").unwrap_or(0)));
        }
    }
    kernels.into_iter().map(|(name, figures)| finish(name, &figures)).collect()
}

fn finish(name: String, figures: &Figures) -> Result<(String, Usage), String> {
    let (Some(stack_bytes), Some(registers)) = (figures.stack, figures.registers) else {
        return Err(format!(
            "ptxas' report has no figures of kernel {name}; its form may be unknown to build/ptxas.rs"
        ));
    };
    let usage = Usage { registers, shared_bytes: figures.shared, spill_bytes: figures.spills, stack_bytes };
    Ok((name, usage))
}

/// The number before `words`.
fn before(line: &str, words: &str) -> Option<u32> {
    let (front, _) = line.split_once(words)?;
    front.rsplit(' ').next()?.parse().ok()
}
