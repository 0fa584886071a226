//! Chapter 17: draws that are functions, the batches of each sampler, and a loader that starts in the middle.

use bcreid::autograd::StepValues;
use bcreid::data::{
    Augment, Erase, ImageCache, ImageInput, Jitter, Loader, LoaderOptions, PkOrder, Sampler, SamplerKind,
};
use bcreid::device::Device;
use bcreid::tensor::philox::{Philox, RngStream};
use std::error::Error;

const SEED: u64 = 42;
/// Images of a batch.
const BATCH: usize = 3;

/// A generator with a state (xorshift64*), as most libraries have one.
struct Sequential(u64);

impl Sequential {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % n
    }
}

// ANCHOR: sequential
/// Flip, top and left of each image of `step`, by a generator with a state that starts at step `first`.
fn sequential(first: u64, step: u64, erase: bool) -> Vec<String> {
    let mut random = Sequential(SEED);
    let mut shown = Vec::new();
    for _ in first..=step {
        shown.clear();
        for _ in 0..BATCH {
            let [flip, top, left] = [2, 21, 21].map(|n| random.below(n));
            shown.push(view(flip == 1, top as isize - 10, left as isize - 10));
            if erase {
                // A rectangle needs four numbers: area, aspect, top, left.
                for _ in 0..4 {
                    random.below(100);
                }
            }
        }
    }
    shown
}
// ANCHOR_END: sequential

// ANCHOR: counter
/// The same by the product's function, which has no state.
fn counter(step: u64, erase: bool) -> Vec<String> {
    let probability = if erase { 1.0 } else { 0.0 };
    let augment = Augment {
        flip: true,
        pad: 10,
        erase: Erase { probability, ..Erase::default() },
        ..Augment::default()
    };
    let views = (0..BATCH).map(|slot| augment.view(SEED, step, slot));
    views.map(|of| view(of.flip, of.top, of.left)).collect()
}
// ANCHOR_END: counter

fn view(flip: bool, top: isize, left: isize) -> String {
    format!("{} {top:>3} {left:>3}", if flip { "flip" } else { "-" })
}

pub fn draws() -> Result<(), Box<dyn Error>> {
    let rows = [("from step 0", 0, false), ("resumed at 2", 2, false), ("with erasing", 0, true)];
    println!("flip, top and left of the three images of step 2");
    for (name, first, erase) in rows {
        println!("{name:<14}sequential  {}", sequential(first, 2, erase).join("   "));
        println!("{:<14}counter     {}", "", counter(2, erase).join("   "));
    }

    // ANCHOR: words
    let draws = Philox::new(SEED, 2, 0, RngStream::Augment);
    println!("\nwords 0 to 3 of image 0: {:08x?}", draws.block(0));
    let mut other = draws.block(0);
    let next = Philox::new(SEED, 3, 0, RngStream::Augment).block(0);
    other.iter_mut().zip(next).for_each(|(own, next)| *own ^= next);
    let changed: u32 = other.iter().map(|bits| bits.count_ones()).sum();
    println!("bits of 128 that differ from those of step 3: {changed}");
    // ANCHOR_END: words
    Ok(())
}

/// Persons of eleven images: five of person A, three of B, two of C, one of D.
const LABELS: [i32; 11] = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3];

/// A1 to A5, B1 to B3, C1, C2, D1.
fn name(image: usize) -> String {
    let first = LABELS.iter().position(|label| *label == LABELS[image]).unwrap_or_default();
    format!("{}{}", char::from(b'A' + LABELS[image] as u8), image - first + 1)
}

pub fn samplers() -> Result<(), Box<dyn Error>> {
    let pk = |order: PkOrder| SamplerKind::Pk { identities: 2, images: 2, order };
    let kinds = [
        ("random", SamplerKind::Random { batch: 4 }),
        ("epochs", SamplerKind::Epochs { batch: 4 }),
        ("pk, identities", pk(PkOrder::Identities)),
        ("pk, images", pk(PkOrder::Images)),
        ("pairs", SamplerKind::Pairs { pairs: 2, positive: 0.5, decay: 1.0, least: 0.5 }),
    ];
    println!("{:<16}{:<16}batches of steps 0, 1 and 2", "sampler", "steps an epoch");
    for (kind_name, kind) in kinds {
        // ANCHOR: samplers
        let mut sampler = Sampler::new(kind, &LABELS, SEED)?;
        let batches: Vec<Vec<usize>> = (0..3).map(|step| sampler.batch(step)).collect();
        let mut fresh = Sampler::new(kind, &LABELS, SEED)?;
        assert_eq!(fresh.batch(2), batches[2], "a batch depends on the batches before it");
        // ANCHOR_END: samplers
        let shown =
            batches.iter().map(|batch| batch.iter().map(|&image| name(image)).collect::<Vec<_>>().join(" "));
        let shown = shown.collect::<Vec<_>>().join("   ");
        println!("{kind_name:<16}{:<16}{shown}", sampler.steps_per_epoch());
    }
    Ok(())
}

/// Decoded images of noise, 10 x 6 pixels: a crop of 8 x 4 has room.
fn images() -> ImageCache {
    let noise = Philox::new(SEED, 0, 0, RngStream::Test);
    let bytes = 10 * 6 * 3;
    ImageCache::of((0..(LABELS.len() * bytes) as u32).map(|i| noise.word(i) as u8).collect(), bytes)
}

// ANCHOR: resume
/// A line for each of the steps `first` to 5: its images, and a checksum of the pixels.
fn batches(first: u64, threads: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let device = Device::cpu();
    let options = LoaderOptions {
        augment: Augment {
            flip: true,
            pad: 2,
            room: [2, 2],
            jitter: Jitter { brightness: 0.2, ..Jitter::default() },
            ..Augment::default()
        },
        seed: SEED,
        first_step: first,
        threads,
        ..LoaderOptions::new(ImageInput::imagenet(8, 4), SamplerKind::Epochs { batch: 4 })
    };
    let mut loader = Loader::over(images(), LABELS.to_vec(), options, &device)?;
    let mut lines = Vec::new();
    for step in first..6 {
        loader.prepare()?;
        let batch = loader.batch(&StepValues::new(&device, step)?)?;
        let names: Vec<String> = batch.images.iter().map(|&image| name(image)).collect();
        let bytes: Vec<u8> = batch.pixels.f32().iter().flat_map(|value| value.to_le_bytes()).collect();
        lines.push(format!("{step}     {}  {:08x}", names.join(" "), crc32fast::hash(&bytes)));
    }
    Ok(lines)
}
// ANCHOR_END: resume

pub fn resume() -> Result<(), Box<dyn Error>> {
    let whole = batches(0, 1)?;
    println!("step  images       CRC-32 of the pixels");
    whole.iter().for_each(|line| println!("{line}"));
    for (first, threads) in [(3, 2), (3, 3), (0, 4)] {
        let same = batches(first, threads)? == whole[first as usize..];
        let answer = if same { "the same" } else { "other" };
        println!("from step {first}, {threads} threads: {answer} batches");
    }
    Ok(())
}
