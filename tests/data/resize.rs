use crate::golden;
use bcreid::data::decode::Rgb;
use bcreid::data::resize::Resizer;

/// Up, down, both at once, to one pixel and along one side.
#[test]
fn bytes_are_pillows() {
    let golden = golden::read("image");
    let source = &golden["resize.source"];
    let picture = Rgb {
        height: source.shape[0],
        width: source.shape[1],
        pixels: source.i32().into_iter().map(|v| v as u8).collect(),
    };
    let mut resizer = Resizer::default();
    let mut sizes = 0;
    for (name, expected) in
        golden.iter().filter(|(name, _)| name.starts_with("resize.") && *name != "resize.source")
    {
        let (height, width) = (expected.shape[0], expected.shape[1]);
        let mut out = vec![0; height * width * 3];
        resizer.resize(&picture, height, width, &mut out);
        let ours: Vec<f32> = out.iter().map(|&v| f32::from(v)).collect();
        golden::assert_close(name, &ours, &expected.values, 0.0);
        sizes += 1;
    }
    assert_eq!(sizes, 7);
}

#[test]
fn the_same_size_is_a_copy() {
    let picture = Rgb { height: 2, width: 1, pixels: vec![1, 2, 3, 4, 5, 6] };
    let mut out = [0; 6];
    Resizer::default().resize(&picture, 2, 1, &mut out);
    assert_eq!(out[..], picture.pixels);
}

#[test]
fn extreme_shapes_are_resized() {
    let mut resizer = Resizer::default();
    for (height, width) in [(1, 50_000), (50_000, 1)] {
        let picture = Rgb { height, width, pixels: vec![77; height * width * 3] };
        let mut out = vec![0; 256 * 128 * 3];
        resizer.resize(&picture, 256, 128, &mut out);
        assert!(out.iter().all(|&v| v == 77));
    }
}
