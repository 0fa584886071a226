use crate::made::{assert_error, pixels, plain_input, png, samples};
use bcreid::autograd::StepValues;
use bcreid::data::augment::View;
use bcreid::data::{
    Augment, BadImages, Batch, CacheOptions, Classes, Erase, EraseFill, Jitter, Loader, LoaderOptions,
    PkOrder, Sample, Sampler, SamplerKind,
};
use bcreid::device::Device;

fn options(sampler: SamplerKind) -> LoaderOptions {
    LoaderOptions {
        augment: Augment { flip: true, pad: 2, ..Augment::default() },
        seed: 11,
        ..LoaderOptions::new(plain_input(8, 4), sampler)
    }
}

fn loader(samples: &[Sample], options: LoaderOptions) -> bcreid::Result<Loader> {
    Loader::new(samples, &Classes::new(samples)?, options, &Device::cpu(), &|_, _| {})
}

/// Pixel by pixel from the definition: the sampler's image, mirrored, padded, cropped.
/// The next step's batch.
fn next(loader: &mut Loader) -> Batch {
    loader.prepare().unwrap();
    loader.batch(&StepValues::new(&Device::cpu(), 0).unwrap()).unwrap()
}

#[test]
fn batches_are_what_sampler_and_augmentation_say() {
    let (_folder, samples) = samples(4, 6);
    let options = options(SamplerKind::Random { batch: 5 });
    let mut loader = loader(&samples, options.clone()).unwrap();
    assert_eq!(loader.steps_per_epoch(), 4);
    let labels: Vec<i32> = (0..24).map(|i| i / 6).collect();
    let mut sampler = Sampler::new(options.sampler, &labels, 11).unwrap();
    for step in 0..9 {
        let batch = next(&mut loader);
        let images = sampler.batch(step);
        assert_eq!((batch.step, &batch.images), (step, &images));
        assert_eq!(batch.labels.i32(), images.iter().map(|&i| labels[i]).collect::<Vec<_>>());
        assert_eq!(batch.pixels.shape().dims(), [5, 8, 4, 3]);
        for (slot, (&image, out)) in images.iter().zip(batch.pixels.f32().chunks(96)).enumerate() {
            let source = pixels(image as u64, 8, 4);
            let View { flip, top, left, .. } = options.augment.view(11, step, slot);
            for (at, &value) in out.iter().enumerate() {
                let (y, x, c) = ((at / 12) as isize + top, (at / 3 % 4) as isize + left, at % 3);
                let inside = (0..8).contains(&y) && (0..4).contains(&x);
                let x = if flip { 3 - x } else { x };
                let expected = if inside { source[(y * 4 + x) as usize * 3 + c] } else { 0 };
                assert_eq!(value, f32::from(expected), "step {step}, slot {slot}, value {at}");
            }
        }
    }
}

/// Images of 11 x 6 pixels, of which 8 x 4 are shown, with random colours and an erased rectangle: pixel by pixel from
/// the draws, and the same bits from every start.
#[test]
fn larger_images_are_cropped_coloured_and_erased() {
    let (folder, samples) = samples(4, 6);
    for (i, sample) in samples.iter().enumerate() {
        png(&sample.path, i as u64, 11, 6);
    }
    let plain = Augment { flip: true, room: [3, 2], ..Augment::default() };
    let jitter = Jitter { brightness: 0.3, contrast: 0.3, saturation: 0.3 };
    let erase = Erase { probability: 0.6, ..Erase::default() };
    let noise = Erase { fill: EraseFill::Noise, ..erase };
    let mut erased = 0;
    for (augment, shows_colours) in [
        (plain, false),
        (Augment { jitter, ..plain }, true),
        (Augment { erase, ..plain }, false),
        (Augment { jitter, erase: noise, pad: 1, ..plain }, true),
    ] {
        let options = LoaderOptions { augment, ..options(SamplerKind::Random { batch: 5 }) };
        let mut from_start = loader(&samples, options.clone()).unwrap();
        let mut from_third =
            loader(&samples, LoaderOptions { first_step: 3, threads: 2, ..options }).unwrap();
        for step in 0..6 {
            let batch = next(&mut from_start);
            if step >= 3 {
                assert!(next(&mut from_third).pixels.f32() == batch.pixels.f32(), "step {step}");
            }
            for (slot, (&image, out)) in batch.images.iter().zip(batch.pixels.f32().chunks(96)).enumerate() {
                let source = pixels(image as u64, 11, 6);
                let View { flip, top, left, .. } = augment.view(11, step, slot);
                assert!(augment.pad > 0 || ((0..=3).contains(&top) && (0..=2).contains(&left)));
                let mut shown: Vec<u8> = (0..96)
                    .map(|at| {
                        let (y, x, c) = (at / 12 + top, at / 3 % 4 + left, at % 3);
                        let inside = (0..11).contains(&y) && (0..6).contains(&x);
                        let x = if flip { 5 - x } else { x };
                        if inside { source[((y * 6 + x) * 3 + c) as usize] } else { 0 }
                    })
                    .collect();
                let plain = shown.clone();
                if let Some(factors) = augment.colours(11, step, slot) {
                    factors.apply(&mut shown);
                }
                assert_eq!(shown != plain, shows_colours, "step {step}, slot {slot}");
                let rectangle = augment.erased(11, step, slot, [8, 4]);
                let inside = |y: usize, x: usize| {
                    rectangle.is_some_and(|r| {
                        (r.top..r.top + r.height).contains(&y) && (r.left..r.left + r.width).contains(&x)
                    })
                };
                let mut differing = 0;
                for (at, &value) in out.iter().enumerate() {
                    let expected = f32::from(shown[at]);
                    match (inside(at / 12, at / 3 % 4), augment.erase.fill) {
                        (false, _) => assert_eq!(value, expected, "step {step}, slot {slot}, value {at}"),
                        (true, EraseFill::Mean) => assert_eq!(value, 0.0),
                        (true, EraseFill::Noise) => differing += usize::from(value != expected),
                    }
                }
                erased += usize::from(rectangle.is_some());
                let all = rectangle.map_or(0, |r| r.height * r.width * 3);
                assert!(
                    augment.erase.fill == EraseFill::Mean || differing * 10 >= all * 8,
                    "{differing} of {all}"
                );
            }
        }
    }
    assert!(erased > 15, "{erased}");
    drop(folder);
}

/// A resumed run, more threads, another cache: the same bits.
#[test]
fn a_batch_is_a_function_of_the_step_alone() {
    let (_folder, samples) = samples(5, 3);
    for sampler in [
        SamplerKind::Random { batch: 4 },
        SamplerKind::Epochs { batch: 4 },
        SamplerKind::Pk { identities: 2, images: 4, order: PkOrder::Identities },
        SamplerKind::Pk { identities: 2, images: 2, order: PkOrder::Images },
        SamplerKind::Pairs { pairs: 3, positive: 0.5, decay: 0.9, least: 0.1 },
    ] {
        let mut walked = loader(&samples, options(sampler)).unwrap();
        let walked: Vec<_> = (0..20).map(|_| next(&mut walked)).collect();
        for (first_step, threads, limit_mib) in [(0, 3, 0), (7, 1, 2048), (13, 2, 0)] {
            let cache = CacheOptions { limit_mib, folder: None };
            let options = LoaderOptions { first_step, threads, cache, prefetch: 2, ..options(sampler) };
            let mut resumed = loader(&samples, options).unwrap();
            for walked in &walked[first_step as usize..] {
                let batch = next(&mut resumed);
                assert_eq!((batch.step, &batch.images), (walked.step, &walked.images));
                assert_eq!(batch.labels.i32(), walked.labels.i32());
                let bits =
                    |b: &bcreid::data::Batch| b.pixels.f32().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&batch), bits(walked), "step {}", batch.step);
            }
        }
    }
}

#[test]
fn classes_are_sorted_identities() {
    let (_folder, mut samples) = samples(3, 2);
    samples.reverse();
    let mut loader = loader(&samples, options(SamplerKind::Random { batch: 6 })).unwrap();
    let batch = next(&mut loader);
    for (&image, &label) in batch.images.iter().zip(batch.labels.i32()) {
        assert_eq!(samples[image].pid, 2 * i64::from(label) + 1);
    }
}

#[test]
fn unreadable_images_stop_training_before_it_starts_or_are_left_out() {
    let (_folder, samples) = samples(3, 4);
    let whole = std::fs::read(&samples[2].path).unwrap();
    std::fs::write(&samples[2].path, &whole[..whole.len() / 2]).unwrap();
    std::fs::write(&samples[9].path, b"").unwrap();
    let refused = loader(&samples, options(SamplerKind::Random { batch: 4 }));
    assert_error(refused, &["0001_c1s1_000002_00.png", "2 such images among 12", "skip"]);

    let skip = LoaderOptions { bad_images: BadImages::Skip, ..options(SamplerKind::Random { batch: 10 }) };
    let mut skipping = loader(&samples, skip.clone()).unwrap();
    assert_eq!(skipping.skipped().iter().map(|(i, _)| *i).collect::<Vec<_>>(), [2, 9]);
    let batch = next(&mut skipping);
    let mut images = batch.images.clone();
    images.sort_unstable();
    assert_eq!(images, [0, 1, 3, 4, 5, 6, 7, 8, 10, 11]);
    for (&image, &label) in batch.images.iter().zip(batch.labels.i32()) {
        assert_eq!(image / 4, label as usize);
    }
    // What is left does not fill a batch of 11.
    let short = LoaderOptions { sampler: SamplerKind::Random { batch: 11 }, ..skip };
    assert_error(loader(&samples, short), &["11", "only 10"]);
}

#[test]
fn skipping_leaves_two_identities_or_says_why_not() {
    let (_folder, samples) = samples(3, 2);
    let skip = LoaderOptions { bad_images: BadImages::Skip, ..options(SamplerKind::Epochs { batch: 2 }) };
    let spoil = |i: usize| std::fs::write(&samples[i].path, b"bad").unwrap();
    (0..2).for_each(spoil);
    let mut two_left = loader(&samples, skip.clone()).unwrap();
    let mut labels = next(&mut two_left).labels.i32().to_vec();
    labels.extend(next(&mut two_left).labels.i32());
    labels.sort_unstable();
    assert_eq!(labels, [1, 1, 2, 2]);
    (2..4).for_each(spoil);
    let words = ["only images of identity 5", "4 unreadable", "0001_c1s1_000000_00.png", "not a JPEG"];
    assert_error(loader(&samples, skip.clone()), &words);
    (4..6).for_each(spoil);
    assert_error(loader(&samples, skip), &["no image is left", "6 unreadable"]);
}

#[test]
fn the_fingerprint_tells_other_images_apart() {
    let (_folder, samples) = samples(3, 2);
    let skip = LoaderOptions { bad_images: BadImages::Skip, ..options(SamplerKind::Random { batch: 2 }) };
    let fingerprint =
        |samples: &[Sample], options: LoaderOptions| loader(samples, options).unwrap().fingerprint();
    let first = fingerprint(&samples, skip.clone());
    let mut bytes = Vec::new();
    for i in 0..6u64 {
        bytes.extend(i.to_le_bytes());
        bytes.extend((i as i32 / 2).to_le_bytes());
        bytes.extend(pixels(i, 8, 4));
    }
    assert_eq!(first, crc32fast::hash(&bytes));
    // Neither threads, nor the cache's place, nor where a run goes on matters.
    let cache = CacheOptions { limit_mib: 0, folder: None };
    let elsewhere = LoaderOptions { cache, threads: 3, first_step: 9, seed: 1, ..skip.clone() };
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| fingerprint(&samples, elsewhere.clone())), first);
    }

    let mut relabelled = samples.clone();
    relabelled[1].pid = 3;
    let mut swapped = samples.clone();
    swapped.swap(0, 1);
    png(&samples[5].path, 77, 8, 4);
    let repainted = fingerprint(&samples, skip.clone());
    std::fs::write(&samples[5].path, b"bad").unwrap();
    let without = fingerprint(&samples, skip.clone());
    png(&samples[5].path, 5, 8, 4);
    let mut all = vec![first, repainted, without];
    all.extend([&relabelled, &swapped].map(|samples| fingerprint(samples, skip.clone())));
    assert_eq!(fingerprint(&samples, skip), first);
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 5, "{all:x?}");
}

#[test]
fn options_that_do_not_fit_are_refused_before_anything_is_decoded() {
    let (_folder, samples) = samples(2, 3);
    let decoded = |_, _| panic!("decoding has begun");
    let refuse = |samples: &[Sample], options: LoaderOptions, words: &[&str]| {
        let classes = Classes::new(samples).unwrap();
        assert_error(Loader::new(samples, &classes, options, &Device::cpu(), &decoded), words);
    };
    refuse(&samples, options(SamplerKind::Random { batch: 7 }), &["7", "only 6"]);
    refuse(
        &samples,
        options(SamplerKind::Pk { identities: 3, images: 2, order: PkOrder::Identities }),
        &["3 identities", "only 2"],
    );
    let base = options(SamplerKind::Random { batch: 2 });
    let erase = Augment { erase: Erase { aspect: 0.0, ..Erase::default() }, ..Augment::default() };
    refuse(&samples, LoaderOptions { augment: erase, ..base.clone() }, &["data.erase_aspect 0"]);
    let pad = Augment { pad: 4, ..Augment::default() };
    refuse(&samples, LoaderOptions { augment: pad, ..base.clone() }, &["pad 4"]);
    refuse(
        &samples,
        LoaderOptions { input: plain_input(0, 4), ..base.clone() },
        &["input.height 0", "choose 1 to 4096"],
    );
    let mut others = samples.clone();
    let classes = Classes::new(&samples).unwrap();
    others[1].pid = 99;
    let unknown = Loader::new(&others, &classes, base, &Device::cpu(), &decoded);
    assert_error(unknown, &["0001_c1s1_000001_00.png", "person 99"]);
}
