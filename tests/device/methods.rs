//! The step of every built-in recipe on a CUDA device can be captured.

use crate::support::{f32, stand_ins, succeed};
use bcreid::config::{Config, RECIPES};
use serde_json::Value;

/// Settings under which a step of any recipe takes a tenth of a second on the stand-ins.
pub const TINY: &[&str] = &[
    "model.arch=slim",
    "model.width=8",
    "model.depths=[1, 1, 1, 1]",
    "input.height=32",
    "input.width=32",
    "solver.batch=4",
    "data.pk_images=2",
];

#[test]
fn the_step_of_every_recipe_is_captured() {
    let Some(stand_ins) = stand_ins() else { return };
    for recipe in RECIPES {
        let mut bench = f32(stand_ins).bcreid("bench");
        bench.args(["--config", recipe.name, "--classes", "6", "--steps", "1", "--json"]);
        // Other tests compute the losses; capturing needs no result.
        bench.env("SOFTCUDA_IDLE", "1");
        bench.args(TINY.iter().flat_map(|setting| ["--set", setting]));
        let config = Config::resolve_text(recipe.text, &[]).unwrap();
        if config.data.resize.is_some() {
            bench.args(["--set", "data.resize=[36, 36]"]);
        }
        let report: Value = serde_json::from_str(&succeed(&mut bench)).unwrap();
        let number =
            |path: &str| report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}"));
        let (launches, nodes) = (number("/plain/launches"), number("/graph/launches"));
        println!("{}: {launches} launches, {nodes} nodes a step", recipe.name);
        assert!(launches > 100 && nodes >= launches, "{}: {launches} launches, {nodes} nodes", recipe.name);
        let loss = report["softmax_loss"].as_f64().unwrap();
        assert!(loss.is_finite(), "{}: {loss}", recipe.name);
    }
}
