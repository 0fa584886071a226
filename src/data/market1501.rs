//! File names of Market-1501 (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015):
//! `0002_c1s1_000451_03.jpg` is person 2, camera 1, sequence 1, frame 451, box 3.
//!
//! Person 0000 is a distractor and -1 a junk box; both occur in the gallery only. Some files of the original
//! data set end in `.jpg.jpg`.

use super::name::{Name, ends, head, number};

/// The folders of the training, query and gallery images.
pub const FOLDERS: [&str; 3] = ["bounding_box_train", "query", "bounding_box_test"];
/// Numbers of training, query and gallery images; the last with distractors and junk.
pub const IMAGES: [usize; 3] = [12_936, 3_368, 19_732];
/// The folder of all boxes of each query's person from the query's camera; optional.
pub const BOXES: &str = "gt_bbox";

/// An example of a file name, for error messages.
pub const EXAMPLE: &str = "0002_c1s1_000451_03.jpg";

/// Parses a base name (no folders): `PID_cCAMERAsSEQUENCE`, then `_` or `.` and anything. `None` for other names.
pub fn parse(base: &str) -> Option<Name> {
    let (name, rest) = head(base)?;
    let (_sequence, rest) = number(rest.strip_prefix('s')?)?;
    ends(rest).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_data_set() {
        let name = |pid, camid| Some(Name { pid, camid });
        assert_eq!(parse("0002_c1s1_000451_03.jpg"), name(2, 1));
        assert_eq!(parse("-1_c6s3_000451_03.jpg"), name(-1, 6));
        assert_eq!(parse("0000_c3s2_000451_03.jpg.jpg"), name(0, 3));
        assert_eq!(parse("1501_c12s1_000451_03.png"), name(1501, 12));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "x0002_c1s1_000451_03.jpg",
            "x_12_c3s1_0.jpg",
            "a/0002_c1s1_000451_03.jpg",
            "-2_c1s1_000451_03.jpg",
            "--1_c1s1_0.jpg",
            "+1_c1s1_0.jpg",
            "0002_c1_000451_03.jpg",
            "0002_c1s_000451_03.jpg",
            "0002_cs1_000451_03.jpg",
            "0002c1s1_000451_03.jpg",
            "0002_c1s1",
            "0002_c1s1x.jpg",
            "99999999999999999999_c1s1_0.jpg",
            "٣_c1s1_0.jpg",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(base in ".*") {
            let _ = parse(&base);
        }

        #[test]
        fn reads_what_was_written(pid in 0i64..100_000, camid in 1i64..100, s in 0u32..9, tail in "[_.].*") {
            let base = format!("{pid:04}_c{camid}s{s}{tail}");
            prop_assert_eq!(parse(&base), Some(Name { pid, camid }));
        }

        #[test]
        fn is_anchored(before in "[^0-9-].{0,8}") {
            let base = format!("{before}0002_c1s1_000451_03.jpg");
            prop_assert_eq!(parse(&base), None);
        }
    }
}
