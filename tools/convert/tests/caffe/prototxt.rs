//! A `.caffemodel` with its prototxt: what the text supplies, what it may not contradict, and texts that are none.

use crate::nets::{Kind, Layer, Net, Setting};
use crate::on_disk;
use crate::wired::assert_mapped;
use bcreid::config::Wiring;
use bcreid_convert::caffe::Model;
use bcreid_convert::source::{Asked, Source};
use proptest::prelude::*;

/// Opens a model with a prototxt.
pub fn open_with(model: &[u8], text: &[u8]) -> Result<Source, String> {
    on_disk(model, |path| {
        let prototxt = path.with_file_name("some.prototxt");
        std::fs::write(&prototxt, text).unwrap();
        // The harness requires the model's name in every error; here it may be the prototxt's name.
        Model::open(path, Some(&prototxt)).and_then(|model| model.source(Asked::default())).map_err(|error| {
            let text = error.to_string().replace("some.prototxt: ", "some.caffemodel: the prototxt ");
            bcreid::Error::Data(text)
        })
    })
}

#[track_caller]
pub fn refused_with(model: &[u8], text: &str, words: &[&str]) {
    let error = open_with(model, text.as_bytes()).expect_err("it was opened");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

#[test]
fn a_model_without_wires_takes_them_from_its_prototxt() {
    for kind in [
        Kind::default(),
        Kind { bottleneck: false, torchvision: true, stem: 4, ..Kind::default() },
        Kind { biases: true, scales: false, shortcut_first: false, in_place: false, ..Kind::default() },
    ] {
        let net = Net::new(kind);
        assert!(crate::open(&net.unwired()).unwrap_err().contains("--prototxt"));
        let model = assert_mapped(&open_with(&net.unwired(), net.text().as_bytes()).unwrap(), &net);
        assert_eq!(model.wiring == Wiring::Torchvision, kind.torchvision);
    }
}

#[test]
fn other_names_of_blobs_and_other_splits_are_no_contradiction() {
    let plain = Net::new(Kind::default());
    let split = Net::new(Kind { splits: true, ..Kind::default() });
    let apart = Net::new(Kind { in_place: false, ..Kind::default() });
    for (model, text) in [(&split, &plain), (&plain, &split), (&apart, &plain), (&plain, &apart)] {
        assert_mapped(&open_with(&model.model(), text.text().as_bytes()).unwrap(), model);
    }
    // The file of a net in training: other data, a loss.
    let mut trained =
        plain.clone().insert(None, Layer::new("loss", "SoftmaxWithLoss", &["who", "label"], "loss"));
    trained.layers[0].kind = "Data";
    trained.layers[0].tops.push("label".into());
    let used = plain.clone().insert(None, Layer::new("loss", "Softmax", &["who"], "prob"));
    assert_mapped(&open_with(&trained.model(), used.text().as_bytes()).unwrap(), &plain);
}

#[test]
fn what_contradicts_the_file_is_an_error() {
    let net = Net::new(Kind::default());
    let model = net.model();
    let text = |change: &dyn Fn(Net) -> Net| change(net.clone()).text();
    let set =
        |name: &'static str, key, value| text(&move |net| net.with(name, |layer| layer.set(key, value)));
    let stride = set("s1b0/main1", "stride", Setting::Whole(1));
    refused_with(
        &model,
        &stride,
        &["\"s1b0/main1\"", "stride [2, 2] in the file and [1, 1] in the prototxt"],
    );
    let pool = set("shrink", "pad", Setting::Whole(1));
    refused_with(&model, &pool, &["\"shrink\"", "pad [0, 0] in the file and [1, 1] in the prototxt"]);
    let eps = set("first/norm", "eps", Setting::Real(1e-3));
    refused_with(&model, &eps, &["\"first/norm\"", "epsilon 1e-5 in the file and 1e-3 in the prototxt"]);
    let slope = set("s1b0/out", "negative_slope", Setting::Real(0.5));
    refused_with(&model, &slope, &["slope below 0 0 in the file and 0.5 in the prototxt"]);
    let outputs = set("first", "num_output", Setting::Whole(7));
    refused_with(&model, &outputs, &["first has weights [2, 3, 7, 7]", "state 7 outputs"]);
    let kind = text(&|net| net.with("s1b0/main2/norm", |layer| layer.kind = "Scale"));
    refused_with(
        &model,
        &kind,
        &["\"s1b0/main2/norm\" of type \"BatchNorm\" is of type \"Scale\" in the prototxt"],
    );
    let wires = text(&|net| net.with("s1b1/main1", |layer| layer.bottoms = vec!["s0b0/sum".into()]));
    refused_with(
        &model,
        &wires,
        &["\"s1b1/main1\"", "output of \"s1b0/out\" in the file and of \"s0b0/out\" in the prototxt"],
    );
    let less = text(&|net| net.without("s1b0/main2/gain"));
    refused_with(&model, &less, &["\"s1b0/main2/gain\"", "does not occur in the prototxt"]);
    let renamed = text(&|net| net.with("s1b0/main2/gain", |layer| layer.name = "gain".into()));
    refused_with(&model, &renamed, &["\"s1b0/main2/gain\"", "does not occur in the prototxt"]);
    let more = text(&|net| net.insert(Some("shrink"), Layer::new("more", "Scale", &["first"], "first")));
    let without = net.unwired();
    refused_with(&without, &more, &["layer \"more\" of type \"Scale\"", "follows \"first\""]);
    let twice = format!("{}{}", net.text(), "layer { name: \"first\" }");
    refused_with(&model, &twice, &["two layers called \"first\""]);
}

#[test]
fn pixels_of_the_text_are_taken_and_those_of_the_file_not_contradicted() {
    let net = Net::new(Kind::default());
    let stated = |mean: &str| {
        let data = format!("type: \"Data\" transform_param {{ mean_value: [{mean}] crop_size: 224 }}");
        net.text().replace("type: \"Input\"", &data)
    };
    let source = open_with(&net.model(), stated("104, 117, 123").as_bytes()).unwrap();
    assert_eq!((source.input.mean, source.states_input), ([104.0, 117.0, 123.0], true));
    assert!(!open_with(&net.model(), net.text().as_bytes()).unwrap().states_input);
    use crate::proto::{data, layer, real};
    let means: Vec<u8> = [1.0, 2.0, 3.0].iter().flat_map(|mean| real(5, *mean)).collect();
    let file = [layer("train", "Data", &[], &data(100, means)), net.model()].concat();
    assert_eq!(open_with(&file, net.text().as_bytes()).unwrap().input.mean, [1.0, 2.0, 3.0]);
    open_with(&file, stated("1, 2, 3").as_bytes()).unwrap();
    refused_with(&file, &stated("1, 2, 4"), &["states another mean or scale than \"train\" of the file"]);
}

/// A train_val.prototxt: the data layers of both phases, in either order, and the file saved in training.
#[test]
fn pixels_of_phase_test_are_those_of_the_text() {
    use crate::proto::{data, integer, layer, real};
    let net = Net::new(Kind::default());
    let of = |phase: &str, mean: &str| {
        format!(
            "layer {{ name: \"pictures\" type: \"Data\" top: \"pictures\" include {{ phase: {phase} }} \
             transform_param {{ mean_value: [{mean}] }} }}\n"
        )
    };
    let (train, test) = (of("TRAIN", "1, 2, 3"), of("TEST", "4, 5, 6"));
    let without = net.text().replacen(
        "layer {\n  name: \"pictures\"\n  type: \"Input\"\n  top: \"pictures\"\n}\n",
        "",
        1,
    );
    let trained: Vec<u8> = [1.0, 2.0, 3.0].iter().flat_map(|mean| real(5, *mean)).collect();
    let trained =
        [layer("pictures", "Data", &[], &[integer(10, 0), data(100, trained)].concat()), net.model()]
            .concat();
    for text in [format!("{train}{test}{without}"), format!("{test}{train}{without}")] {
        for model in [net.unwired(), trained.clone()] {
            let source = open_with(&model, text.as_bytes()).unwrap();
            assert_eq!(source.input.mean, [4.0, 5.0, 6.0]);
            assert!(source.notes.iter().any(|note| note.contains("of phase TRAIN")), "{:?}", source.notes);
        }
    }
    let source = open_with(&net.unwired(), format!("{train}{}", net.text()).as_bytes()).unwrap();
    assert_eq!(source.input.mean, [1.0, 2.0, 3.0]);
    // The layer of phase TEST leaves pixels as they are, and says so by silence.
    for silent in [test.replace("mean_value: [4, 5, 6]", "crop_size: 224"), {
        let (start, _) = test.split_once("transform_param").unwrap();
        format!("{start} }}\n")
    }] {
        for text in [format!("{train}{silent}{without}"), format!("{silent}{train}{without}")] {
            for model in [net.unwired(), trained.clone()] {
                let source = open_with(&model, text.as_bytes()).unwrap();
                assert_eq!((source.input.mean, source.input.std), ([0.0; 3], [1.0; 3]));
                assert!(
                    source.notes.iter().any(|note| note.contains("of phase TRAIN")),
                    "{:?}",
                    source.notes
                );
            }
        }
        let source = open_with(&net.unwired(), format!("{silent}{without}").as_bytes()).unwrap();
        assert!(!source.states_input);
    }
}

#[test]
fn layers_of_training_alone_are_left_out() {
    let net = Net::new(Kind::default());
    let train = "layer { name: \"pictures\" type: \"Data\" top: \"pictures\" include { phase: TRAIN } }";
    let staged = "layer { name: \"s\" type: \"X\" bottom: \"pictures\" top: \"pictures\" include { stage: 'deploy' } }";
    let excluded =
        "layer { name: \"e\" type: \"X\" bottom: \"pictures\" top: \"pictures\" exclude { phase: TEST } }";
    let test = net.text().replace("type: \"Input\"", "type: \"Data\" include: < phase: TEST >");
    for text in [
        format!("{train}{test}"),
        test.replacen(
            "layer {\n  name: \"first\"",
            &format!("{staged}{excluded}layer {{\n  name: \"first\""),
            1,
        ),
    ] {
        assert_mapped(&open_with(&net.model(), text.as_bytes()).unwrap(), &net);
    }
    let both = format!("{}{test}", train.replace("TRAIN", "TEST"));
    refused_with(&net.model(), &both, &["two layers called \"pictures\""]);
}

#[test]
fn the_format_is_read_as_protobuf_writes_and_people_type_it() {
    let net = Net::new(Kind::default());
    let text = net.text();
    for (what, from, to) in [
        ("brackets", "pooling_param {", "pooling_param <"),
        ("a colon", "pooling_param {", "pooling_param: {"),
        (
            "unknown fields",
            "type: \"Eltwise\"",
            "type: \"Eltwise\" mine { a: [1, {b: 'x'}] [c.d/e]: <f: -2> } phase: TEST",
        ),
        ("a list", "bottom: \"mean\"", "bottom: [\"mean\"]"),
        ("pieces", "bottom: \"mean\"", "bottom: \"me\" # comment\n 'a\\x6e'"),
        ("escapes", "name: \"who\"", "name: \"w\\150o\""),
        ("separators", "  top: \"who\"", "  top: \"who\",;".trim_end_matches(';')),
        ("hexadecimal", "kernel_size: 3", "kernel_size: 0x3"),
        ("octal", "kernel_size: 3", "kernel_size: 03"),
        ("carriage returns", "\n", "\r\n"),
        ("a byte order mark", "name: \"made up\"", "\u{feff}name: \"made up\""),
        ("other letters", "# by a test", "# \u{4e2d}\u{6587}"),
    ] {
        let mut changed = text.replace(from, to);
        if what == "brackets" {
            changed = changed
                .replace("round_mode: CEIL }", "round_mode: CEIL >")
                .replace("global_pooling: true }", "global_pooling: true >");
        }
        assert_ne!(changed, text, "{what}");
        let source = open_with(&net.model(), changed.as_bytes());
        assert_mapped(&source.unwrap_or_else(|error| panic!("{what}: {error}")), &net);
    }
}

#[test]
fn the_older_form_is_read_as_well() {
    let net = Net::new(Kind::default());
    let v1 = "input: 'x' input_dim: 1 input_dim: 3 input_dim: 64 input_dim: 64
        layers { name: 'c' type: CONVOLUTION bottom: 'x' top: 'c' convolution_param { stride: 2 } }
        layers { name: 'p' type: POOLING bottom: 'c' top: 'p' pooling_param { pool: AVE } }";
    // Such nets have no batch norm, but the error still names their kind.
    refused_with(&net.unwired(), v1, &["does not occur in the prototxt"]);
    let model = crate::proto::layer("c", "Convolution", &[crate::proto::ramp(&[1, 3, 7, 7])], &[]);
    refused_with(
        &model,
        v1,
        &[
            "layer \"c\" of type \"Convolution\" has no BatchNorm behind it, but layer \"p\" of type \"Pooling\"",
        ],
    );
    refused_with(
        &model,
        "layers { type: 'Convolution' }",
        &["type is the string \"Convolution\"", "older form"],
    );
}

#[test]
fn texts_that_are_no_prototxt_are_refused_by_line() {
    let model = Net::new(Kind::default()).unwired();
    for (text, words) in [
        ("", &["it has no layers"][..]),
        ("net: \"train.prototxt\"\nbase_lr: 0.1", &["it has no layers"]),
        ("layer {\n  name: \"a\"\n", &["line 3", "the end of the text"]),
        ("layer {\n}\n}", &["line 3", "'}'"]),
        ("layer {\n name \"a\" }", &["line 2", "follows \"name\""]),
        ("layer { name: a }", &["line 1", "name is \"a\"; a string in quotes"]),
        ("layer { name: \"a\n\" }", &["a string does not end on its line"]),
        ("layer { name: \"\\q\" }", &["escape \\q"]),
        ("layer { name: \"\\777\" }", &["escape that is no byte"]),
        ("layer { name: \"a\" name: \"b\" }", &["name stands twice"]),
        ("layer { name: [\"a\"] }", &["\"name\" takes one value"]),
        ("layer { bottom: [\"a\" \"b\" 1] }", &["stands in a list"]),
        ("layer { name { } }", &["\"name\" takes a value"]),
        ("layer: 3", &["layer is \"3\"; a message in braces"]),
        ("layer { pooling_param { pool: MEDIAN } }", &["pool is \"MEDIAN\"; MAX or AVE or STOCHASTIC"]),
        ("layer { pooling_param { pad: -1 } }", &["pad is \"-1\"; a whole number"]),
        ("layer { pooling_param { pad: 1.5 } }", &["pad is \"1.5\""]),
        ("layer { pooling_param { pad: 99999999999999999999 } }", &["a whole number"]),
        ("layer { pooling_param { global_pooling: yes } }", &["true or false"]),
        ("layer { batch_norm_param { eps: small } }", &["eps is \"small\"; a number"]),
        ("layer { name: }", &["'}' stands where a value"]),
        ("layer { name: \"\\377\" }", &["is no text"]),
        ("layer { a: [ }", &["'}' stands where a value"]),
        ("\u{7}", &["has no meaning here"]),
        ("<html>", &["'<' stands where the name of a field"]),
        ("layer { transform_param { mean_value: [1, 2] } }", &["2 mean values"]),
    ] {
        refused_with(&model, text, words);
        refused_with(&model, text, &["is no prototxt of Caffe"]);
    }
}

#[test]
fn hostile_texts_are_bounded() {
    let model = Net::new(Kind::default()).unwired();
    refused_with(&model, &"a {".repeat(100_000), &["more than 20 deep"]);
    refused_with(&model, &format!("{}{}", "a: [{ ".repeat(50), "}]".repeat(50)), &["more than 20 deep"]);
    refused_with(&model, &"#".repeat((4 << 20) + 1), &["more than 4194304 bytes"]);
    refused_with(&model, &"layer { name: 'a' } ".repeat(20_001), &["more than 20000 layers"]);
    let wires = format!("layer {{ name: 'a' {} }}", "bottom: 'x' ".repeat(20_001));
    refused_with(&model, &wires, &["more than 20000 wires"]);
    let name = format!("layer {{ name: '{}' }}", "x".repeat(1 << 20));
    refused_with(&model, &name, &["does not occur in the prototxt"]);
    let strides = format!("layer {{ convolution_param {{ {} }} }}", "stride: 1 ".repeat(10_000));
    refused_with(&model, &strides, &["convolution_param takes"]);
}

/// The fuzzers' seeds are worth something only if they get far.
#[test]
fn the_seeds_of_the_fuzzers_are_networks() {
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    let read = |name: &str| std::fs::read(seeds.join(name)).unwrap();
    let (model, text) = (read("caffemodel/wired"), read("prototxt/resnet"));
    for source in [crate::open(&model).unwrap(), open_with(&model, &text).unwrap()] {
        let path = std::path::Path::new("wired");
        let network =
            bcreid_convert::network::recognise(&source, path, bcreid_convert::network::Unseen::of(&source));
        assert_eq!(network.unwrap().config.model.width, Some(1));
    }
    let older = String::from_utf8(read("prototxt/older")).unwrap();
    let conv1 = crate::proto::layer("conv1", "", &[crate::proto::ramp(&[64, 3, 7, 7])], &[]);
    refused_with(
        &conv1,
        &older,
        &["layer \"conv1\" of type \"Convolution\" has no BatchNorm behind it, but layer \"pool5\""],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_spoilt_text_is_read_or_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..6),
    ) {
        let net = Net::new(Kind { depths: [1; 4], ..Kind::default() });
        let mut text = net.text().into_bytes();
        for (at, value, how) in changes {
            let at = at.index(text.len());
            match how {
                0 => text[at] = value,
                1 => text.insert(at, value),
                _ => { text.remove(at); }
            }
        }
        let _ = open_with(&net.model(), &text);
    }
}
