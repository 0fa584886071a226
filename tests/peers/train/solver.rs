//! Optimisers, schedules, groups of parameters and averages of weights.

use super::{EXACT, agrees, agrees_with, script, torch, with_set};

/// Largest difference of a state of an optimiser, as a share of the length of the whole tensor: three times what was
/// measured, by the rounding of PyTorch's f32 (AdamW) or of this program's (SGD, beside PyTorch in f64).
const STATES: &str = "1.2e-1";
const STATES_EXACT: &str = "4e-2";

/// Adam, AMSGrad and AdamW: the losses, and the means and mean squares in the checkpoint beside PyTorch's own.
#[test]
fn pytorch_makes_the_same_steps_with_adam() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    for (name, settings, states, more) in [
        ("sgd", &[][..], &["momentum"][..], &[][..]),
        ("adam", &["solver.optimizer=adam"], &["exp_avg", "exp_avg_sq"], &[]),
        ("amsgrad", &["solver.optimizer=amsgrad"], &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"], &[]),
        (
            "constants",
            &["solver.optimizer=amsgrad", "solver.beta2=0.9", "solver.epsilon=1e-3", "solver.head_rate=3"],
            &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
            EXACT,
        ),
        (
            "adamw",
            &["solver.optimizer=adamw", "solver.weight_decay=0.05", "solver.lr_warmup=4"],
            &["exp_avg", "exp_avg_sq"],
            &[],
        ),
    ] {
        let more = [&["--check-states", STATES], more].concat();
        let lines = agrees_with(&python, folder, name, settings, &more);
        let kinds: Vec<&str> = lines.iter().filter_map(|line| line.split('/').next()).collect();
        assert_eq!(kinds, states, "{lines:?}");
    }
    // Other steps are noticed: the settings of one run, the states of another.
    let [plain, other] = ["adam", "adamw"].map(|name| folder.join(name).join("checkpoints"));
    let (first, last) = ("step_0000000000.safetensors", "step_0000000020.safetensors");
    let mixed = folder.join("mixed/checkpoints");
    std::fs::create_dir_all(&mixed).unwrap();
    std::fs::copy(plain.join(first), mixed.join(first)).unwrap();
    std::fs::copy(other.join(last), mixed.join(last)).unwrap();
    let images = folder.join("adam.safetensors");
    let output =
        script(&python, &folder.join("mixed"), &images, &["--check-states", STATES]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("exp_avg") && said.contains("more than"), "{said}");
}

#[test]
fn pytorch_has_the_same_schedules_and_factors() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    let freeze = [
        r#"solver.freeze=["conv1.*", "bn1.*", "layer*", "!layer4.*", "embedding.*"]"#,
        "solver.freeze_iterations=8",
        "model.embedding=[16]",
        "model.embedding_batchnorm=true",
    ];
    for (name, settings) in [
        ("nesterov", &["solver.nesterov=true"][..]),
        (
            "cosine",
            &[
                "solver.schedule=cosine",
                "solver.lr=1e-4",
                "solver.lr_end=1e-6",
                "solver.lr_flat=5",
                "solver.lr_warmup=4",
                "solver.lr_warmup_start=0.2",
            ],
        ),
        ("exponential", &["solver.schedule=exponential", "solver.lr=1e-4", "solver.lr_flat=5"]),
        (
            "factors",
            &[
                r#"solver.lr_factors={ "layer1.*" = 0.1, "*.bias" = 2, "conv1.weight" = 0 }"#,
                r#"solver.decay_factors={ "*bn*" = 0, "fc.*" = 20 }"#,
                "solver.weight_decay=0.05",
                "solver.head_rate=3",
            ],
        ),
        ("freeze", &freeze),
    ] {
        agrees(&python, folder, name, settings);
    }
}

/// Parameters that are trained later have states of their own, counted from their first step; the average of the
/// weights is PyTorch's.
#[test]
fn pytorch_has_the_same_states_behind_a_freeze_and_the_same_average() {
    let Some(python) = torch() else { return };
    let folder = with_set();
    let folder = folder.path();
    let freeze = [
        r#"solver.freeze=["conv1.*", "bn1.*", "layer1.*"]"#,
        "solver.freeze_iterations=8",
        r#"solver.lr_factors={ "layer2.*" = 0.1 }"#,
        "solver.ema=0.9",
    ];
    for (kind, states) in [
        ("sgd", &["momentum", "ema"][..]),
        ("adam", &["exp_avg", "exp_avg_sq", "ema"]),
        ("adamw", &["exp_avg", "exp_avg_sq", "ema"]),
    ] {
        let optimizer = format!("solver.optimizer={kind}");
        let settings = [&freeze[..], &[&optimizer]].concat();
        let more = [&["--check-states", STATES_EXACT], EXACT].concat();
        let lines = agrees_with(&python, folder, kind, &settings, &more);
        let kinds: Vec<&str> = lines.iter().filter_map(|line| line.split('/').next()).collect();
        assert_eq!(kinds, states, "{lines:?}");
    }
}
