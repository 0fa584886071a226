//! The machine code of the kernels in `answer.cu`, for `Module::new`.

/// A fatbin without code. A crate has here the content of the file that its build script made with nvcc, as
/// tests/foreign_op has. The stand-ins of the CUDA libraries need the header of a fatbin only: they run the kernels of
/// `answer.cu` on the simulated GPU.
pub const FATBIN: &[u8] = &[
    0x50, 0xed, 0x55, 0xba, // the mark of a fatbin
    1, 0, 16, 0, // the version, and the bytes of the header
    0, 0, 0, 0, 0, 0, 0, 0, // the bytes of code behind it
];
