//! The devices of kernel tests: always the host build (`tools/softcuda`), which checks every memory access, and a CUDA
//! device where there is one. The same test body serves both.
//!
//! A body is a function `fn(&Gpu) -> Outcome`. [`run`] gives it to the host build several times, each with another
//! order of threads and blocks, and asks for the same bits from each: whatever [`Gpu::read`] returned may not depend on
//! the order. A body returns errors instead of panicking, so that [`planted`] can see it fail.

mod compare;
pub mod cuda;

pub use compare::{Float, close, equal};

use bcreid::device::cuda::fatbin;
use softcuda::{Arg, Build, Element, Launch, Report};
use std::borrow::Cow;
use std::cell::RefCell;
use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// What a test body returns: what went wrong, in one line.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A place where the kernels of one `.cu` file can be launched.
pub struct Gpu {
    backend: Backend,
    seed: u64,
    /// The bits of everything that was read, in order.
    seen: RefCell<DefaultHasher>,
}

enum Backend {
    Host(softcuda::Device),
    Cuda(cuda::Device),
}

/// Memory of a [`Gpu`].
pub enum Buffer<T: Element> {
    Host(softcuda::Buffer<T>),
    Cuda(cuda::Buffer<T>),
}

impl<T: Element> Buffer<T> {
    /// The argument that points at element `offset`.
    pub fn at(&self, offset: usize) -> Arg {
        match self {
            Buffer::Host(buffer) => buffer.at(offset),
            Buffer::Cuda(buffer) => buffer.at(offset),
        }
    }
}

impl<T: Element> From<&Buffer<T>> for Arg {
    fn from(buffer: &Buffer<T>) -> Arg {
        buffer.at(0)
    }
}

impl Gpu {
    fn new(backend: Backend, seed: u64) -> Self {
        Gpu { backend, seed, seen: RefCell::default() }
    }

    /// The host build of `cuda/STEM.cu`.
    pub fn host(stem: &str) -> Outcome<Gpu> {
        Ok(Gpu::new(Backend::Host(softcuda::Device::new(&library(&source(stem))?)?), 0))
    }

    /// The first CUDA device, with the machine code of `cuda/STEM.cu`; else why there is none.
    pub fn device(stem: &str) -> Result<Gpu, String> {
        let device = cuda::Device::first(machine_code(stem)?.as_deref())?;
        Ok(Gpu::new(Backend::Cuda(device), 0))
    }

    /// The CUDA device behind this, to be timed.
    pub fn cuda(&self) -> Option<&cuda::Device> {
        match &self.backend {
            Backend::Cuda(device) => Some(device),
            Backend::Host(_) => None,
        }
    }

    /// A buffer with the elements of `host`. `name` is what faults call it.
    pub fn upload<T: Element>(&self, name: &str, host: &[T]) -> Outcome<Buffer<T>> {
        Ok(match &self.backend {
            Backend::Host(device) => Buffer::Host(device.upload(name, host)?),
            Backend::Cuda(device) => Buffer::Cuda(device.upload(host)?),
        })
    }

    /// `host` rounded to `F`.
    pub fn upload_as<F: Float>(&self, name: &str, host: &[f32]) -> Outcome<Buffer<F>> {
        self.upload(name, &F::rounded(host))
    }

    /// A buffer that a kernel must fill: an element left out is an error of [`Gpu::read`] on the host and NaN on a
    /// device.
    pub fn unwritten<T: Element>(&self, name: &str, len: usize) -> Outcome<Buffer<T>> {
        Ok(match &self.backend {
            Backend::Host(device) => Buffer::Host(device.unwritten(name, len)?),
            Backend::Cuda(device) => Buffer::Cuda(device.unwritten(len)?),
        })
    }

    /// Runs a kernel to its end.
    pub fn launch(&self, kernel: &str, launch: Launch, args: &[Arg]) -> Outcome<Option<Report>> {
        match &self.backend {
            Backend::Host(device) => Ok(Some(device.launch(kernel, &launch.seed(self.seed), args)?)),
            Backend::Cuda(device) => device.launch(kernel, &launch, args).map(|()| None),
        }
    }

    /// The blocks of a cooperative launch that run at once; the host build runs any number.
    pub fn resident_blocks(&self, kernel: &str, launch: &Launch) -> Outcome<u32> {
        match &self.backend {
            Backend::Host(_) => Ok(u32::MAX),
            Backend::Cuda(device) => device.resident_blocks(kernel, launch),
        }
    }

    /// The elements of a buffer, all of them written.
    pub fn read<T: Element + bytemuck::NoUninit>(&self, buffer: &Buffer<T>) -> Outcome<Vec<T>> {
        let host = match buffer {
            Buffer::Host(buffer) => buffer.read()?,
            Buffer::Cuda(buffer) => buffer.read()?,
        };
        bytemuck::cast_slice::<T, u8>(&host).hash(&mut *self.seen.borrow_mut());
        Ok(host)
    }

    /// As [`Gpu::read`], each element as f32.
    pub fn read_f32<F: Float>(&self, buffer: &Buffer<F>) -> Outcome<Vec<f32>> {
        Ok(self.read(buffer)?.into_iter().map(F::to_f32).collect())
    }
}

/// Runs `body` wherever the kernels of `cuda/STEM.cu` can run.
///
/// # Panics
/// With the body's error, or if its results depend on the order of threads.
#[track_caller]
pub fn run(stem: &str, body: impl Fn(&Gpu) -> Outcome) {
    on_host(&source(stem), &body).unwrap_or_else(|error| panic!("{stem}.cu on the host build: {error}"));
    match Gpu::device(stem) {
        Ok(gpu) => {
            body(&gpu).unwrap_or_else(|error| panic!("{stem}.cu on the CUDA device: {error}"));
            let name = gpu.cuda().and_then(|device| device.name().ok());
            println!("{stem}.cu ran on the host build and on {}", name.as_deref().unwrap_or("a CUDA device"));
        }
        Err(why) => println!("{stem}.cu ran on the host build only: {why}"),
    }
}

/// Runs `body` on the host build of a copy of `cuda/STEM.cu` and the headers in which `right`, in whichever of them it
/// is, is replaced by `wrong`, and returns the error that it must end with: a test that cannot fail shows nothing.
///
/// # Panics
/// If `right` does not occur exactly once, or no test fails.
#[track_caller]
pub fn planted(stem: &str, right: &str, wrong: &str, body: impl Fn(&Gpu) -> Outcome) -> String {
    let mut name = DefaultHasher::new();
    (stem, right, wrong).hash(&mut name);
    // A folder that stays, so that the next run finds its library built.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("planted-{:016x}", name.finish()));
    std::fs::create_dir_all(&folder).unwrap();
    let headers =
        ["columns.cuh", "common.cuh", "pairs.cuh", "philox.cuh", "segment.cuh", "tiles.cuh", "view.cuh"]
            .map(|header| source(stem).with_file_name(header));
    let mut found = 0;
    for file in headers.into_iter().chain([source(stem)]) {
        let text = std::fs::read_to_string(&file).unwrap();
        found += text.matches(right).count();
        std::fs::write(folder.join(file.file_name().unwrap()), text.replace(right, wrong)).unwrap();
    }
    assert_eq!(found, 1, "{right:?} in {stem}.cu and the headers");
    let file = folder.join(stem).with_extension("cu");
    // An error that the compiler sees is not the one that was meant.
    library(&file).unwrap_or_else(|error| panic!("{wrong:?} instead of {right:?} in {stem}.cu: {error}"));
    match on_host(&file, &body) {
        Ok(()) => panic!("no test notices {wrong:?} instead of {right:?} in {stem}.cu"),
        Err(error) => error.to_string(),
    }
}

/// `cuda/STEM.cu`.
pub fn source(stem: &str) -> PathBuf {
    folder().join(stem).with_extension("cu")
}

/// `cuda`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda")
}

fn library(file: &Path) -> Outcome<softcuda::Library> {
    Ok(Build::new(env!("CARGO_TARGET_TMPDIR")).file(file).include(folder()).library()?)
}

/// The machine code of a `.cu` file, if there was a compiler for it. That of the lab is not embedded.
fn machine_code(stem: &str) -> Result<Option<Cow<'static, [u8]>>, String> {
    if !stem.starts_with("lab/") {
        return Ok(fatbin::embedded().ok().map(|kernels| kernels.bytes.into()));
    }
    let read = |path| std::fs::read(path).map(Cow::from).map_err(|error| format!("{path}: {error}"));
    option_env!("BCREID_LAB_FATBIN").map(read).transpose()
}

fn on_host(file: &Path, body: &dyn Fn(&Gpu) -> Outcome) -> Outcome {
    let library = library(file)?;
    let mut first = None;
    for seed in 0..3 {
        let gpu = Gpu::new(Backend::Host(softcuda::Device::new(&library)?), seed);
        body(&gpu)?;
        let seen = gpu.seen.into_inner().finish();
        if *first.get_or_insert(seen) != seen {
            return Err("the result depends on the order of the threads".into());
        }
    }
    Ok(())
}
