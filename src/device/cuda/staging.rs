//! Pinned host memory on its way to the device and back: the only memory that host and device share.
//!
//! The device reads or writes it when the stream gets there, long after the call that asked for it has returned. Each
//! piece therefore carries an event, which is recorded behind its copy, and is not touched before that event has been
//! reached.

use super::{CudaDevice, fault};
use crate::Result;
use bytemuck::Pod;
use cudarc::driver::{result, sys};
use std::collections::{BTreeMap, VecDeque};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Pieces of one size that may be on their way to the device: what bounds how far the host runs ahead of it.
const SMALL_PIECES: usize = 64;
/// The same of pieces beyond `LARGE` bytes: one is filled while the other is read.
const LARGE_PIECES: usize = 2;
const LARGE: usize = 64 << 10;
/// Bytes of the smallest piece.
const SMALLEST: usize = 64;

/// A piece of pinned memory and the event behind its last copy.
struct Piece {
    host: NonNull<u8>,
    bytes: usize,
    event: sys::CUevent,
}

// SAFETY: memory and event may be used from any thread that has the context (CUDA driver API).
unsafe impl Send for Piece {}
// SAFETY: behind a shared reference only the event is asked, which the driver locks; the memory is written and read by
// whoever owns the piece.
unsafe impl Sync for Piece {}

impl Piece {
    fn new(bytes: usize) -> Result<Self> {
        // SAFETY: flags 0 are valid; an error leaves nothing behind.
        let host =
            unsafe { result::malloc_host(bytes, 0) }.map_err(fault("asking for pinned host memory"))?;
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
        match (NonNull::new(host.cast::<u8>()), event) {
            (Some(host), Ok(event)) => Ok(Piece { host, bytes, event }),
            (_, event) => {
                // SAFETY: allocated above and used by nobody. An error is of earlier work and shows again.
                let _ = unsafe { result::free_host(host) };
                let event = event.map_err(fault("making an event"))?;
                // SAFETY: made above. As before.
                let _ = unsafe { result::event::destroy(event) };
                Err(crate::Error::Device("the driver gave no pinned host memory".into()))
            }
        }
    }

    fn is_reached(&self) -> bool {
        // SAFETY: the event lives as long as the piece. An error counts as not reached; waiting reports it.
        unsafe { result::event::query(self.event) }.is_ok()
    }

    fn wait(&self) -> Result<()> {
        // SAFETY: the event lives as long as the piece.
        unsafe { result::event::synchronize(self.event) }.map_err(fault("waiting for the GPU"))
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // SAFETY: the device is dropped only when its stream has been waited for, so no copy is under way. Errors are of
        // earlier work, and there is nobody left to tell.
        unsafe {
            let _ = result::event::destroy(self.event);
            let _ = result::free_host(self.host.as_ptr().cast::<c_void>());
        }
    }
}

/// Pieces by size, in the order in which they were sent.
#[derive(Default)]
pub(super) struct Uploads(Mutex<BTreeMap<usize, VecDeque<Piece>>>);

/// Pieces by size that nobody waits for.
#[derive(Default)]
pub(super) struct Downloads(Mutex<BTreeMap<usize, Vec<Piece>>>);

fn size_class(bytes: usize) -> usize {
    bytes.max(SMALLEST).next_power_of_two()
}

impl CudaDevice {
    /// Copies `bytes` to the device address behind all work so far; waits only for a piece of pinned memory that is
    /// free, if many are under way.
    pub(super) fn send(&self, address: u64, bytes: &[u8]) -> Result<()> {
        let class = size_class(bytes.len());
        let limit = if class > LARGE { LARGE_PIECES } else { SMALL_PIECES };
        let mut uploads = self.uploads.0.lock().expect("the lock is never held across a panic");
        let sent = uploads.entry(class).or_default();
        let piece = match sent.front() {
            Some(oldest) if sent.len() >= limit || oldest.is_reached() => {
                oldest.wait()?;
                sent.pop_front()
            }
            _ => None,
        };
        let piece = match piece {
            Some(piece) => piece,
            None => Piece::new(class)?,
        };
        // SAFETY: the piece is at least as long, and its last copy has been waited for.
        let host = unsafe {
            piece.host.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            std::slice::from_raw_parts(piece.host.as_ptr(), bytes.len())
        };
        // SAFETY: the caller's buffer has room; the piece is not written again before the event is reached.
        let copied = unsafe { result::memcpy_htod_async(address, host, self.stream.0) };
        // SAFETY: event and stream are open.
        let recorded = unsafe { result::event::record(piece.event, self.stream.0) };
        sent.push_back(piece);
        copied.and(recorded).map_err(fault("copying to the GPU"))
    }

    /// Starts to copy `bytes` bytes from the device address.
    pub(super) fn receive(device: &Arc<Self>, address: u64, bytes: usize) -> Result<PendingDownload> {
        let class = size_class(bytes);
        let mut free = device.downloads.0.lock().expect("the lock is never held across a panic");
        let piece = match free.entry(class).or_default().pop() {
            Some(piece) => piece,
            None => Piece::new(class)?,
        };
        drop(free);
        // SAFETY: the piece is at least as long, and nobody reads it before the event has been waited for.
        let copied = unsafe {
            sys::cuMemcpyDtoHAsync_v2(piece.host.as_ptr().cast::<c_void>(), address, bytes, device.stream.0)
        };
        let incoming = PendingDownload { piece: Some(piece), bytes, device: device.clone() };
        copied.result().map_err(fault("copying from the GPU"))?;
        let event = incoming.piece.as_ref().map_or(std::ptr::null_mut(), |piece| piece.event);
        // SAFETY: event and stream are open.
        unsafe { result::event::record(event, device.stream.0) }.map_err(fault("copying from the GPU"))?;
        Ok(incoming)
    }
}

/// Bytes on their way from the device.
pub struct PendingDownload {
    piece: Option<Piece>,
    bytes: usize,
    device: Arc<CudaDevice>,
}

impl PendingDownload {
    /// Waits until they are there: all elements.
    ///
    /// # Errors
    /// What the driver says, of this or of earlier work.
    pub fn wait<T: Pod>(mut self) -> Result<Vec<T>> {
        self.device.bind()?;
        let Some(piece) = self.piece.take() else { return Ok(Vec::new()) };
        if let Err(error) = piece.wait() {
            // The copy may yet come: the memory must stay.
            std::mem::forget(piece);
            return Err(error);
        }
        // SAFETY: the copy has been waited for and has written that many bytes, which are never uninitialised.
        let bytes = unsafe { std::slice::from_raw_parts(piece.host.as_ptr(), self.bytes) };
        let values = bytemuck::pod_collect_to_vec(bytes);
        self.put_back(piece);
        Ok(values)
    }

    fn put_back(&self, piece: Piece) {
        let mut free = self.device.downloads.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.entry(piece.bytes).or_default().push(piece);
    }
}

impl Drop for PendingDownload {
    fn drop(&mut self) {
        // Nobody waited: the copy may be under way, and whoever takes the piece next must not read it too early. The
        // next copy into it is behind this one in the stream, and records the event anew.
        if let Some(piece) = self.piece.take() {
            self.put_back(piece);
        }
    }
}
