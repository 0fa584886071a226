//! `bcreid bench`: its figures, and wrong input.

use crate::support::{TINY, bcreid, fail, stderr, succeed};
use serde_json::Value;
use std::process::Command;

/// The program with the tiny settings.
fn bench(mut command: Command, more: &[&str]) -> Command {
    command.args(["bench", "--classes", "10"]).args(more);
    for setting in TINY {
        command.args(["--set", setting]);
    }
    command
}

#[track_caller]
fn number(report: &Value, path: &str) -> f64 {
    report.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {report}"))
}

#[test]
fn a_tiny_network_on_the_cpu() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("figures.json");
    let table = succeed(bench(bcreid(), &["--device", "cpu", "--steps", "3"]).arg("--json").arg(&file));
    for word in ["the CPU, 1 threads", "64 x 32, batch 8, 10 classes", "plain", "backward", "Peak memory"] {
        assert!(table.contains(word), "{word:?} is not in:\n{table}");
    }
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(
        (&report["device"], &report["precision"], &report["batchnorm_by"], &report["graph"]),
        (&"cpu".into(), &"f32".into(), &"own".into(), &Value::Null)
    );
    assert_eq!(number(&report, "/config/solver/batch"), 8.0);
    let [median, fastest] = ["/plain/median_ms", "/plain/fastest_ms"].map(|path| number(&report, path));
    assert!(0.0 < fastest && fastest <= median, "{report}");
    assert!((number(&report, "/plain/images_per_second") * median / 8e3 - 1.0).abs() < 1e-9, "{report}");
    assert_eq!(report["batchnorm"], Value::Null, "there is one backend alone");
    assert_eq!((&report["parts_captured"], &report["work"]), (&false.into(), &Value::Null));
    let parts = report["parts"].as_object().unwrap();
    assert!(parts.len() == 5 && parts.values().all(|ms| ms.as_f64().unwrap() >= 0.0), "{report}");
    assert!(number(&report, "/peak_bytes") > 1e6 && number(&report, "/softmax_loss") > 0.0, "{report}");
}

#[test]
fn json_on_standard_output_is_nothing_but_json() {
    let printed = succeed(&mut bench(bcreid(), &["--device", "cpu", "--steps", "1", "--json"]));
    serde_json::from_str::<Value>(&printed).unwrap_or_else(|error| panic!("{error}:\n{printed}"));
}

/// The stand-ins of the CUDA libraries with all kernels; none for a build without kernels.
fn stand_ins() -> Option<softcuda::StandIns> {
    if bcreid::device::cuda::fatbin::embedded().is_err() {
        println!("this build has no CUDA kernels");
        return None;
    }
    let kernels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let files = std::fs::read_dir(&kernels).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "cu"));
    let build = files.fold(softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")), |build, file| build.file(file));
    Some(build.stand_ins().unwrap())
}

/// One timed step of each kind on the stand-ins, with these arguments and variables: the report, and what was printed.
fn on_stand_ins(
    stand_ins: &softcuda::StandIns,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (Value, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command = bench(bcreid(), &["--device", "cuda", "--force"]);
    command.arg("--json").arg(file.path());
    // The last word on a setting counts.
    command.args(["--set", "input.height=32", "--set", "solver.batch=4"]).envs(stand_ins.environment());
    let table = succeed(command.args(arguments).envs(variables.iter().copied()));
    (serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap(), table)
}

/// The rows of a list in the report.
fn rows<'a>(report: &'a Value, path: &str) -> &'a [Value] {
    report.pointer(path).and_then(Value::as_array).unwrap_or_else(|| panic!("{path} is no list in {report}"))
}

fn sum(rows: &[Value], path: &str) -> f64 {
    rows.iter().map(|row| number(row, path)).sum()
}

/// The times are not worth looking at, but for their sums.
#[test]
fn plain_and_recorded_steps_of_a_device() {
    let Some(stand_ins) = stand_ins() else { return };
    let (report, table) = on_stand_ins(&stand_ins, &["--batchnorm", "cudnn", "--steps", "1"], &[]);
    for path in
        ["/plain/median_ms", "/graph/median_ms", "/parts/assemble_ms", "/parts/backward_ms", "/held_bytes"]
    {
        assert!(number(&report, path) > 0.0, "{path} in {report}");
    }
    let [launches, nodes] = ["/plain/launches", "/graph/launches"].map(|path| number(&report, path));
    assert!(launches > 100.0 && nodes >= launches, "{launches} launches, {nodes} nodes");
    // Each layer of batch normalisation is among the kinds that are timed by both backends.
    assert_eq!(report["batchnorm_by"], "cudnn");
    let kinds = report["batchnorm"].as_array().unwrap();
    let layers: f64 = kinds.iter().map(|kind| number(kind, "/layers")).sum();
    let blocks: f64 =
        report["config"]["model"]["depths"].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).sum();
    // Three in each block, one in the projection of each stage's first block, one behind the first convolution.
    assert_eq!(layers, 3.0 * blocks + 4.0 + 1.0, "{kinds:?}");
    assert!(
        kinds.iter().any(|kind| kind["residual"] == true)
            && kinds.iter().any(|kind| kind["residual"] == false)
    );
    for kind in kinds {
        assert_eq!(kind["shape"][0], 4, "the batch");
        assert_eq!(kind["cudnn_persistent"], serde_json::json!([true, true]));
        for backend in ["own", "cudnn"] {
            assert!(number(kind, &format!("/{backend}/forward_us")) > 0.0, "{kind}");
            assert!(number(kind, &format!("/{backend}/backward_us")) >= 0.0, "{kind}");
        }
    }
    for words in [
        "f32, batch norm by cudnn: 32 x 32",
        "batch norm, us a layer",
        "all layers of a step",
        "part of a step, as a graph of its own",
        "sum of the parts",
        "measured: on softcuda (kernels on the host), one stream",
        "MB asked",
    ] {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }
}

/// Parts and kinds are the whole step: each launch belongs to one part and to one kind, and has a time.
#[test]
fn parts_and_kinds_add_up_to_the_step() {
    let Some(stand_ins) = stand_ins() else { return };
    let (report, _) = on_stand_ins(&stand_ins, &["--steps", "2"], &[]);
    assert_eq!((&report["parts_captured"], rows(&report, "/notes").len()), (&true.into(), 0));
    let (parts, kinds) = (rows(&report, "/work/parts"), rows(&report, "/work/kinds"));
    let launches = number(&report, "/work/total/launches");
    assert_eq!(launches, number(&report, "/graph/launches"), "the stand-ins' functions are one node each");
    assert_eq!([sum(parts, "/launches"), sum(kinds, "/launches")], [launches; 2]);
    let nodes = rows(&report, "/work/part_nodes");
    assert_eq!(nodes.len(), 5);
    for (part, nodes) in parts.iter().zip(nodes) {
        assert_eq!(part["launches"], *nodes, "{part}");
    }
    for name in ["assemble", "forward", "backward", "center_step", "optimizer"] {
        let row = parts.iter().find(|row| row["name"] == name.replace('_', " ").as_str()).unwrap();
        let ms = number(&report, &format!("/parts/{name}_ms"));
        let has_work = number(row, "/launches") > 0.0;
        assert!(ms > 0.0 || !has_work, "{row}");
        assert!((number(row, "/measured_us") - 1e3 * ms).abs() <= 1e-6 * ms, "{row}");
        // Without an average, nothing is left of the optimiser behind the backward pass.
        assert_eq!(has_work, name != "optimizer", "{row}");
    }
    // Work on the stand-ins takes time, and no kind is without.
    for row in kinds {
        assert!(number(row, "/measured_us") >= 0.0 && number(row, "/model_us") > 0.0, "{row}");
    }
    let [one_stream, with_events, event] = ["one_stream_us", "with_events_us", "event_us"]
        .map(|name| number(&report, &format!("/work/events/{name}")));
    assert!((0.0..with_events).contains(&event), "{report}");
    assert_eq!(one_stream, number(&report, "/work/total/measured_us"));
    // Less than nothing is left of no kind.
    let (least, all) = (with_events - launches * event, sum(kinds, "/measured_us"));
    assert!((0.999 * least..1.001 * with_events).contains(&all), "{all} of {report}");
}

/// Replays of parts and of timed graphs are steps of the training run: the loss behind them is that of plain steps.
#[test]
fn timing_parts_and_kinds_does_not_change_the_bits_of_a_step() {
    let Some(stand_ins) = stand_ins() else { return };
    let (captured, _) = on_stand_ins(&stand_ins, &["--steps", "1"], &[]);
    let steps_run = number(&captured, "/steps_run");
    // Of plain steps there are ten for the warm-up, and one whose launches are counted.
    let steps = (steps_run - 11.0).to_string();
    let (plain, _) = on_stand_ins(&stand_ins, &["--no-graph", "--steps", &steps], &[]);
    assert_eq!(plain["steps_run"], captured["steps_run"]);
    assert_eq!(plain["softmax_loss"], captured["softmax_loss"]);
    assert_eq!((&plain["parts_captured"], &plain["work"]["events"]), (&false.into(), &Value::Null));
}

/// The stand-ins count what the kernels of this program ask for.
#[test]
fn bytes_that_kernels_ask_for() {
    let Some(stand_ins) = stand_ins() else { return };
    let asked = |report: &Value, name: &str| {
        let kinds = rows(report, "/work/kinds").iter();
        let mut rows = kinds.filter(|row| row["name"].as_str().unwrap().starts_with(name));
        let row = rows.next().unwrap_or_else(|| panic!("no {name}"));
        (row["asked_bytes"].as_f64(), number(row, "/bytes"))
    };
    let (report, _) = on_stand_ins(&stand_ins, &["--no-graph", "--steps", "1"], &[]);
    let (sum, arguments) = asked(&report, "add_forward");
    assert_eq!(sum, Some(arguments), "each element of two inputs and the output once");
    // Weight, gradient and velocity are read, weight and velocity written: 20 bytes a parameter instead of 12; and each
    // thread reads its segment.
    let (sgd, arguments) = asked(&report, "sgd_");
    let share = sgd.expect("it ran") / (arguments * 20.0 / 12.0);
    assert!((1.0..1.3).contains(&share), "{share}");
    assert!(asked(&report, "batchnorm_forward").0 > Some(0.0));
    assert_eq!(asked(&report, "convolution forward").0, None, "by a library");
    let (report, _) = on_stand_ins(&stand_ins, &["--no-graph", "--steps", "1"], &[("SOFTCUDA_IDLE", "1")]);
    assert_eq!(asked(&report, "sgd_").0, None, "nothing ran");
}

/// Where parts or kinds cannot be captured, one line says so, and the rest is timed.
#[test]
fn what_cannot_be_timed_is_said() {
    let Some(stand_ins) = stand_ins() else { return };
    let noted = |status: &str| {
        let (report, table) = on_stand_ins(&stand_ins, &["--steps", "1"], &[("SOFTCUDA_STATUS", status)]);
        let notes: Vec<String> =
            rows(&report, "/notes").iter().map(|note| note.as_str().unwrap().to_string()).collect();
        for note in &notes {
            assert!(table.contains(&format!("Note: {note}")), "{note} is not in:\n{table}");
        }
        (report, notes)
    };
    // An old driver without events in graphs.
    let (report, notes) = noted("cuEventRecordWithFlags=801");
    assert!(notes.len() == 1 && notes[0].contains("kinds of work are not timed"), "{notes:?}");
    assert_eq!((&report["parts_captured"], &report["work"]["events"]), (&true.into(), &Value::Null));
    // The whole step is captured, and nothing else.
    let (report, notes) = noted("cuStreamBeginCapture_v2=913@2");
    assert!(notes.len() == 3 && notes[0].contains("parts are those of plain steps"), "{notes:?}");
    assert!(notes.iter().all(|note| note.contains("913")), "{notes:?}");
    assert_eq!((&report["parts_captured"], &report["work"]["part_nodes"]), (&false.into(), &Value::Null));
    assert!(number(&report, "/parts/forward_ms") > 0.0 && number(&report, "/graph/median_ms") > 0.0);
}

#[test]
fn wrong_input_is_named() {
    let refused = |more: &[&str], words: &[&str]| {
        let error = fail(bcreid().arg("bench").args(more));
        assert!(words.iter().all(|word| error.contains(word)), "{more:?}: {error}");
    };
    refused(&["--steps", "0"], &["--steps 0", "1 to"]);
    refused(&["--classes", "1"], &["--classes 1", "2 to"]);
    refused(&["--set", "solver.bach=4"], &["solver.bach", "solver.batch"]);
    refused(&["--json", "no/such/folder/x.json"], &["no/such/folder", "does not exist"]);
    refused(&["--device", "cpu", "--precision", "tf32"], &["precision tf32 needs"]);
    let by_cudnn = ["batch norm by cudnn needs a CUDA device", "give --batchnorm own"];
    refused(&["--device", "cpu", "--batchnorm", "cudnn"], &by_cudnn);
    let output = bcreid().args(["bench", "--batchnorm", "fast"]).output().unwrap();
    let said = stderr(&output);
    assert!(
        !output.status.success() && ["fast", "own", "cudnn"].iter().all(|word| said.contains(word)),
        "{said}"
    );
    let output = bcreid().args(["bench", "--steps", "many"]).output().unwrap();
    assert!(!output.status.success() && stderr(&output).contains("many"));
}
