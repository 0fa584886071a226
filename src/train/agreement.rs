//! Agreement of the ranks of a run: program, settings, data and initial weights before the first step, and the weights at
//! each checkpoint.
//!
//! Book: [chapter 20](../../../../../docs/book/src/20-many-ranks.md).

use crate::autograd::Params;
use crate::device::Device;
use crate::files::hex;
use crate::optim::Optimizer;
use crate::ranks::Group;
use crate::run::checkpoint::Identity;
use crate::{Error, Result};
use sha2::{Digest, Sha256};

/// The remedy for ranks that differ at the start.
const SAME: &str = "start the same program with the same arguments, and give each host the same files";

/// Checks that the ranks have the same program, processor loops, settings, identities and images, and copies the weights,
/// the statistics and the optimiser's state of rank 0 to all ranks.
///
/// # Errors
/// A rank that differs, by its number and host; a rank that fails.
pub(super) fn start(
    group: &Group,
    identity: &Identity,
    device: &Device,
    params: &mut Params,
    optimizer: &mut dyn Optimizer,
) -> Result<()> {
    if group.ranks() == 1 {
        return Ok(());
    }
    same_program(group, &device.describe())?;
    for (what, own) in identity.of_data() {
        group.require_equal(what, &own, SAME)?;
    }
    const WEIGHTS: &str = "the weights of rank 0";
    for param in params.params_mut() {
        let mut values = param.value.to_host_f32()?;
        group.broadcast(WEIGHTS, &mut values)?;
        param.load(&values)?;
    }
    let buffers = params.buffers_mut().iter_mut().map(|buffer| &mut buffer.value);
    for tensor in buffers {
        let mut values = tensor.to_host_f32()?;
        group.broadcast(WEIGHTS, &mut values)?;
        tensor.copy_from_host_f32(&values)?;
    }
    for (_, tensor) in optimizer.state_mut(params) {
        let mut values = tensor.to_host_f32()?;
        group.broadcast("the optimiser's state of rank 0", &mut values)?;
        tensor.copy_from_host_f32(&values)?;
    }
    Ok(())
}

/// Checks that the ranks have the same images of evaluations during training, whose `fingerprint` is given.
///
/// # Errors
/// As [`start`].
pub(super) fn check_test_images(group: &Group, fingerprint: &str) -> Result<()> {
    match group.ranks() {
        1 => Ok(()),
        _ => group.require_equal("the images of evaluations", fingerprint, SAME),
    }
}

/// The SHA-256 of this program's file; empty where it cannot be read.
fn program() -> String {
    let bytes = std::env::current_exe().and_then(std::fs::read);
    bytes.map_or(String::new(), |bytes| hex(&Sha256::digest(bytes)))
}

/// Checks that the ranks run one build of the program, with one library beneath, on devices of one kind, `device`.
///
/// # Errors
/// As [`start`].
pub(crate) fn same_program(group: &Group, device: &str) -> Result<()> {
    group.require_equal("the version of bcreid", env!("CARGO_PKG_VERSION"), SAME)?;
    group.require_equal("the program's file", &program(), "copy one build of the program to each host")?;
    group.require_equal("the library of MPI", &group.library(), "install one version on each host")?;
    // Each rank updates its weights by itself, so the loops of all must round alike.
    group.require_equal(
        "the device",
        device,
        "start ranks on processors of one kind, or set BCREID_CPU=avx2 for all",
    )?;
    Ok(())
}

/// Checks that all ranks have the same weights, statistics and state of the optimiser, bit for bit.
///
/// # Errors
/// A rank with others: its memory or processor has failed, or this program has a fault. A rank that fails.
pub(super) fn check(group: &Group, params: &Params, optimizer: &dyn Optimizer) -> Result<()> {
    if group.ranks() == 1 {
        return Ok(());
    }
    let mut hasher = crc32fast::Hasher::new();
    let weights = params.params().iter().map(|param| &param.value);
    let buffers = params.buffers().iter().map(|buffer| &buffer.value);
    let states = optimizer.state(params).into_iter().map(|(_, state)| state);
    for tensor in weights.chain(buffers).chain(states) {
        hasher.update(bytemuck::cast_slice(&tensor.to_host_f32()?));
    }
    let own = format!("{:08x}", hasher.finalize());
    group
        .require_equal("the weights", &own, "check that host's memory")
        .map_err(|error| Error::Run(format!("the ranks have come apart: {error}")))
}
