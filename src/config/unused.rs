//! Settings that are not the defaults and have no effect beside the others.

use super::{Config, EvalOn, Optimizer, Sampler, Schedule};

impl Config {
    /// A note for each setting that is not the default, and that the chosen optimiser or schedule does not read, or that
    /// belongs to an embedding that is not there, or to a loss of another method without a weight. The
    /// batch-contrastive loss is measured in any case, and baselines of studies keep its settings.
    pub fn unused(&self) -> Vec<String> {
        let solver = &self.solver;
        let mut groups: Vec<(&str, &[&str])> = vec![match solver.optimizer {
            Optimizer::Sgd => ("solver.optimizer", &["solver.beta1", "solver.beta2", "solver.epsilon"]),
            _ => ("solver.optimizer", &["solver.momentum"]),
        }];
        groups.push(match solver.schedule {
            Schedule::Steps => ("solver.schedule", &["solver.lr_flat", "solver.lr_end"]),
            _ => ("solver.schedule", &["solver.lr_milestones", "solver.lr_gamma"]),
        });
        if self.model.embedding.is_empty() {
            groups.push((
                "model.embedding",
                &[
                    "model.embedding_batchnorm",
                    "model.embedding_relu",
                    "model.embedding_bias",
                    "model.embedding_init",
                ],
            ));
        } else if self.model.embedding_batchnorm {
            groups.push(("model.embedding_batchnorm", &["model.embedding_bias"]));
        }
        let loss = &self.loss;
        let of_losses: [(f32, &str, &[&str]); 6] = [
            (
                loss.triplet.weight,
                "loss.triplet.weight",
                &[
                    "loss.triplet.mining",
                    "loss.triplet.margin",
                    "loss.triplet.soft",
                    "loss.triplet.distance",
                    "loss.triplet.feature",
                    "loss.triplet.normalise",
                ],
            ),
            (
                loss.circle.weight,
                "loss.circle.weight",
                &["loss.circle.margin", "loss.circle.gamma", "loss.circle.scope", "loss.circle.feature"],
            ),
            (
                loss.contrastive.weight,
                "loss.contrastive.weight",
                &[
                    "loss.contrastive.positive",
                    "loss.contrastive.negative",
                    "loss.contrastive.feature",
                    "loss.contrastive.normalise",
                ],
            ),
            (
                loss.center.weight,
                "loss.center.weight",
                &["loss.center.feature", "loss.center.normalise", "loss.center.rate"],
            ),
            (
                loss.verification.weight,
                "loss.verification.weight",
                &["loss.verification.dropout", "loss.verification.feature"],
            ),
            (
                loss.attributes.weight,
                "loss.attributes.weight",
                &["loss.attributes.feature", "data.attributes"],
            ),
        ];
        let without = of_losses.into_iter().filter(|(weight, ..)| *weight == 0.0);
        groups.extend(without.map(|(_, cause, keys)| (cause, keys)));
        if loss.triplet.soft && loss.triplet.weight != 0.0 {
            groups.push(("loss.triplet.soft", &["loss.triplet.margin"]));
        }
        if solver.lr_warmup == 0 {
            groups.push(("solver.lr_warmup", &["solver.lr_warmup_start"]));
        }
        if solver.freeze.is_empty() {
            groups.push(("solver.freeze", &["solver.freeze_iterations"]));
        }
        if solver.svd_lr.is_empty() {
            groups.push((
                "solver.svd_lr",
                &[
                    "solver.svd_start",
                    "solver.svd_restraint",
                    "solver.svd_relaxation",
                    "solver.svd_freeze",
                    "solver.svd_lr_milestones",
                ],
            ));
        }
        let run = &self.run;
        if run.eval_every == 0 {
            groups.push(("run.eval_every", &["run.eval_on", "run.eval_identities", "run.patience"]));
        } else if run.eval_on == EvalOn::Test {
            groups.push(("run.eval_on", &["run.eval_identities"]));
        }
        if self.data.sampler != Sampler::Pk {
            groups.push(("data.sampler", &["data.pk_images", "data.pk_order"]));
        }
        if self.data.sampler != Sampler::Pairs {
            groups.push(("data.sampler", &["data.pairs_positive", "data.pairs_decay", "data.pairs_least"]));
        }
        if self.data.erase == 0.0 {
            groups.push(("data.erase", &["data.erase_area", "data.erase_aspect", "data.erase_fill"]));
        }
        let defaults = Config::default();
        let notes = groups.into_iter().flat_map(|(cause, keys)| {
            let given = self.differences_among(&defaults, keys);
            let because = format!("{cause} = {}", self.shown_value(cause));
            // No milestones is what such a schedule asks for.
            let said = given.into_iter().filter(|(_, own, _)| own != "[]");
            said.map(move |(key, own, _)| {
                format!("{key} = {own} has no effect with {because}; leave it out, or change {cause}")
            })
        });
        notes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_optimiser_or_the_schedule_does_not_read_is_told() {
        let unused = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
            Config::resolve_text("", &settings).unwrap().unused()
        };
        assert!(unused(&[]).is_empty());
        assert!(unused(&["solver.optimizer=adamw", "solver.beta1=0.5", "solver.schedule=cosine"]).is_empty());
        assert!(unused(&["solver.schedule=cosine", "solver.lr_milestones=[]"]).is_empty());
        for (settings, key, cause) in [
            (&["solver.beta2=0.9"][..], "solver.beta2 = 0.9 has", "solver.optimizer = \"sgd\""),
            (&["solver.optimizer=adam", "solver.momentum=0.5"], "solver.momentum", "\"adam\""),
            (&["solver.lr_flat=3"], "solver.lr_flat = 3 has", "solver.schedule = \"steps\""),
            (&["solver.schedule=cosine", "solver.lr_gamma=0.5"], "solver.lr_gamma", "\"cosine\""),
            (&["loss.triplet.margin=0.5"], "loss.triplet.margin", "loss.triplet.weight = 0"),
            (
                &["loss.triplet.weight=1", "loss.triplet.margin=0.5", "loss.triplet.soft=true"],
                "loss.triplet.margin",
                "loss.triplet.soft = true",
            ),
            (
                &["loss.triplet.margin=0.5", "loss.triplet.soft=true"],
                "loss.triplet.margin",
                "loss.triplet.weight = 0",
            ),
            (&["loss.triplet.mining=weighted"], "loss.triplet.mining", "loss.triplet.weight = 0"),
            (&["loss.circle.scope=batch"], "loss.circle.scope", "loss.circle.weight = 0"),
            (&["model.embedding_relu=true"], "model.embedding_relu = true has", "model.embedding = []"),
            (&["model.embedding_init=0.01"], "model.embedding_init = 0.01 has", "model.embedding = []"),
            (
                &["model.embedding=[8]", "model.embedding_batchnorm=true", "model.embedding_bias=false"],
                "model.embedding_bias = false has",
                "model.embedding_batchnorm = true",
            ),
            (&["loss.verification.dropout=0"], "loss.verification.dropout", "loss.verification.weight = 0"),
            (&["data.attributes=a.csv"], "data.attributes = \"a.csv\"", "loss.attributes.weight = 0"),
            (&["loss.center.rate=0.1"], "loss.center.rate", "loss.center.weight = 0"),
            (&["solver.freeze_iterations=3"], "solver.freeze_iterations", "solver.freeze = []"),
            (&["solver.svd_start=9"], "solver.svd_start = 9 has", "solver.svd_lr = []"),
            (&["run.patience=3"], "run.patience = 3 has", "run.eval_every = 0"),
            (
                &["run.eval_every=9", "run.eval_on=test", "run.eval_identities=5"],
                "run.eval_identities",
                "\"test\"",
            ),
            (&["data.pk_images=2"], "data.pk_images = 2 has", "data.sampler = \"random\""),
            (&["data.pk_order=images"], "data.pk_order", "data.sampler = \"random\""),
            (&["data.sampler=pk", "data.pairs_decay=0.9"], "data.pairs_decay", "data.sampler = \"pk\""),
            (&["data.erase_fill=noise"], "data.erase_fill", "data.erase = 0"),
            (&["solver.lr_warmup_start=0.5"], "solver.lr_warmup_start", "solver.lr_warmup = 0"),
        ] {
            let told = unused(settings);
            assert!(told.iter().any(|note| note.contains(key) && note.contains(cause)), "{told:?}");
            let twice = told.iter().filter(|note| note.contains(key)).count();
            assert!(twice == 1 && told.len() <= 2, "{told:?}");
        }
    }
}
