//! Files made to do harm. Each ends in a clear error, and none takes much memory.

use crate::forge::{self, dict, int, pickled, tensor, text, tuple};
use crate::{open_bytes, refusal};

/// The most memory that these tests together may ever have held, in KiB.
const PEAK: u64 = 400 << 10;

fn check_peak() {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return };
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("the peak");
    let peak: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("peak {peak} KiB");
    assert!(peak < PEAK, "{peak} KiB");
}

fn weights(tensor: Vec<u8>) -> Vec<u8> {
    pickled(&dict([("conv1.weight".to_string(), tensor)]))
}

/// Pickles that would run something, and what the refusal must name.
fn gadgets() -> Vec<(&'static str, Vec<u8>)> {
    let short = |s: &str| [b"\x8c", &[s.len() as u8][..], s.as_bytes()].concat();
    let call = |class: &[u8]| [class, &text("true"), b"\x85R"].concat();
    vec![
        ("posix.system", call(b"cposix\nsystem\n")),
        ("nt.system", call(b"cnt\nsystem\n")),
        ("builtins.eval", call(b"cbuiltins\neval\n")),
        ("__builtin__.eval", b"c__builtin__\neval\n(Vprint(1)\ntR".to_vec()),
        ("torch.storage._load_from_bytes", call(b"ctorch.storage\n_load_from_bytes\n")),
        ("torch._utils.os.system", call(b"ctorch\n_utils.os.system\n")),
        ("posix.system", call(&[short("posix"), short("system"), vec![0x93]].concat())),
        // The names are put away in the memo and fetched again, in the other order.
        (
            "posix.system",
            call(
                &[short("system"), b"\x940".to_vec(), short("posix"), b"\x940h\x01h\x00\x93".to_vec()]
                    .concat(),
            ),
        ),
        ("posix.system", call(b"Vposix\np5\n0Vsystem\np700\n0g5\ng700\n\x93")),
        // ... and overwritten.
        (
            "posix.system",
            call(
                &[
                    short("torch"),
                    b"q\x000".to_vec(),
                    short("posix"),
                    b"q\x00".to_vec(),
                    short("system"),
                    vec![0x93],
                ]
                .concat(),
            ),
        ),
        // ... and hidden in a dictionary's value after a harmless class.
        (
            "posix.system",
            dict([
                ("a".into(), b"ccollections\nOrderedDict\n)R".to_vec()),
                ("b".into(), b"cposix\nsystem\n".to_vec()),
            ]),
        ),
        // A name that only a call gives.
        (
            "a class whose name it computes",
            [
                short("posix"),
                b"c_codecs\nencode\n".to_vec(),
                tuple([text("system"), text("latin1")]),
                b"R\x93".to_vec(),
            ]
            .concat(),
        ),
        ("a class whose name it computes", b"Vpos\\u0069x\nVsystem\n\x93".to_vec()),
        ("a call of what is no class", [text("posix.system"), b")R".to_vec()].concat()),
        ("an object in the manner of Python 1", b"(Vtrue\niposix\nsystem\n".to_vec()),
        ("posix.system", b"(cposix\nsystem\nVtrue\no".to_vec()),
        ("a class by a registry's number", b"\x82\x01".to_vec()),
        ("os.system", b"cos\nsystem\n)\x81".to_vec()),
        ("os.system", b"cos\nsystem\n)}\x92".to_vec()),
    ]
}

#[test]
fn pickles_that_would_run_something() {
    let storage = [&2i64.to_le_bytes()[..], &[0; 8]].concat();
    let system = forge::little_endian();
    let state = dict([("w".to_string(), tensor("0", 2, 0, &[2], &[1]))]);
    let (none, one) = (pickled(&int(0)), pickled(&int(1)));
    let no_storages = [&none[..], &pickled(b"]")].concat();
    for (name, body) in gadgets() {
        let pickle = pickled(&body);
        let second = [&one[..], &pickle].concat();
        let tar = |info: &[u8], tensors: &[u8], storages: &[u8]| {
            forge::tar(&[("sys_info", info), ("pickle", &none), ("tensors", tensors), ("storages", storages)])
        };
        let info = pickled(&system);
        for (container, file) in [
            ("zip", forge::zip(&pickle)),
            ("legacy", forge::legacy(&system, &body, &["0"], &storage)),
            ("legacy, system", forge::legacy(&body, &state, &["0"], &storage)),
            ("tar", forge::tar_checkpoint(&pickle, 4, &[4], &[1], 0)),
            ("tar, sys_info", tar(&pickle, &none, &no_storages)),
            ("tar, storages", tar(&info, &none, &second)),
            ("tar, tensors", tar(&info, &second, &no_storages)),
            ("alone", pickle.clone()),
        ] {
            let error = refusal(&file);
            let wanted = format!("its pickle asks for {name}, which no weights need; nothing was executed; ");
            assert!(error.starts_with(&wanted), "{container}: {error}");
        }
    }
}

/// In an archive's directories, sets `count` bytes at `offset` of the record of `name`: of the central
/// directory, and where there is such a field of the local header.
fn patch(archive: &mut [u8], name: &str, central: usize, local: Option<usize>, bytes: &[u8]) {
    for (signature, length, at) in [(b"PK\x01\x02", 46, Some(central)), (b"PK\x03\x04", 30, local)] {
        let Some(at) = at else { continue };
        let is_here = |start: &usize| {
            archive[*start..].starts_with(signature)
                && archive.get(start + length..).is_some_and(|rest| rest.starts_with(name.as_bytes()))
        };
        let start = (0..archive.len()).find(is_here).expect("the entry");
        archive[start + at..][..bytes.len()].copy_from_slice(bytes);
    }
}

#[test]
fn zip_archives() {
    let good = forge::zip(&weights(tensor("0", 8, 0, &[8], &[1])));
    assert_eq!(open_bytes(&good).unwrap().tensors["conv1.weight"].values().unwrap()[7], 7.0);
    const GIB: [u8; 4] = (1u32 << 30).to_le_bytes();
    for name in ["archive/data.pkl", "archive/data/0"] {
        let mut bomb = good.clone();
        patch(&mut bomb, name, 10, Some(8), &8u16.to_le_bytes());
        patch(&mut bomb, name, 24, Some(22), &GIB);
        assert!(
            refusal(&bomb).starts_with(&format!("its zip entry {name:?} is compressed")),
            "{}",
            refusal(&bomb)
        );
        let mut beyond = good.clone();
        patch(&mut beyond, name, 20, Some(18), &GIB);
        patch(&mut beyond, name, 24, Some(22), &GIB);
        assert!(
            refusal(&beyond).contains(&format!("{name:?} reaches beyond the file")),
            "{}",
            refusal(&beyond)
        );
        let mut outside = good.clone();
        patch(&mut outside, name, 42, None, &GIB);
        assert!(
            refusal(&outside).contains(&format!("{name:?} is not where it should be")),
            "{}",
            refusal(&outside)
        );
        let mut locked = good.clone();
        patch(&mut locked, name, 8, Some(6), &1u16.to_le_bytes());
        assert!(refusal(&locked).contains(&format!("{name:?} is encrypted")), "{}", refusal(&locked));
    }
    let long = forge::stored(&[("archive/data.pkl", &vec![b']'; (16 << 20) + 1])]);
    assert!(refusal(&long).contains("data.pkl of 16777217 bytes is longer than that of any network"));
    assert!(refusal(&forge::stored(&[])).starts_with("is an empty zip archive"));
    assert!(
        refusal(&forge::stored(&[("resnet50.pth", b"")]))
            .contains("no data.pkl, but \"resnet50.pth\"; unpack it")
    );
    assert!(
        refusal(&forge::stored(&[("a/data.pkl", b""), ("b/data.pkl", b"")]))
            .starts_with("holds more than one data.pkl")
    );
    assert!(
        refusal(&forge::stored(&[("a/data.pkl", b""), ("a/constants.pkl", b"")]))
            .starts_with("is a TorchScript program")
    );
    let no_storage = forge::stored(&[("a/data.pkl", &weights(tensor("0", 8, 0, &[8], &[1])))]);
    assert!(refusal(&no_storage).contains("storage \"0\" is not in the archive"), "{}", refusal(&no_storage));
    assert!(refusal(b"<!DOCTYPE html><html>").starts_with("is a web page"));
    check_peak();
}

#[test]
fn tensors_that_do_not_fit_their_storage() {
    let zip = |tensor| forge::zip(&weights(tensor));
    // Windows that overlap in one storage are what views are.
    let overlapping = open_bytes(&zip(tensor("0", 8, 1, &[3, 3], &[2, 1]))).unwrap();
    let values = overlapping.tensors["conv1.weight"].values().unwrap();
    assert_eq!(values, [1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 5.0, 6.0, 7.0]);
    for (tensor, words) in [
        (tensor("0", 8, 0, &[8], &[-1]), "negative or no number"),
        (tensor("0", 8, -1, &[8], &[1]), "negative or no number"),
        (tensor("0", 8, 0, &[-8], &[1]), "negative or no number"),
        (tensor("0", 8, i64::MAX, &[8], &[1]), "reaches beyond its storage of 8 elements"),
        (tensor("0", 8, i64::MAX, &[8], &[i64::MAX]), "reaches beyond"),
        (tensor("0", 8, 0, &[i64::MAX, i64::MAX], &[0, 0]), "reaches beyond"),
        (tensor("0", 8, 0, &[1 << 40], &[1]), "reaches beyond"),
        (tensor("0", 8, 0, &[1 << 40], &[0]), "they repeat elements"),
        (tensor("0", 8, 0, &[1 << 20], &[0]), "they repeat elements"),
        (tensor("0", 1 << 40, 0, &[1 << 40], &[1]), "has only 32 bytes"),
        (tensor("0", 1 << 8, 0, &[1 << 8], &[1]), "of 256 elements has only 32 bytes"),
        (tensor("0", 8, 0, &[8], &[]), "reaches beyond"),
        (text("no tensor"), "holds no tensors"),
    ] {
        let error = refusal(&zip(tensor));
        assert!(error.contains(words), "{words}: {error}");
    }
    let reference = || pickled(&dict([("conv1.weight".to_string(), [text("9"), vec![b'Q']].concat())]));
    assert_eq!(
        open_bytes(&forge::tar_checkpoint(&reference(), 4, &[2, 3], &[1, 1], 0)).unwrap().tensors.len(),
        1
    );
    for (elements, shape, stride, offset, words) in [
        (1 << 40, &[4][..], &[1][..], 0, "reaches beyond the others"),
        (-1, &[4], &[1], 0, "has the size, stride or offset -1"),
        (4, &[4], &[-1], 0, "has the size, stride or offset -1"),
        (4, &[5], &[1], 0, "reaches beyond its storage of 4 elements"),
        (4, &[4], &[1], 1, "reaches beyond its storage of 4 elements"),
        (4, &[4], &[1], i64::MAX, "reaches beyond its storage of 4 elements"),
        (4, &[i64::MAX, i64::MAX], &[0, 0], 0, "reaches beyond its storage of 4 elements"),
        (4, &[1 << 24], &[0], 0, "they repeat elements"),
    ] {
        let error = refusal(&forge::tar_checkpoint(&reference(), elements, shape, stride, offset));
        assert!(error.contains(words), "{words}: {error}");
    }
    let unreferenced = pickled(&dict([("w".to_string(), [text("10"), vec![b'Q']].concat())]));
    assert!(
        refusal(&forge::tar_checkpoint(&unreferenced, 4, &[4], &[1], 0))
            .contains("\"10\" is not among its tensors")
    );

    let state = dict([("w".to_string(), tensor("0", 1 << 40, 0, &[4], &[1]))]);
    let beyond = forge::legacy(&forge::little_endian(), &state, &["0"], &4i64.to_le_bytes());
    let needed = beyond.len() + (4 << 40);
    assert!(refusal(&beyond).contains(&format!("should have {needed};")), "{}", refusal(&beyond));
    check_peak();
}

#[test]
fn pickles_that_would_take_all_memory() {
    let nested = |open: &[u8], close: &[u8]| [open.repeat(100_000), close.repeat(99_999)].concat();
    let lists = nested(b"]", b"a");
    let tuples = [b")".to_vec(), nested(b"", b"\x85")].concat();
    let dicts = [b"}".to_vec(), nested(b"K\x00}", b"s")].concat();
    // Each step doubles a list by the memo.
    let bomb = [b"]q\x00".to_vec(), b"](h\x00h\x00h\x00h\x00h\x00h\x00h\x00h\x00eq\x00".repeat(40)].concat();
    // One tuple of many items is the arguments of many calls.
    let shared =
        [b"(".to_vec(), b"N".repeat(100_000), b"tq\x000".to_vec(), b"ctorch\nSize\nh\x00R0".repeat(20_000)]
            .concat();
    let liar = b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec();
    let long = b"\x8b\xff\xff\xff\x7f".to_vec();
    // A name and a list of sizes that are long and in many places.
    let name =
        [text(&"n".repeat(4 << 20)), b"q\x000}(".to_vec(), b"h\x00N".repeat(100_000), b"u".to_vec()].concat();
    let sizes = [
        b"(".to_vec(),
        b"K\x01".repeat(100_000),
        b"tq\x000](".to_vec(),
        b"h\x00".repeat(100_000),
        b"e".to_vec(),
    ];
    let sizes = sizes.concat();
    let too_long = "is longer than that of any network";
    let (no_dict, too_many) = ("holds no dictionary of tensors", "takes more steps than that of any network");
    for (body, words, in_tar) in [
        (lists, no_dict, no_dict),
        (tuples, no_dict, no_dict),
        (dicts, "nests more values than any network", "nests more values than any network"),
        (bomb, no_dict, no_dict),
        (name, "holds no tensors", "holds no tensors"),
        (sizes, no_dict, no_dict),
        (shared, too_long, too_long),
        (liar, too_long, too_long),
        (long, too_long, too_long),
        (b"]".repeat(400_000), no_dict, no_dict),
        (b"]".repeat(1_000_000), too_many, too_many),
    ] {
        let pickle = pickled(&body);
        for (file, words) in [
            (forge::zip(&pickle), words),
            (forge::legacy(&forge::little_endian(), &body, &[], &[]), words),
            (forge::tar_checkpoint(&pickle, 4, &[4], &[1], 0), in_tar),
        ] {
            let error = refusal(&file);
            assert!(error.contains(words), "{words}: {error}");
        }
        check_peak();
    }
    // A sparse member would unfold to any size: only plain ones are taken.
    let mut header = tar::Header::new_gnu();
    header.set_path("sys_info").unwrap();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_size(0);
    let gnu = header.as_gnu_mut().unwrap();
    gnu.sparse[0].offset = *b"40000000000\0";
    gnu.sparse[0].numbytes = *b"00000000000\0";
    gnu.realsize = *b"40000000000\0";
    header.set_cksum();
    let error = refusal(&[header.as_bytes(), &[0; 1024][..]].concat());
    assert!(error.starts_with("its tar member \"sys_info\" is no plain file"), "{error}");
    // A tensor of more dimensions than PyTorch has, many times over.
    let many = vec![1; 100_000];
    let deep = forge::zip(&weights(tensor("0", 8, 0, &many, &many)));
    assert!(refusal(&deep).contains("claims 100000 dimensions"), "{}", refusal(&deep));
    // The same storage a thousand times over is more than the file can mean.
    let many = (0..2000).map(|i| (format!("w.{i}"), tensor("0", 8, 0, &[8, 100], &[1, 0])));
    assert!(refusal(&forge::zip(&pickled(&dict(many)))).contains("they repeat elements"));
    check_peak();
}

/// A dictionary's attributes are not its items: Python keeps them apart, and so must we.
#[test]
fn attributes_of_a_dictionary_are_no_weights() {
    let other = dict([("conv1.weight".to_string(), tensor("1", 8, 0, &[4], &[2]))]);
    let body = [
        b"ccollections\nOrderedDict\n)R(".to_vec(),
        text("conv1.weight"),
        tensor("0", 8, 0, &[8], &[1]),
        b"u".to_vec(),
        other,
        b"b".to_vec(),
    ];
    let source = open_bytes(&forge::zip(&pickled(&body.concat()))).unwrap();
    assert_eq!(source.tensors["conv1.weight"].shape, [8]);
}

/// One dictionary under two names is the same both times.
#[test]
fn a_dictionary_may_be_in_two_places() {
    let state = dict([("conv1.weight".to_string(), tensor("0", 8, 0, &[8], &[1]))]);
    let body =
        [b"}(".to_vec(), text("epoch"), state, b"q\x05".to_vec(), text("state_dict"), b"h\x05u".to_vec()];
    let source = open_bytes(&forge::zip(&pickled(&body.concat()))).unwrap();
    assert!(source.notes[0].contains("\"state_dict\""), "{:?}", source.notes);
    assert_eq!(source.tensors.len(), 1);
}

/// A byte of a storage is another one than was saved.
#[test]
fn checksums_are_checked() {
    let mut spoilt = forge::zip(&weights(tensor("0", 8, 0, &[8], &[1])));
    let seven = 7f32.to_le_bytes();
    let at = spoilt.windows(4).position(|window| window == seven).unwrap();
    spoilt[at] ^= 1;
    let error = open_bytes(&spoilt).unwrap().tensors["conv1.weight"].values().unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
}

/// Extended headers of tar members: times and owners are skipped, names and sizes are not believed.
#[test]
fn extended_headers_of_a_tar_archive() {
    let pickle = pickled(&dict([("conv1.weight".to_string(), [text("9"), vec![b'Q']].concat())]));
    let plain = forge::tar_checkpoint(&pickle, 4, &[4], &[1], 0);
    let extended = |kind: u8, records: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_path("extended").unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(records.len() as u64);
        header.set_cksum();
        let mut records = records.to_vec();
        records.resize(records.len().next_multiple_of(512), 0);
        [header.as_bytes().to_vec(), records, plain.clone()].concat()
    };
    let times = b"20 atime=1480000.25\n20 mtime=1480000.25\n";
    for kind in *b"xg" {
        assert_eq!(open_bytes(&extended(kind, times)).unwrap().tensors.len(), 1);
        for records in
            [&b"11 size=99\n"[..], b"16 path=storages\n", b"22 GNU.sparse.major=1\n", b"no records"]
        {
            let error = refusal(&extended(kind, records));
            assert!(error.starts_with("its tar member \"extended\" is no plain file"), "{error}");
        }
        let long = extended(kind, &times.repeat(2000));
        assert!(
            refusal(&long).starts_with("its tar member \"extended\" is no plain file"),
            "{}",
            refusal(&long)
        );
    }
    for kind in *b"LK" {
        let error = refusal(&extended(kind, b"storages\0"));
        assert!(error.starts_with("its tar member \"extended\" is no plain file"), "{error}");
    }
}
