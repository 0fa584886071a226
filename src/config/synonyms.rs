//! The names that other programs give to our settings: PyTorch, Caffe, torchreid, fast-reid, open-reid.

/// The answer to another program's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The setting with this meaning.
    Key(&'static str),
    /// No setting has this meaning; a sentence about what has.
    Advice(&'static str),
}

use Answer::{Advice, Key};

const EPOCHS: Answer = Advice(
    "training counts steps, not epochs: set solver.iterations to epochs x training images / solver.batch",
);
/// fast-reid's `SOLVER.STEPS` are milestones.
const STEPS: Answer = Advice(
    "solver.iterations is the number of steps, solver.lr_milestones the steps at which the learning rate drops",
);
const DEVICE: Answer = Advice("the device is no setting: give --device");
const PRECISION: Answer = Advice("the precision is no setting: give --precision");
const WEIGHTS: Answer = Advice("initial weights are no setting: give --weights");
const OUT: Answer = Advice("the run folder is no setting: give --out");
const DATA: Answer = Advice("the data set is no setting: give --data DIR, or several");
const EVAL: Answer = Advice("evaluation has no settings: bcreid eval --help lists its options");
/// fast-reid evaluates the feature before or after the neck.
const NECK_FEATURE: Answer = Advice(
    "evaluation takes the feature behind the neck; loss.batch_contrastive.feature is the one that the loss takes",
);
const TRANSFORMS: Answer = Advice(
    "the transforms are settings of their own: data.flip, data.crop, data.pad, data.resize, data.erase, \
     data.brightness",
);
const LOSSES: Answer = Advice(
    "losses have no names in the settings: each has a weight, such as loss.triplet.weight, and 0 leaves it out",
);
const TEST_BATCH: Answer = Advice("evaluation has no settings: bcreid eval takes --batch N");
const JITTER: Answer = Advice("colour jitter is data.brightness, data.contrast and data.saturation");

const MARGIN: Answer = Advice(
    "a margin belongs to a loss: loss.batch_contrastive.tau, loss.triplet.margin, loss.circle.margin, or \
     loss.contrastive.negative",
);

/// Names in lower case, with `_` for `-`; without their section, or with it where the name alone says too little.
const NAMES: &[(&[&str], Answer)] = &[
    (&["learning_rate", "base_lr", "init_lr", "lr0", "rate"], Key("solver.lr")),
    (&["batch_size", "ims_per_batch", "train_batch_size", "bs"], Key("solver.batch")),
    (&["max_iter", "max_iters", "max_steps", "num_steps", "iters"], Key("solver.iterations")),
    (&["steps"], STEPS),
    (&["epoch", "epochs", "max_epoch", "max_epochs", "num_epochs"], EPOCHS),
    (&["gamma", "lr_decay", "decay_rate", "lr_factor"], Key("solver.lr_gamma")),
    (
        &["stepsize", "step_size", "stepvalue", "step_value", "milestones", "lr_steps", "lr_drops"],
        Key("solver.lr_milestones"),
    ),
    (&["warmup", "warmup_iters", "warmup_steps", "warmup_epochs"], Key("solver.lr_warmup")),
    (&["wd", "l2"], Key("solver.weight_decay")),
    (
        &["optimiser", "optim", "opt", "adam", "sgd", "solver.type", "adamw", "amsgrad"],
        Key("solver.optimizer"),
    ),
    (&["momentum2", "adam_beta2"], Key("solver.beta2")),
    (&["adam_beta1"], Key("solver.beta1")),
    (&["eps", "delta", "adam_eps"], Key("solver.epsilon")),
    (&["sched", "lr_scheduler", "scheduler", "lr_policy"], Key("solver.schedule")),
    (&["delay_epochs", "delay_iters"], Key("solver.lr_flat")),
    (&["eta_min_lr", "eta_min", "min_lr", "end_lr"], Key("solver.lr_end")),
    (&["warmup_factor", "warmup_ratio"], Key("solver.lr_warmup_start")),
    (&["new_layer_lr", "base_lr_mult", "heads_lr_factor"], Key("solver.head_rate")),
    (&["lr_mult", "bias_lr_factor", "staged_lr", "param_groups"], Key("solver.lr_factors")),
    (&["decay_mult", "weight_decay_bias", "weight_decay_norm"], Key("solver.decay_factors")),
    (&["freeze_layers", "open_layers", "frozen_stages"], Key("solver.freeze")),
    (&["freeze_iters", "fixbase_epoch", "fixbase"], Key("solver.freeze_iterations")),
    (&["ema_decay", "model_ema", "model_ema_decay", "averaging_decay"], Key("solver.ema")),
    (&["bn_momentum"], Key("solver.batchnorm_momentum")),
    (&["freeze_bn"], Key("solver.batchnorm")),
    (&["sync_bn", "sync_batchnorm", "syncbn"], Key("solver.batchnorm_scope")),
    (&["margin"], MARGIN),
    (&["loss.name", "losses.name"], LOSSES),
    (&["test.batch_size", "test.ims_per_batch"], TEST_BATCH),
    (&["tri.margin"], Key("loss.triplet.margin")),
    (&["weight_t", "tri.scale"], Key("loss.triplet.weight")),
    (&["hard_mining", "weight_regularized_triplet"], Key("loss.triplet.mining")),
    (&["norm_feat"], Key("loss.triplet.normalise")),
    (&["weight_x", "ce.scale"], Key("loss.softmax.weight")),
    (&["label_smooth", "label_smoothing", "ce.epsilon"], Key("loss.softmax.smoothing")),
    (&["circle.scale"], Key("loss.circle.weight")),
    (&["alpha", "circle.alpha"], Key("loss.circle.gamma")),
    (&["with_ibn", "ibn_a", "ibn_cfg"], Key("model.ibn")),
    (&["pool_layer", "pool_type", "gem", "gempool", "pool"], Key("model.pooling")),
    (&["embedding_dim", "fc_dims", "fc_dim", "linear_num"], Key("model.embedding")),
    (&["center_loss_weight"], Key("loss.center.weight")),
    (&["center_lr"], Key("loss.center.rate")),
    (&["with_bnneck", "bnneck", "bn_neck", "bottleneck"], Key("model.neck")),
    (&["num_instances", "num_instance", "instances", "k"], Key("data.pk_images")),
    (&["random_flip", "do_flip", "mirror", "hflip"], Key("data.flip")),
    (&["padding", "padding_size"], Key("data.pad")),
    (&["random_crop"], Key("data.crop")),
    (
        &["random_erase", "random_erasing", "erasing", "rea", "rea.enabled", "rea.prob", "re_prob"],
        Key("data.erase"),
    ),
    (&["rea.value"], Key("data.erase_fill")),
    (&["color_jitter", "jitter", "cj.enabled", "cj.prob"], JITTER),
    (&["num_workers", "nworkers", "threads"], Key("data.workers")),
    (&["random_seed", "manual_seed"], Key("run.seed")),
    (&["checkpoint_period", "snapshot", "save_every"], Key("run.checkpoint_every")),
    (&["eval_period", "eval_freq", "val_interval", "test_interval"], Key("run.eval_every")),
    (&["early_stopping", "early_stop"], Key("run.patience")),
    (&["print_freq", "display", "log_period"], Key("run.log_every")),
    (&["backbone", "depth", "network", "model.name", "backbone.name"], Key("model.arch")),
    (&["dropout_ratio", "drop_rate"], Key("model.dropout")),
    (&["pixel_mean", "norm_mean"], Key("input.mean")),
    (&["pixel_std", "norm_std"], Key("input.std")),
    (&["neck_feat"], NECK_FEATURE),
    (&["weight_b", "loss_weight"], Key("loss.batch_contrastive.weight")),
    (&["train_sampler", "sampler_train", "sampler_name"], Key("data.sampler")),
    (&["transforms"], TRANSFORMS),
    (&["flip.enabled"], Key("data.flip")),
    (&["padding.enabled"], Key("data.crop")),
    (&["root", "sources", "targets", "names", "datasets"], DATA),
    (&["resume"], Advice("resuming is no setting: give --resume")),
    (
        &[
            "evaluate",
            "eval_only",
            "rerank",
            "rerank.enabled",
            "visrank",
            "ranks",
            "normalize_feature",
            "dist_metric",
            "metric",
        ],
        EVAL,
    ),
    (&["use_500k_distractors"], Advice("distractors are no setting: bcreid eval takes --distractors DIR")),
    (&["size_train", "image_size", "img_size", "size"], Key("input.height")),
    (&["gpu", "gpus", "gpu_id", "gpu_ids", "gpu_devices", "use_cpu", "use_gpu", "cuda", "device"], DEVICE),
    (&["amp", "amp.enabled", "fp16", "bf16", "half", "precision"], PRECISION),
    (&["pretrained", "pretrain", "pretrain_path", "weights", "load_weights"], WEIGHTS),
    (&["output", "output_dir", "out", "save_dir", "log_dir", "logs_dir", "snapshot_prefix"], OUT),
];

/// The answer to the name `name`, which may have a section in front.
pub(super) fn answer(name: &str) -> Option<Answer> {
    let whole = name.to_lowercase().replace('-', "_");
    let mut parts = whole.rsplit('.');
    let bare = parts.next().unwrap_or_default();
    let with_section = parts.next().map(|section| format!("{section}.{bare}"));
    let of = |name: &str| NAMES.iter().find(|(names, _)| names.contains(&name)).map(|(_, answer)| *answer);
    with_section.and_then(|name| of(&name)).or_else(|| of(bare))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Each row of the page: the keys in the last column exist, and no name of the others is answered with another key.
    #[test]
    fn the_page_about_other_toolboxes_agrees() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/other-toolboxes.md");
        let page = std::fs::read_to_string(path).unwrap();
        let quoted =
            |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(String::from).collect() };
        let keys: Vec<String> = Config::entries().into_iter().map(|entry| entry.key).collect();
        let sections = ["model.", "input.", "loss.", "solver.", "data.", "run."];
        let mut checked = 0;
        for row in page.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
            let (ours, theirs) = cells.split_last().unwrap();
            let ours = quoted(ours);
            for key in ours.iter().filter(|word| sections.iter().any(|section| word.starts_with(section))) {
                assert!(keys.contains(key), "{key} in {row}");
            }
            for name in theirs.iter().flat_map(|cell| quoted(cell)) {
                if let Some(Key(key)) = answer(&name) {
                    assert!(ours.iter().any(|word| word == key), "{name} is answered with {key}: {row}");
                    checked += 1;
                }
            }
        }
        assert!(checked > 20, "{checked}");
    }

    #[test]
    fn the_table_leads_to_settings_and_names_none_of_them_twice() {
        let keys: Vec<String> = Config::entries().into_iter().map(|entry| entry.key).collect();
        let mut seen = Vec::new();
        for (names, answer) in NAMES {
            if let Key(key) = answer {
                assert!(keys.iter().any(|known| known == key), "{key}");
            }
            for name in *names {
                assert!(!seen.contains(name), "{name} is there twice");
                seen.push(name);
                // Names below a section of a section, such as `loss.batch_contrastive.warmup`, need all of it.
                let is_ours = keys.iter().any(|key| key.split_once('.').is_some_and(|(_, own)| own == *name));
                assert!(!is_ours, "{name} is a setting");
            }
        }
    }
}
