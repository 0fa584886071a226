//! Distances on a GPU: both sides in its memory, a launch for a block of queries.

use super::Origin;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{Arg, CudaDevice, Grid};
use crate::tensor::{DType, Readback, Tensor};
use std::sync::Arc;

/// Gallery images and queries of a tile of `distance_tile`.
const TILE: usize = 64;
/// Gallery images of a block of `distance_close`.
const STRIPS: usize = 2048;

/// Rows of a matrix of features from the origin, with their squared lengths.
pub struct Rows {
    gpu: Arc<CudaDevice>,
    /// f32 `[n, dim]`.
    values: Tensor,
    /// f32 `[n]`.
    squared_lengths: Tensor,
}

impl Rows {
    pub fn new(
        gpu: &Arc<CudaDevice>,
        values: &[f32],
        dim: usize,
        origin: &Origin,
        what: &str,
    ) -> Result<Self> {
        let (device, n) = (Device::Cuda(gpu.clone()), values.len() / dim);
        let mut values = Tensor::from_f32(&device, [n, dim], values).map_err(|e| e.about_tensor(what))?;
        let offset = origin.offset().map(|row| Tensor::from_f32(&device, [dim], row)).transpose()?;
        let mut squared_lengths = Tensor::empty(&device, [n], DType::F32)?;
        let args = [
            (&mut values).into(),
            Arg::or_null(offset.as_ref()),
            (&mut squared_lengths).into(),
            Arg::Int(n),
            Arg::Int(dim),
        ];
        // A warp a row.
        gpu.launch("distance_squared_lengths", Grid::blocks(n.div_ceil(8)), &args)?;
        Ok(Rows { gpu: gpu.clone(), values, squared_lengths })
    }
}

/// Starts to compute the distances [count, galleries] of the queries from `first` on.
pub fn distances(query: &Rows, gallery: &Rows, first: usize, count: usize) -> Result<Readback> {
    let (images, dim) = (gallery.squared_lengths.shape().len(), query.values.shape().last());
    let device = Device::Cuda(query.gpu.clone());
    let mut to = Tensor::empty(&device, [count, images], DType::F32)?;
    let [q, q_squared] = [query.values.address_of(first * dim), query.squared_lengths.address_of(first)];
    let [g, g_squared] = [&gallery.values, &gallery.squared_lengths].map(Arg::from);
    let tile = [
        q,
        g,
        q_squared,
        g_squared,
        (&mut to).into(),
        Arg::Int(count),
        Arg::Int(images),
        Arg::Int(dim),
        Arg::Size(images),
    ];
    let grid = Grid::tiles([images.div_ceil(TILE), count.div_ceil(TILE), 1]);
    query.gpu.launch("distance_tile", grid, &tile)?;
    let close =
        [q, g, q_squared, g_squared, (&mut to).into(), Arg::Int(images), Arg::Int(dim), Arg::Size(images)];
    let grid = Grid::tiles([images.div_ceil(STRIPS), count, 1]);
    query.gpu.launch("distance_close", grid, &close)?;
    to.read_back()
}
