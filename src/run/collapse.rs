//! Detection of collapse: the features of all persons become nearly equal.
//!
//! Where the batch-contrastive loss outweighs the softmax loss, as its sum over the batch can (see
//! [`Reduction`]), it may pull all features into one point. There the hinge stands at m tau / 2 (sum) or tau / 2
//! (mean), its gradient (8) is zero because x_i - x_min is zero, and no force separates the features again. The losses
//! show nothing of this. Other losses that pull images of a person together can do the same: the batch-hard triplet loss
//! then stands near its margin.
//!
//! Book: [chapter 11](../../../../../docs/book/src/11-batch-contrastive.md).

use crate::config::{Config, MetricLoss, NeckKind, Sampler};
use crate::ops::batch_contrastive::Reduction;
use crate::run::metrics::StepMetrics;

/// Running mean of the distance between different persons below which features count as collapsed, as a share of
/// sqrt(tau). Healthy runs of the demo and on Omniglot stayed above 0.38 at tau 1; one at dropout 0.9 and rate 0.05 fell
/// to 0.16 within 100 steps and to 0.07 within 300. A neck takes small distances apart again, so that its networks tell
/// persons apart at any distance.
const COLLAPSED: f64 = 0.2;
/// The same share where images of one person are as far apart as those of two. Of 48 runs on the synthetic set
/// (docs/results.md, other methods), which this share and the next were chosen on, it told all 15 collapsed ones within
/// 170 steps; [`COLLAPSED`] alone told 11 of them, two after 400 steps. It spoke in one run that did not end so, whose
/// features were alike at step 100.
const CLOSE: f64 = 0.6;
/// The distance between images of one person, as a share of that between persons, above which they are alike: collapsed
/// runs ended at 0.94 to 0.99 (one, which recovered a little, at 0.71), the others at 0.57 to 0.76.
const ALIKE: f64 = 0.9;
/// Steps over which the mean runs.
const WINDOW: f64 = 50.0;
/// Steps before the first warning.
const PATIENCE: u64 = 100;
/// Dropout ratio that the advice names.
const DROPOUT: f32 = 0.5;
/// Most iterations of the ramp of lambda that the advice names.
const WARMUP: u64 = 1000;

/// The weights that a run started from, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Initial values drawn from the run's seed.
    Random,
    /// Trained weights.
    Trained,
    /// The run is resumed, and its checkpoint does not say what it started from.
    Unknown,
}

/// A mean over the last steps, about [`WINDOW`] of them.
#[derive(Clone, Copy, Debug, Default)]
struct RunningMean {
    value: f64,
    seen: u64,
}

impl RunningMean {
    fn add(&mut self, value: f32) {
        self.seen += 1;
        self.value += (f64::from(value) - self.value) / WINDOW.min(self.seen as f64);
    }
}

/// The running means of the distances between persons and between images of one person. It warns once during the run, and
/// at the end.
#[derive(Debug)]
pub struct Watch {
    /// The unit of distances: sqrt(tau).
    unit: f64,
    advice: String,
    /// Whether a loss of another method pulls images of a person together.
    pulls: bool,
    has_neck: bool,
    inter: RunningMean,
    intra: RunningMean,
    spoken: bool,
}

impl Watch {
    /// For a run with these settings. Only the margin `loss.batch_contrastive.tau`, a squared distance, and the neck
    /// decide; the other settings and the origin of the weights are for the advice, which names nothing that the run does
    /// already.
    pub fn new(config: &Config, origin: Origin) -> Self {
        Watch {
            unit: f64::from(config.loss.batch_contrastive.tau).sqrt(),
            advice: advice(config, origin),
            pulls: !pulling(config).is_empty(),
            has_neck: config.model.neck != NeckKind::None,
            inter: RunningMean::default(),
            intra: RunningMean::default(),
            spoken: false,
        }
    }

    /// Adds the mean distances of a step: nothing if no loss pulled images of a person together in that step; a batch
    /// without a negative or a positive pair lacks one of them.
    pub fn add(&mut self, step: &StepMetrics) {
        if self.pulls || step.lambda.is_some_and(|lambda| lambda > 0.0) {
            step.inter.into_iter().for_each(|inter| self.inter.add(inter));
            step.intra.into_iter().for_each(|intra| self.intra.add(intra));
        }
    }

    /// Adds a step; returns a warning when the features have collapsed.
    pub fn see(&mut self, step: &StepMetrics) -> Option<String> {
        self.add(step);
        self.collapsed().filter(|_| !self.spoken)?;
        self.spoken = true;
        Some(format!(
            "step {}: the features have collapsed ({}). {}",
            step.step,
            self.distances(),
            self.advice
        ))
    }

    // ANCHOR: collapsed
    /// The mean distance between different persons, if the features are collapsed after the last step that was added.
    pub fn collapsed(&self) -> Option<f64> {
        let Watch { unit, inter, intra, .. } = *self;
        let is_alike = intra.seen >= PATIENCE && intra.value > ALIKE * inter.value;
        let is_below = |share: f64| inter.value < share * unit;
        let is_collapsed = is_below(COLLAPSED) && !self.has_neck || is_below(CLOSE) && is_alike;
        (inter.seen >= PATIENCE && is_collapsed).then_some(inter.value)
    }
    // ANCHOR_END: collapsed

    /// A warning for the end of a run whose features are collapsed.
    pub fn at_end(&self) -> Option<String> {
        self.collapsed()?;
        Some(format!(
            "the run ends with collapsed features ({}, in the last steps), so its network hardly tells persons apart. {}",
            self.distances(),
            self.advice
        ))
    }

    /// The mean distances in words.
    fn distances(&self) -> String {
        let between = format!("mean distance between different persons {:.3}", self.inter.value);
        match self.intra.seen {
            0 => between,
            _ => format!("{between}, between images of one person {:.3}", self.intra.value),
        }
    }
}

/// The mean distance between different persons in the last steps of a run, if its features were collapsed there.
pub fn of_run(config: &Config, steps: &[StepMetrics]) -> Option<f64> {
    let mut watch = Watch::new(config, Origin::Unknown);
    steps.iter().for_each(|step| watch.add(step));
    watch.collapsed()
}

/// The losses of other methods that pull images of a person together, with their weights.
fn pulling(config: &Config) -> Vec<(MetricLoss, f32)> {
    let mut losses = config.loss.metric_losses();
    losses.retain(|(loss, _)| !matches!(loss, MetricLoss::Verification | MetricLoss::Attributes));
    losses
}

/// The remedies of a collapse, the most effective first, with the present values.
fn advice(config: &Config, origin: Origin) -> String {
    let mut steps: Vec<String> = Vec::new();
    let own = &config.loss.batch_contrastive;
    let is_sum = own.weight > 0.0 && own.reduction == Reduction::Sum;
    // In P x K batches each image has K - 1 partners, so that the sum is far larger than in random batches.
    let is_large_sum = is_sum && config.data.sampler == Sampler::Pk;
    match origin {
        Origin::Random => steps.push("from pre-trained weights".into()),
        Origin::Unknown => steps.push("from pre-trained weights, unless it did".into()),
        Origin::Trained => {}
    }
    // In the study of methods with P x K batches no network with a neck collapsed (docs/results.md).
    if config.data.sampler == Sampler::Pk && config.model.neck == NeckKind::None {
        steps.push("with model.neck=batchnorm (now none)".into());
    }
    let mean = "with loss.batch_contrastive.reduction=mean (now sum)";
    if is_large_sum {
        steps.push(mean.into());
    }
    let dropout = config.model.dropout;
    if dropout > DROPOUT {
        steps.push(format!("with model.dropout={DROPOUT} (now {dropout})"));
    }
    steps.push(format!("with a lower solver.lr (now {})", config.solver.lr));
    // A ramp over the whole run would never give the loss its weight.
    let warmup = WARMUP.min(config.solver.iterations / 4);
    if own.weight > 0.0 && own.warmup < warmup {
        steps.push(format!("with loss.batch_contrastive.warmup={warmup} (now {})", own.warmup));
    }
    if is_sum && !is_large_sum {
        steps.push(mean.into());
    }
    let own = (own.weight > 0.0).then_some(("batch_contrastive", own.weight));
    let others = pulling(config).into_iter().map(|(loss, weight)| (loss.name(), weight));
    for (name, weight) in own.into_iter().chain(others) {
        steps.push(format!("with a lower loss.{name}.weight (now {weight})"));
    }
    format!("Start again, until it helps: {}", steps.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(settings: &[&str]) -> Config {
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        Config::resolve_text("", &settings).unwrap()
    }

    fn step(inter: Option<f32>, lambda: f32) -> StepMetrics {
        StepMetrics { step: 7, inter, lambda: Some(lambda), ..StepMetrics::default() }
    }

    #[test]
    fn speaks_once_when_features_collapse_and_not_for_a_dip() {
        let mut watch = Watch::new(&config(&["loss.batch_contrastive.tau=1"]), Origin::Random);
        let mut feed = |inter: f32, steps: u64| {
            (0..steps).filter_map(|_| watch.see(&step(Some(inter), 1.0))).collect::<Vec<_>>()
        };
        assert!(feed(0.6, 150).is_empty());
        assert!(feed(0.05, 30).is_empty(), "a dip");
        assert!(feed(0.6, 100).is_empty());
        let said = feed(0.06, 300);
        assert!(said.len() == 1 && said[0].contains("loss.batch_contrastive.reduction=mean"), "{said:?}");
        assert!(watch.at_end().unwrap().starts_with("the run ends with collapsed features"));
        (0..200).for_each(|_| watch.add(&step(Some(0.6), 1.0)));
        assert_eq!(watch.at_end(), None, "the features have recovered");
    }

    /// Distances that are not small yet, and persons that are no longer told apart.
    #[test]
    fn persons_that_are_alike_have_collapsed_earlier() {
        let told = |settings: &[&str], inter: f32, intra: Option<f32>| {
            let step = StepMetrics { intra, ..step(Some(inter), 1.0) };
            of_run(&config(settings), &vec![step; 120]).is_some()
        };
        assert!(told(&[], 0.2, Some(0.19)));
        assert!(!told(&[], 0.2, Some(0.15)) && !told(&[], 0.2, None) && !told(&[], 0.5, Some(0.49)));
        assert!(told(&[], 0.1, Some(0.05)) && told(&[], 0.1, None));
        let neck = ["model.neck=batchnorm"];
        assert!(!told(&neck, 0.1, Some(0.05)) && !told(&neck, 0.1, None));
        assert!(told(&neck, 0.1, Some(0.099)));
        let mut watch = Watch::new(&config(&[]), Origin::Random);
        (0..120).for_each(|_| watch.add(&StepMetrics { intra: Some(0.19), ..step(Some(0.2), 1.0) }));
        let said = watch.at_end().unwrap();
        assert!(
            said.contains("different persons 0.200, between images of one person 0.190, in the"),
            "{said}"
        );
    }

    /// The batch-contrastive loss has no weight there.
    #[test]
    fn a_collapse_by_a_triplet_loss_is_told_and_none_of_the_softmax_loss() {
        let baseline = "loss.batch_contrastive.weight=0";
        let steps = vec![step(Some(0.05), 0.0); 120];
        assert!(of_run(&config(&[baseline, "loss.triplet.weight=1"]), &steps).is_some());
        assert!(of_run(&config(&[baseline, "loss.verification.weight=1"]), &steps).is_none());
        assert!(of_run(&config(&[baseline]), &steps).is_none());
    }

    #[test]
    fn waits_for_its_patience_and_passes_over_steps_that_say_nothing() {
        let mut watch = Watch::new(&config(&["loss.batch_contrastive.tau=0.3"]), Origin::Random);
        assert!((0..2 * PATIENCE).all(|_| watch.see(&step(None, 1.0)).is_none()));
        assert!((0..2 * PATIENCE).all(|_| watch.see(&step(Some(0.01), 0.0)).is_none()));
        assert!((0..PATIENCE - 1).all(|_| watch.see(&step(Some(0.01), 1.0)).is_none()));
        assert!(watch.see(&step(Some(0.01), 1.0)).is_some());
        let collapsed = vec![step(Some(0.01), 1.0); 120];
        assert!(of_run(&config(&[]), &collapsed).is_some());
        assert_eq!(of_run(&config(&[]), &collapsed[..99]), None);
    }

    #[test]
    fn the_advice_names_nothing_that_the_run_does_already() {
        let all = advice(&config(&[]), Origin::Random);
        for words in [
            "from pre-trained weights;",
            "model.dropout=0.5 (now 0.9)",
            "solver.lr (now 0.01)",
            "loss.batch_contrastive.warmup=1000 (now 0)",
            "loss.batch_contrastive.reduction=mean (now sum)",
            "loss.batch_contrastive.weight (now 1)",
        ] {
            assert!(all.contains(words), "{words}: {all}");
        }
        let set = [
            "model.dropout=0.4",
            "loss.batch_contrastive.warmup=1000",
            "loss.batch_contrastive.reduction=mean",
        ];
        let few = advice(&config(&set), Origin::Trained);
        assert_eq!(
            few,
            "Start again, until it helps: with a lower solver.lr (now 0.01); with a lower \
             loss.batch_contrastive.weight (now 1)"
        );
        assert!(advice(&config(&set), Origin::Unknown).contains("pre-trained weights, unless it did"));
        let triplet = ["loss.batch_contrastive.weight=0", "loss.triplet.weight=1", "model.dropout=0"];
        assert_eq!(
            advice(&config(&triplet), Origin::Trained),
            "Start again, until it helps: with a lower solver.lr (now 0.01); with a lower loss.triplet.weight (now 1)"
        );
        let pairs = advice(&config(&["data.sampler=pk", "model.dropout=0"]), Origin::Trained);
        let first = "it helps: with model.neck=batchnorm (now none); with \
                     loss.batch_contrastive.reduction=mean (now sum); with a lower";
        assert!(pairs.contains(first), "{pairs}");
        assert_eq!(pairs.matches("reduction=mean").count(), 1);
        let neck = advice(&config(&["data.sampler=pk", "model.neck=batchnorm"]), Origin::Trained);
        assert!(!neck.contains("neck"), "{neck}");
        let short = config(&["solver.iterations=400", "solver.lr_milestones=[]"]);
        assert!(advice(&short, Origin::Random).contains("loss.batch_contrastive.warmup=100 "));
    }
}
