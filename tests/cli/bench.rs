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
    let parts = report["parts"].as_object().unwrap();
    assert!(parts.len() == 5 && parts.values().all(|ms| ms.as_f64().unwrap() >= 0.0), "{report}");
    assert!(number(&report, "/peak_bytes") > 1e6 && number(&report, "/softmax_loss") > 0.0, "{report}");
}

#[test]
fn json_on_standard_output_is_nothing_but_json() {
    let printed = succeed(&mut bench(bcreid(), &["--device", "cpu", "--steps", "1", "--json"]));
    serde_json::from_str::<Value>(&printed).unwrap_or_else(|error| panic!("{error}:\n{printed}"));
}

/// With the stand-ins of the CUDA libraries, which have no times worth looking at.
#[test]
fn plain_and_recorded_steps_of_a_device() {
    if bcreid::device::cuda::fatbin::embedded().is_err() {
        return println!("this build has no CUDA kernels");
    }
    let kernels = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let files = std::fs::read_dir(&kernels).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "cu"));
    let build = files.fold(softcuda::Build::new(env!("CARGO_TARGET_TMPDIR")), |build, file| build.file(file));
    let stand_ins = build.stand_ins().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut command =
        bench(bcreid(), &["--device", "cuda", "--batchnorm", "cudnn", "--steps", "1", "--force"]);
    command.arg("--json").arg(file.path());
    // The last word on a setting counts.
    command.args(["--set", "input.height=32", "--set", "solver.batch=4"]).envs(stand_ins.environment());
    let table = succeed(&mut command);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
    for path in
        ["/plain/median_ms", "/graph/median_ms", "/parts/assemble_ms", "/parts/optimizer_ms", "/held_bytes"]
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
    for words in ["f32, batch norm by cudnn: 32 x 32", "batch norm, us a layer", "all layers of a step"] {
        assert!(table.contains(words), "{words:?} is not in:\n{table}");
    }
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
    refused(&["--device", "cpu", "--precision", "bf16"], &["precision bf16 needs"]);
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
