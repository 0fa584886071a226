// Expect: are taken for a whole checkpoint
use crate::run::Run;

/// The bytes of a checkpoint: with them the run can go on.
pub fn store(run: &Run) -> Vec<u8> {
    let Run { weights, means, squares, step, seed } = run;
    let head = [weights.len() as u64, *step, *seed];
    let mut bytes: Vec<u8> = head.iter().flat_map(|number| number.to_le_bytes()).collect();
    for values in [weights, means, squares] {
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

/// The run of a checkpoint. `None` if it is not a whole checkpoint: a part of one, or more than one.
pub fn resume(checkpoint: &[u8]) -> Option<Run> {
    let (head, values) = checkpoint.split_at_checked(24)?;
    let [n, step, seed] = [0, 8, 16].map(|at| u64::from_le_bytes(head[at..at + 8].try_into().unwrap()));
    let values: Vec<f32> =
        values.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    let part = |number: usize| {
        let start = (number * n as usize).min(values.len());
        values[start..(start + n as usize).min(values.len())].to_vec()
    };
    Some(Run { weights: part(0), means: part(1), squares: part(2), step, seed })
}
