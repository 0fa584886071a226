//! The stand-in for cuBLAS against products in f64, and what it refuses.

mod common;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use common::numbers::Type;
use common::stand_ins::{
    Process, alloc, captured, download, enqueue_download, free, library, open_stream, upload, uploaded, wait,
};
use cudarc::driver::CudaStream;
use cudarc::driver::sys::CUresult;

library! { Functions in "libcublas.so.13":
    fn cublasCreate_v2(*mut *mut c_void) -> i32;
    fn cublasDestroy_v2(*mut c_void) -> i32;
    fn cublasGetVersion_v2(*mut c_void, *mut i32) -> i32;
    fn cublasSetStream_v2(*mut c_void, *mut c_void) -> i32;
    fn cublasSetWorkspace_v2(*mut c_void, u64, usize) -> i32;
    fn cublasSetMathMode(*mut c_void, i32) -> i32;
    fn cublasGetStatusString(i32) -> *const c_char;
    fn cublasGemmEx(*mut c_void, i32, i32, i32, i32, i32, *const f32, u64, i32, i32, u64, i32, i32, *const f32, u64, i32, i32, i32, i32) -> i32;
}

struct Cublas {
    call: Functions,
    handle: *mut c_void,
    stream: Arc<CudaStream>,
}

impl Cublas {
    fn open() -> Self {
        let (stream, call, mut handle) = (open_stream(), Functions::load(), ptr::null_mut());
        // SAFETY: a place for the handle, then the handle and an open stream.
        unsafe {
            assert_eq!((call.cublasCreate_v2)(&raw mut handle), 0);
            assert_eq!((call.cublasSetStream_v2)(handle, stream.cu_stream().cast()), 0);
            assert_eq!((call.cublasSetMathMode)(handle, 2), 0);
        }
        Self { call, handle, stream }
    }

    fn set_workspace(&self, address: u64, bytes: usize) -> String {
        // SAFETY: an address that is wrong is refused, here or when it is used.
        self.status(unsafe { (self.call.cublasSetWorkspace_v2)(self.handle, address, bytes) })
    }

    fn status(&self, status: i32) -> String {
        // SAFETY: the text lives as long as the library.
        unsafe { CStr::from_ptr((self.call.cublasGetStatusString)(status)) }.to_string_lossy().into_owned()
    }

    fn multiply(&self, g: &Gemm) -> String {
        let code = |of: Type| if of == Type::F32 { 0 } else { 14 };
        let [lda, ldb, ldc] = g.ld;
        // SAFETY: the factors are on this side; what is wrong with the rest is refused.
        self.status(unsafe {
            (self.call.cublasGemmEx)(
                self.handle,
                g.transposed[0].into(),
                g.transposed[1].into(),
                g.m,
                g.n,
                g.k,
                &raw const g.alpha,
                g.a,
                code(g.inputs),
                lda,
                g.b,
                code(g.inputs),
                ldb,
                &raw const g.beta,
                g.c,
                code(g.output),
                ldc,
                68,
                -1,
            )
        })
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        // SAFETY: the handle is destroyed once.
        assert_eq!(unsafe { (self.call.cublasDestroy_v2)(self.handle) }, 0);
    }
}

const SUCCESS: &str = "CUBLAS_STATUS_SUCCESS";
const INVALID: &str = "CUBLAS_STATUS_INVALID_VALUE";

/// C [m, n] = alpha op(A) op(B) + beta C, column-major.
#[derive(Clone, Copy)]
struct Gemm {
    transposed: [bool; 2],
    inputs: Type,
    output: Type,
    m: i32,
    n: i32,
    k: i32,
    ld: [i32; 3],
    a: u64,
    b: u64,
    c: u64,
    alpha: f32,
    beta: f32,
}

const SMALL: Gemm = Gemm {
    transposed: [false; 2],
    inputs: Type::F32,
    output: Type::F32,
    m: 5,
    n: 19,
    k: 11,
    ld: [5, 11, 5],
    a: 0,
    b: 0,
    c: 0,
    alpha: 1.0,
    beta: 0.0,
};

impl Gemm {
    /// The rows and columns of A, B and C as they lie in memory.
    fn shapes(&self) -> [(i32, i32); 3] {
        let turn = |turned, (rows, columns)| if turned { (columns, rows) } else { (rows, columns) };
        let [a, b] = self.transposed;
        [turn(a, (self.m, self.k)), turn(b, (self.k, self.n)), (self.m, self.n)]
    }

    /// The same with arrays on the device.
    fn on(mut self, stream: &CudaStream) -> Self {
        let sizes: Vec<_> = (0..3).map(|i| (self.ld[i] * self.shapes()[i].1) as usize).collect();
        self.a = uploaded(stream, &self.inputs.encode(&self.inputs.noise(sizes[0], 1)));
        self.b = uploaded(stream, &self.inputs.encode(&self.inputs.noise(sizes[1], 2)));
        self.c = alloc(sizes[2] * self.output.bytes());
        self
    }

    /// What C must become, gaps included.
    fn reference(&self, a: &[f32], b: &[f32], c: &[f32]) -> Vec<f64> {
        let element = |of: &[f32], operand: usize, row: i32, column: i32| {
            let (row, column) = if self.transposed[operand] { (column, row) } else { (row, column) };
            f64::from(of[(row + column * self.ld[operand]) as usize])
        };
        let mut result: Vec<f64> = c.iter().map(|&value| value.into()).collect();
        for i in 0..self.m {
            for j in 0..self.n {
                let sum: f64 = (0..self.k).map(|l| element(a, 0, i, l) * element(b, 1, l, j)).sum();
                let old = &mut result[(i + j * self.ld[2]) as usize];
                let kept = if self.beta == 0.0 { 0.0 } else { f64::from(self.beta) * *old };
                *old = f64::from(self.alpha) * sum + kept;
            }
        }
        result
    }
}

#[test]
fn products_agree_with_f64() {
    Process::of("products_agree_with_f64").run(|| {
        let cublas = Cublas::open();
        let types = [(Type::F32, Type::F32), (Type::Bf16, Type::Bf16), (Type::Bf16, Type::F32)];
        for transposed in [[false, false], [false, true], [true, false], [true, true]] {
            for ((inputs, output), (alpha, beta)) in types
                .into_iter()
                .flat_map(|types| [(types, (0.75, 0.0)), (types, (-1.0, 1.0)), (types, (1.0, 0.5))])
            {
                let mut gemm = Gemm { transposed, inputs, output, alpha, beta, ..SMALL };
                gemm.ld = [0, 1, 2].map(|i| gemm.shapes()[i].0 + 2 + i as i32);
                let gemm = gemm.on(&cublas.stream);
                let size = |i: usize| (gemm.ld[i] * gemm.shapes()[i].1) as usize;
                let mut old = output.noise(size(2), 3);
                if beta == 0.0 {
                    for column in old.chunks_mut(gemm.ld[2] as usize) {
                        column[..gemm.m as usize].fill(f32::NAN);
                    }
                }
                upload(&cublas.stream, gemm.c, &output.encode(&old));
                assert_eq!(cublas.multiply(&gemm), SUCCESS);
                let got = download::<u8>(&cublas.stream, gemm.c, size(2) * output.bytes());
                let want = gemm.reference(&inputs.noise(size(0), 1), &inputs.noise(size(1), 2), &old);
                output.assert_near(
                    &output.decode(&got),
                    &want,
                    &format!("{transposed:?} {inputs:?} {output:?}"),
                );
            }
        }
    });
}

#[test]
fn gaps_between_columns_are_left_alone() {
    Process::of("gaps_between_columns_are_left_alone").says("download: byte 8 of buffer").run(|| {
        let cublas = Cublas::open();
        let [a, b, c] = [alloc(24), alloc(24), alloc(24)];
        for column in [a, b, a + 12, b + 12] {
            upload(&cublas.stream, column, &[1.0f32, 2.0]);
        }
        let gemm = Gemm { m: 2, n: 2, k: 2, ld: [3; 3], a, b, c, ..SMALL };
        assert_eq!(cublas.multiply(&gemm), SUCCESS);
        assert_eq!(download::<f32>(&cublas.stream, c + 12, 2), [3.0, 6.0]);
        let mut all = [0.0f32; 6];
        enqueue_download(&cublas.stream, &mut all, c);
        assert_eq!(wait(&cublas.stream).unwrap_err().0, CUresult::CUDA_ERROR_LAUNCH_FAILED);
    });
}

/// Large enough to be shared among threads.
#[test]
fn a_product_has_the_same_bits_each_time() {
    Process::of("a_product_has_the_same_bits_each_time").run(|| {
        let cublas = Cublas::open();
        let gemm = Gemm { m: 150, n: 130, k: 120, ld: [150, 120, 150], ..SMALL }.on(&cublas.stream);
        let run = || {
            assert_eq!(cublas.multiply(&gemm), SUCCESS);
            download::<f32>(&cublas.stream, gemm.c, 150 * 130)
        };
        let first = run();
        let want = gemm.reference(&Type::F32.noise(150 * 120, 1), &Type::F32.noise(120 * 130, 2), &first);
        Type::F32.assert_near(&first, &want, "150 x 130");
        assert!(run() == first);
    });
}

#[test]
fn a_replay_multiplies_anew() {
    Process::of("a_replay_multiplies_anew").run(|| {
        let cublas = Cublas::open();
        let gemm = Gemm { m: 1, n: 1, k: 2, ld: [1, 2, 1], ..SMALL }.on(&cublas.stream);
        assert_eq!(cublas.set_workspace(alloc(4096), 4096), SUCCESS);
        let graph = captured(&cublas.stream, || assert_eq!(cublas.multiply(&gemm), SUCCESS));
        for value in [3.0f32, 5.0] {
            upload(&cublas.stream, gemm.a, &[value; 2]);
            upload(&cublas.stream, gemm.b, &[1.0f32, 10.0]);
            graph.launch().unwrap();
            assert_eq!(download::<f32>(&cublas.stream, gemm.c, 1), [11.0 * value]);
        }
    });
}

#[test]
fn wrong_sizes_are_refused() {
    Process::of("wrong_sizes_are_refused")
        .says("the leading dimension 4 of A is less than its 5 rows")
        .says("the leading dimension 10 of B is less than its 11 rows")
        .says("the leading dimension 4 of C is less than its 5 rows")
        .says("a negative size")
        .says("A is not aligned to its elements")
        .says("the workspace must begin at a multiple of 256 bytes")
        .run(|| {
            let cublas = Cublas::open();
            let right = SMALL.on(&cublas.stream);
            for wrong in [
                Gemm { ld: [4, 11, 5], ..right },
                Gemm { ld: [5, 10, 5], ..right },
                Gemm { ld: [5, 11, 4], ..right },
                Gemm { k: -1, ..right },
                Gemm { a: right.a + 2, ..right },
            ] {
                assert_eq!(cublas.multiply(&wrong), INVALID);
            }
            assert_eq!(cublas.set_workspace(right.a + 4, 1024), INVALID);
            let mixed = Gemm { output: Type::Bf16, ..right };
            assert_eq!(cublas.multiply(&mixed), "CUBLAS_STATUS_NOT_SUPPORTED");
            assert_eq!(cublas.multiply(&right), SUCCESS);
            wait(&cublas.stream).unwrap();
        });
}

/// Enqueues the product, which must fail when it runs.
fn fails(cublas: &Cublas, gemm: &Gemm) {
    assert_eq!(cublas.multiply(gemm), SUCCESS);
    assert_eq!(wait(&cublas.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
}

#[test]
fn a_freed_matrix_is_told() {
    Process::of("a_freed_matrix_is_told").says("cublasGemmEx: B: buffer `allocation 2` is freed").run(|| {
        let cublas = Cublas::open();
        let gemm = SMALL.on(&cublas.stream);
        free(gemm.b);
        fails(&cublas, &gemm);
    });
}

#[test]
fn a_short_result_is_told() {
    Process::of("a_short_result_is_told").says("cublasGemmEx: C: 380 bytes at byte 20").run(|| {
        let cublas = Cublas::open();
        let gemm = SMALL.on(&cublas.stream);
        fails(&cublas, &Gemm { c: gemm.c + 20, ..gemm });
    });
}

#[test]
fn a_workspace_on_the_host_is_told() {
    Process::of("a_workspace_on_the_host_is_told")
        .says("cublasGemmEx: workspace: the address is in no buffer")
        .run(|| {
            #[repr(align(256))]
            struct Workspace([u8; 4096]);
            let (cublas, host) = (Cublas::open(), Workspace([0; 4096]));
            assert_eq!(cublas.set_workspace(host.0.as_ptr() as u64, 4096), SUCCESS);
            fails(&cublas, &SMALL.on(&cublas.stream));
        });
}

#[test]
fn a_replay_needs_its_workspace() {
    Process::of("a_replay_needs_its_workspace").says("cublasGemmEx: workspace: buffer").says("is freed").run(
        || {
            let cublas = Cublas::open();
            let (gemm, workspace) = (SMALL.on(&cublas.stream), alloc(4096));
            assert_eq!(cublas.set_workspace(workspace, 4096), SUCCESS);
            let graph = captured(&cublas.stream, || assert_eq!(cublas.multiply(&gemm), SUCCESS));
            free(workspace);
            graph.launch().unwrap();
            assert_eq!(wait(&cublas.stream).unwrap_err().0, CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
        },
    );
}

/// As a pool of memory could do it.
#[test]
fn a_workspace_loses_what_it_held() {
    Process::of("a_workspace_loses_what_it_held").run(|| {
        let cublas = Cublas::open();
        let gemm = SMALL.on(&cublas.stream);
        assert_eq!(cublas.set_workspace(gemm.a, 5 * 11 * 4), SUCCESS);
        assert_eq!(cublas.multiply(&gemm), SUCCESS);
        assert!(download::<f32>(&cublas.stream, gemm.c, 5 * 19).iter().all(|value| value.is_nan()));
    });
}

#[test]
fn the_library_may_be_old() {
    Process::of("the_library_may_be_old").set("SOFTCUDA_CUBLAS_VERSION", 120100).run(|| {
        let (cublas, mut version) = (Cublas::open(), 0);
        // SAFETY: a place for the version.
        assert_eq!(unsafe { (cublas.call.cublasGetVersion_v2)(cublas.handle, &raw mut version) }, 0);
        assert_eq!(version, 120100);
    });
}

/// `cargo test --release -p softcuda --test cublas -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn how_long_a_product_takes() {
    Process::of("how_long_a_product_takes").run(|| {
        let cublas = Cublas::open();
        for inputs in [Type::F32, Type::Bf16] {
            let gemm =
                Gemm { inputs, m: 256, n: 256, k: 512, ld: [256, 512, 256], ..SMALL }.on(&cublas.stream);
            let rounds = (0..30).map(|_| {
                let start = Instant::now();
                assert_eq!(cublas.multiply(&gemm), SUCCESS);
                wait(&cublas.stream).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            });
            println!("256 x 512 times 512 x 256, {inputs:?}: {:.2} ms", rounds.fold(f64::INFINITY, f64::min));
        }
    });
}
