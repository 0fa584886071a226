//! Writes the training images of a run as its network gets them (`bcreid::export::training_images`), for
//! `tools/reference/train.py`:
//!
//!     cargo run --release --example training_images -- DATA RUN/checkpoints/step_0000000000.safetensors IMAGES.safetensors
//!
//! Size and what to do about unreadable images are the checkpoint's settings.

use bcreid::data::Dataset;
use bcreid::export::training_images;
use bcreid::weights::NetworkFile;
use bcreid::{Error, Result};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [data, checkpoint, out] = &arguments[..] else {
        eprintln!("usage: training_images DATA CHECKPOINT.safetensors IMAGES.safetensors");
        return ExitCode::from(2);
    };
    match write(Path::new(data), Path::new(checkpoint), Path::new(out)) {
        Ok(count) => {
            println!("{count} images: {}", Path::new(out).display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("training_images: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(data: &Path, checkpoint: &Path, out: &Path) -> Result<usize> {
    if out.exists() {
        let out = out.display();
        return Err(Error::Data(format!("{out} is there already; name another file, or delete it")));
    }
    training_images::write(&Dataset::open(data)?, NetworkFile::open(checkpoint)?.config(), out)
}
