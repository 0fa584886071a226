//! The stand-in for cuBLAS against products in f64, and what it refuses.

#[path = "../common/mod.rs"]
mod common;
mod product;

use common::numbers::{Type, tf32};
use common::stand_ins::{Process, alloc, captured, download, enqueue_download, free, upload, wait};
use cudarc::driver::sys::CUresult;
use product::*;

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

/// CUBLAS_COMPUTE_32F_FAST_TF32, and the two that keep all bits of f32.
#[test]
fn factors_are_rounded_to_tf32_where_the_arithmetic_permits_it() {
    Process::of("factors_are_rounded_to_tf32_where_the_arithmetic_permits_it").run(|| {
        let cublas = Cublas::open();
        for (compute, is_rounded) in [(68, false), (69, false), (77, true)] {
            let gemm = Gemm { compute, ..SMALL }.on(&cublas.stream);
            let values = |i: usize, seed| {
                let values = Type::F32.noise((gemm.ld[i] * gemm.shapes()[i].1) as usize, seed);
                if is_rounded { values.into_iter().map(tf32).collect() } else { values }
            };
            assert_eq!(cublas.multiply(&gemm), SUCCESS);
            let got = download::<f32>(&cublas.stream, gemm.c, (gemm.m * gemm.n) as usize);
            let want = gemm.reference(&values(0, 1), &values(1, 2), &got);
            Type::F32.assert_near(&got, &want, &format!("arithmetic {compute}"));
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
