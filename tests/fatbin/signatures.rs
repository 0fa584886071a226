//! The build script's parser of kernel signatures, and the generated structs.

#[path = "../../build/signatures.rs"]
mod reader;

use std::path::{Path, PathBuf};

/// The Rust source that is made of one `.cu` file.
fn made(source: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("planted.cu");
    std::fs::write(&file, source).unwrap();
    reader::write(&[file], folder.path())?;
    Ok(std::fs::read_to_string(folder.path().join("signatures.rs")).unwrap())
}

/// The lines of `source` from the one that begins with `first` to the one that is `last`, without indentation.
#[track_caller]
fn block<'a>(source: &'a str, first: &str, last: &str) -> Vec<&'a str> {
    let mut lines = source.lines().skip_while(|line| !line.trim_start().starts_with(first));
    assert!(lines.next().is_some(), "{first} is not in {source}");
    lines.take_while(|line| line.trim() != last).map(str::trim).collect()
}

/// Comments with commas and brackets, bounds of a launch, line breaks anywhere, pointers that may be null.
#[test]
fn a_kernel_becomes_a_struct() {
    let source = r#"
// extern "C" __global__ void not_this(double x);
static __device__ void nor_this(double x) {}
extern "C" __global__ void __launch_bounds__(256)
    scale_rows(const float* __restrict__ x,  // f32 [rows, c], in rows, (so to speak)
               const bf16 *NULLABLE offset, float* __restrict__ NULLABLE y,
               size_t rows, int c,
               uint64_t seed, float factor) {
    nor_this(c);
}
extern "C" __global__ void fill(int* to, const uint8_t* from) {}
"#;
    let made = made(source).unwrap();
    assert_eq!(made.matches("pub(crate) struct").count(), 2, "{made}");
    let fields = [
        "pub x: In,",
        "pub offset: Option<In>,",
        "pub y: Option<Out>,",
        "pub rows: usize,",
        "pub c: usize,",
        "pub seed: u64,",
        "pub factor: f32,",
    ];
    assert_eq!(block(&made, "pub(crate) struct ScaleRows {", "}"), fields);
    assert_eq!(block(&made, "pub(crate) struct Fill {", "}"), ["pub to: Out,", "pub from: In,"]);
    let of_scale = &made[made.find("impl Kernel for ScaleRows").unwrap()..];
    let arguments = [
        "self.x.into(),",
        "self.offset.into(),",
        "self.y.into(),",
        "Argument::Size(self.rows),",
        "Argument::Int(self.c),",
        "Argument::Word(self.seed),",
        "Argument::Float(self.factor),",
    ];
    assert_eq!(block(of_scale, "[", "]"), arguments);
    let variant = concat!(
        r#"Variant { name: "scale_rows", pointers: &[Pointer { name: "x", dtype: DType::F32 }, "#,
        r#"Pointer { name: "offset", dtype: DType::BF16 }, Pointer { name: "y", dtype: DType::F32 }] },"#
    );
    assert_eq!(block(of_scale, "const VARIANTS", "];"), [variant]);
    assert!(
        of_scale.contains("type Arguments = [Argument; 7];") && made.contains("`cuda/planted.cu`"),
        "{made}"
    );
}

/// Kernels of one name but for the types at its end are variants of one struct.
#[test]
fn types_at_the_end_of_a_name_make_variants() {
    let source = r#"
extern "C" __global__ void cast_f32_bf16(const float* x, bf16* y, size_t n) {}
extern "C" __global__ void cast_bf16_f32(const bf16* x, float* y, size_t n) {}
extern "C" __global__ void cast_rows_f32(const float* x, size_t n) {}
"#;
    let made = made(source).unwrap();
    assert_eq!(made.matches("pub(crate) struct").count(), 2, "{made}");
    assert_eq!(block(&made, "pub(crate) struct Cast {", "}"), ["pub x: In,", "pub y: Out,", "pub n: usize,"]);
    let of_cast = &made[made.find("impl Kernel for Cast {").unwrap()..];
    let variants = block(of_cast, "const VARIANTS", "];");
    assert_eq!(variants.len(), 2);
    for (variant, [name, x, y]) in
        variants.iter().zip([["cast_f32_bf16", "F32", "BF16"], ["cast_bf16_f32", "BF16", "F32"]])
    {
        let pointers = format!(
            r#"[Pointer {{ name: "x", dtype: DType::{x} }}, Pointer {{ name: "y", dtype: DType::{y} }}]"#
        );
        assert!(variant.contains(&format!("{name:?}")) && variant.contains(&pointers), "{variant}");
    }
}

/// That a source is refused with the file, and with `words`.
#[track_caller]
fn assert_refused(source: &str, words: &[&str]) {
    let error = made(source).expect_err(source);
    assert!(error.contains("planted.cu: ") && words.iter().all(|word| error.contains(word)), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn what_is_not_understood_is_refused_with_file_and_kernel() {
    for parameter in [
        "double x",
        "const double* x",
        "float** x",
        "const float& x",
        "unsigned int n",
        "long n",
        "const int n",
        "float",
        "const float*",
        "NULLABLE float* x",
        "std::pair<int, float> x",
    ] {
        let source = format!("extern \"C\" __global__ void odd(const float* a, {parameter}) {{}}");
        // A comma parts parameters, in angle brackets too.
        let part = parameter.split(',').next().unwrap();
        assert_refused(&source, &["kernel odd: ", &format!("`{part}`"), "src/device/cuda/signature.rs"]);
    }
    assert_refused("extern \"C\" __global__ void none() {}", &["kernel none: "]);
    assert_refused("extern \"C\" __global__ int odd(int n) {}", &["void"]);
    assert_refused("extern \"C\" __global__ void open(int n", &["open"]);
    assert_refused("extern \"C\" __global__ void open", &["parameters"]);
    assert_refused("extern \"C\" __global__ void __launch_bounds__(256 open", &["__launch_bounds__"]);
}

#[test]
fn variants_that_differ_in_more_than_types_are_refused() {
    let beside = |other: &str| {
        let first = "extern \"C\" __global__ void move_f32(const float* x, float* y, int n) {}\n";
        format!("{first}extern \"C\" __global__ void move_bf16({other}) {{}}")
    };
    made(&beside("const bf16* x, bf16* y, int n")).unwrap();
    for other in [
        "const bf16* x, bf16* y",
        "const bf16* x, bf16* y, int n, int m",
        "const bf16* x, bf16* z, int n",
        "bf16* x, bf16* y, int n",
        "const bf16* x, bf16* NULLABLE y, int n",
        "const bf16* x, bf16* y, size_t n",
        "const bf16* x, int n, bf16* y",
    ] {
        assert_refused(&beside(other), &["move_f32", "move_bf16", "more than element types"]);
    }
    // The launch could not choose between them.
    assert_refused(
        &beside("const float* x, float* y, int n"),
        &["move_f32", "move_bf16", "same element types"],
    );
}

/// The kernels that each source lists for the host build are those that were found, each once.
#[test]
fn every_kernel_of_the_sources_is_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let sources: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "cu")).collect();
    let mut listed = Vec::new();
    for source in &sources {
        let text = std::fs::read_to_string(source).unwrap();
        let (_, list) = text.split_once("\nSOFTCUDA_KERNELS(").expect("every source lists its kernels");
        let (list, _) = list.split_once(')').unwrap();
        listed.extend(list.split(',').map(|name| name.trim().to_string()));
    }
    let out = tempfile::tempdir().unwrap();
    reader::write(&sources, out.path()).unwrap();
    let made = std::fs::read_to_string(out.path().join("signatures.rs")).unwrap();
    let names = made.split("Variant { name: \"").skip(1);
    let mut found: Vec<String> = names.map(|rest| rest.split('"').next().unwrap().to_string()).collect();
    listed.sort();
    found.sort();
    assert!(found.len() > 40, "{found:?}");
    assert_eq!(found, listed);
}
