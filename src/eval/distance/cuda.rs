//! Distances on a GPU: both sides in device memory, two kernel launches for a block of queries.

use super::Origin;
use crate::Result;
use crate::device::Device;
use crate::device::cuda::{CudaDevice, Grid, In, Out, kernels};
use crate::element::DType;
use crate::tensor::{Download, Tensor};
use std::sync::Arc;

/// Gallery images, and queries, of a thread block of `distance_tile`.
pub const TILE: usize = 64;
/// Gallery images of a thread block of `distance_close`.
pub const STRIP: usize = 2048;

/// Feature rows in device memory, with the origin subtracted, and their squared lengths.
pub(super) struct Rows {
    gpu: Arc<CudaDevice>,
    /// f32 `[n, dim]`.
    values: Tensor,
    /// f32 `[n]`.
    squared_lengths: Tensor,
}

impl Rows {
    pub(super) fn new(
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
        let lengths = kernels::DistanceSquaredLengths {
            x: (&mut values).into(),
            offset: offset.as_ref().map(In::from),
            squared: (&mut squared_lengths).into(),
            rows: n,
            d: dim,
        };
        // Each warp sums one row, and a thread block has 8 warps.
        gpu.launch(Grid::blocks(n.div_ceil(8)), lengths)?;
        Ok(Rows { gpu: gpu.clone(), values, squared_lengths })
    }
}

/// Starts computing the distances [count, galleries] of the queries from `first` on.
pub(super) fn distances(query: &Rows, gallery: &Rows, first: usize, count: usize) -> Result<Download> {
    let (galleries, d) = (gallery.squared_lengths.shape().len(), query.values.shape().last());
    let device = Device::Cuda(query.gpu.clone());
    let mut to = Tensor::empty(&device, [count, galleries], DType::F32)?;
    let [q, q_squared] = [query.values.elements_from(first * d), query.squared_lengths.elements_from(first)];
    let [g, g_squared] = [&gallery.values, &gallery.squared_lengths].map(In::from);
    let (distances, queries, stride) = (Out::from(&mut to), count, galleries);
    let tile = kernels::DistanceTile { q, g, q_squared, g_squared, distances, queries, galleries, d, stride };
    let grid = Grid::tiles([galleries.div_ceil(TILE), queries.div_ceil(TILE), 1]);
    query.gpu.launch(grid, tile)?;
    let close = kernels::DistanceClose { q, g, q_squared, g_squared, distances, galleries, d, stride };
    let grid = Grid::tiles([galleries.div_ceil(STRIP), queries, 1]);
    query.gpu.launch(grid, close)?;
    to.download_async()
}
