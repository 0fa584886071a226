//! Writer of the weight file of `bcreid`: safetensors, convolutions `[K, R, S, C]`, with wiring, input convention and
//! origin in the metadata.

use crate::network::{Network, Place};
use crate::{Error, Result};
use bcreid::config::Config;
use bcreid::files::hex;
use bcreid::weights::provenance::{Conversion, Text};
use bcreid::weights::{TensorOut, network, write_tensors};
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::path::Path;

/// Writes the network found in the file at `source` to `out`, whole or not at all. `stated` has the format, the source
/// and the licence of the weights; name and SHA-256 are those of the file.
///
/// # Errors
/// An invalid input convention; values that are not finite or variances below 0, by name; an error of the file system.
pub fn write(network: &Network<'_>, source: &Path, stated: Conversion, out: &Path) -> Result<()> {
    let config = network.config.network_toml();
    Config::from_toml(&config)?;
    let tensors: Vec<TensorOut<'_>> =
        network.places.iter().map(|place| tensor(place, source)).collect::<Result<_>>()?;
    let mut metadata = network::metadata(config);
    let file = Text::new(&source.file_name().unwrap_or_default().to_string_lossy());
    let sha256 = Text::new(&sha256(source)?);
    metadata.extend(Conversion { file: Some(file), sha256: Some(sha256), ..stated }.metadata());
    write_tensors(out, &tensors, &metadata)
}

fn tensor(place: &Place<'_>, path: &Path) -> Result<TensorOut<'static>> {
    let Place { name, shape, source } = place;
    let values = match source {
        Some(source) => source.values()?,
        None => vec![0.0; shape.iter().product()],
    };
    let bad = |v: &f32| !v.is_finite() || (name.ends_with("running_var") && *v < 0.0);
    if let Some(at) = values.iter().position(bad) {
        return Err(Error::weights(
            path,
            format!(
                "{name}[{at}] is {}; these weights are damaged; download or copy the file again",
                values[at]
            ),
        ));
    }
    let values = match shape[..] {
        [k, r, s, c] => swap_inner(&values, k, c, r * s),
        _ => values,
    };
    Ok(TensorOut::f32(name.clone(), shape, values))
}

/// Transposes `[outer, rows, columns]` to `[outer, columns, rows]`: `[K, C, RS]` to the engine's `[K, RS, C]`, and
/// back.
pub fn swap_inner(values: &[f32], outer: usize, rows: usize, columns: usize) -> Vec<f32> {
    if rows == 1 || columns == 1 {
        return values.to_vec();
    }
    let mut swapped = Vec::with_capacity(outer * rows * columns);
    for matrix in values.chunks_exact(rows * columns) {
        for column in 0..columns {
            swapped.extend(matrix[column..].iter().step_by(columns));
        }
    }
    swapped
}

/// SHA-256 of a file in hexadecimal.
fn sha256(path: &Path) -> Result<String> {
    let file = File::open(path).map_err(Error::io(path))?;
    // SAFETY: read-only, and the slice does not leave this function. Another program that cuts the file short in
    // place meanwhile ends this one with SIGBUS, as with any mapped file; nothing has been written then.
    let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
    Ok(hex(&Sha256::digest(&map)))
}
