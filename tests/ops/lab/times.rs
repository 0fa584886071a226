//! The lines of `benches/kernels.rs` about the lab, and the times that the table of the book (`examples/book/lab.rs`)
//! takes from them.

/// The first line: the device, bytes a second of a copy, and the seconds of an empty kernel.
pub fn head(device: &str, copy: f64, empty: f64) -> String {
    format!(
        "{device}: copies at {:.0} GB/s, reads and writes counted; an empty kernel takes {:.2} us",
        copy * 1e-9,
        empty * 1e6
    )
}

/// The line in front of the versions of a lesson at a size.
pub fn title(stem: &str, m: usize, n: usize) -> String {
    format!("{stem} at {m} x {n}")
}

/// The line of a version begins with its kernel and its time.
pub fn row(kernel: &str, seconds: f64) -> String {
    format!("{kernel:44} {:10.2}", seconds * 1e6)
}

/// The device of the first line.
pub fn device(lines: &[String]) -> Option<&str> {
    lines.first()?.split(": copies at").next()
}

/// The microseconds of a version at a size, as they were printed.
pub fn micros<'l>(lines: &'l [String], stem: &str, kernel: &str, m: usize, n: usize) -> Option<&'l str> {
    let title = title(stem, m, n);
    let rows = lines.iter().skip_while(|line| **line != title).take_while(|line| !line.is_empty());
    let mut rows = rows.map(|row| row.split_whitespace());
    rows.find_map(|mut words| (words.next() == Some(kernel)).then(|| words.next())).flatten()
}

#[test]
fn the_book_reads_what_the_benchmark_prints() {
    let lines = [
        head("NVIDIA H100: 80GB", 3e12, 2e-6),
        String::new(),
        title("lab/a", 16, 751),
        "                  us".into(),
        row("a_v1", 3.456e-6) + "      100      20%",
        row("a_v2_and_more", 1.2e-6) + "      100      20%",
        String::new(),
        title("lab/a", 4096, 751),
        row("a_v1", 1234.5e-6),
    ];
    assert_eq!(device(&lines), Some("NVIDIA H100: 80GB"));
    let of = |kernel, m| micros(&lines, "lab/a", kernel, m, 751);
    assert_eq!((of("a_v1", 16), of("a_v1", 4096)), (Some("3.46"), Some("1234.50")));
    assert_eq!((of("a_v2_and_more", 16), of("a_v2_and_more", 4096)), (Some("1.20"), None));
    assert_eq!((of("a_v2", 16), of("a_v1", 32)), (None, None));
    assert_eq!(device(&[]), None);
}
