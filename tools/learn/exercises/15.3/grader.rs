use crate::answer::Run;
use crate::capture::{Device, keeps};
use crate::checks::*;

const STEPS: usize = 12;

/// The step that is captured; those before it run plainly.
const CAPTURED: usize = 3;

const SEED: f32 = 7.0;
const MOMENTUM: f32 = 0.75;

/// The values that change from step to step: its number, its learning rate, its batch.
#[derive(Clone)]
struct Inputs {
    number: f32,
    rate: f32,
    batch: Vec<f32>,
}

fn inputs([rows, c]: [usize; 2]) -> Vec<Inputs> {
    let mut numbers = Numbers::new((10 * rows + c) as u64);
    let one = |step: usize| Inputs {
        number: step as f32,
        rate: 0.5 / (1.0 + step as f32),
        batch: numbers.many_f32(rows * c),
    };
    (0..STEPS).map(one).collect()
}

/// The weights after each step, in f64.
fn reference(inputs: &[Inputs], c: usize) -> Vec<Vec<f64>> {
    let (mut weights, mut velocity) = (vec![0.0; c], vec![0.0; c]);
    let one = |Inputs { number, rate, batch }: &Inputs| {
        let old = weights.clone();
        for j in 0..c {
            let kept = (j..batch.len()).step_by(c).filter(|i| keeps(SEED, *number, *i));
            let sum: f64 = kept.map(|i| old[j] - f64::from(batch[i])).sum();
            velocity[j] = f64::from(MOMENTUM) * velocity[j] + sum / (batch.len() / c) as f64;
            weights[j] -= f64::from(*rate) * velocity[j];
        }
        weights.clone()
    };
    inputs.iter().map(one).collect()
}

/// The answer's weights after each step, plain or with a capture.
fn run(inputs: &[Inputs], sizes: [usize; 2], is_captured: bool) -> Result<Vec<Vec<f32>>, String> {
    let mut device = Device::default();
    let mut run = Run::new(&mut device, sizes, SEED, MOMENTUM)?;
    let (mut graph, mut all) = (None, Vec::new());
    for (step, Inputs { number, rate, batch }) in inputs.iter().enumerate() {
        let before = device.download(run.weights)?;
        run.prepare(&mut device, *number, *rate, batch).map_err(|error| format!("prepare: {error}"))?;
        let prepared = device.download(run.weights)?;
        that(bits(&prepared) == bits(&before), || {
            "`prepare` moves the weights: this is work of the step".into()
        })?;
        if is_captured && step >= CAPTURED {
            if graph.is_none() {
                device.begin_capture();
                let done = run.enqueue(&mut device);
                graph = Some(device.end_capture());
                done.map_err(|error| format!("the capture of step {CAPTURED} fails: {error}"))?;
            }
            device.replay(graph.as_deref().unwrap_or_default());
        } else {
            run.enqueue(&mut device).map_err(|error| format!("step {step}: {error}"))?;
        }
        all.push(device.download(run.weights)?);
    }
    Ok(all)
}

fn bits(weights: &[f32]) -> Vec<u32> {
    weights.iter().map(|w| w.to_bits()).collect()
}

fn near(got: &[Vec<f32>], want: &[Vec<f64>]) -> Finding {
    got.iter().zip(want).enumerate().try_for_each(|(step, (got, want))| {
        close("weights", got, want, 1e-5).map_err(|found| format!("after step {step}: {found}"))
    })
}

fn captured(sizes: [usize; 2]) -> Finding {
    let inputs = inputs(sizes);
    let plain = run(&inputs, sizes, false)?;
    let replayed = run(&inputs, sizes, true)?;
    let Some(step) = (0..STEPS).find(|&step| bits(&plain[step]) != bits(&replayed[step])) else {
        return Ok(());
    };
    // Each set of inputs that may have stayed as they were at the capture, the smaller ones first.
    for stale in [1, 2, 4, 3, 5, 6, 7usize] {
        let [number, rate, batch] = [1, 2, 4].map(|bit| stale & bit != 0);
        let mut old = inputs.clone();
        for own in &mut old[CAPTURED..] {
            let first = &inputs[CAPTURED];
            own.number = if number { first.number } else { own.number };
            own.rate = if rate { first.rate } else { own.rate };
            own.batch = if batch { first.batch.clone() } else { own.batch.clone() };
        }
        if near(&replayed, &reference(&old, sizes[1])).is_ok() {
            let names = [(number, "the step number"), (rate, "the learning rate"), (batch, "the batch")];
            let names: Vec<&str> = names.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
            return Err(format!(
                "step {step} is replayed with {} of step {CAPTURED}: the arguments of a captured kernel, addresses \
                 and numbers, stay as they were; what changes must lie in memory at one address",
                names.join(" and ")
            ));
        }
    }
    Err(format!("after step {step} the weights of the replay have not the bits of the plain run"))
}

pub fn grade(checks: &mut Checks) {
    let sizes = [[1, 1], [1, 5], [4, 3], [16, 8]];
    for [rows, c] in sizes {
        checks.check(&format!("plain steps, batches of {rows} x {c}"), || {
            let inputs = inputs([rows, c]);
            near(&run(&inputs, [rows, c], false)?, &reference(&inputs, c))
        });
    }
    for [rows, c] in sizes {
        checks.check(&format!("captured steps, batches of {rows} x {c}"), || captured([rows, c]));
    }
}
