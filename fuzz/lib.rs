//! What all targets do with an input.

use std::io::Write;
use std::path::Path;

/// Tensors of more elements are not read: their size alone would be the find.
const LARGEST: usize = 1 << 22;

/// Opens the bytes as a weight file and reads its tensors. Errors are what it should end in; a panic, a leak
/// or much memory is a find.
pub fn read(bytes: &[u8]) {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
    let mut file = tempfile::NamedTempFile::new_in(folder).expect("a temporary file");
    file.write_all(bytes).expect("room for a temporary file");
    let source = match bcreid_convert::source::open(file.path()) {
        Ok(source) => source,
        Err(e) => return assert!(!e.to_string().contains('\n'), "not one line: {e}"),
    };
    for (name, tensor) in &source.tensors {
        let count = tensor.shape.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
        if count.is_none_or(|count| count > LARGEST) {
            continue;
        }
        if let Ok(values) = tensor.values() {
            assert_eq!(Some(values.len()), count, "{name}");
        }
    }
}

/// Reads the bytes with `magic` put over them at `at`.
pub fn read_as(bytes: &[u8], at: usize, magic: &[u8]) {
    let mut bytes = bytes.to_vec();
    let end = at + magic.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[at..end].copy_from_slice(magic);
    read(&bytes);
}
