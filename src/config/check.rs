//! The ranges of all settings.

use super::resolve::named_in;
use super::{
    CenterRate, Config, Convention, EmbeddingInit, FeatureKind, NeckKind, Optimizer, Sampler, Schedule,
    one_line,
};

impl Config {
    /// The first rule about the range of a setting that is broken.
    pub(super) fn broken_rule(&self) -> Option<String> {
        self.broken_rule_of_losses().or_else(|| self.broken_rule_of_others().map(String::from))
    }

    /// The rules that all losses share: of their weights, and of the layers that their features come from.
    fn broken_rule_of_losses(&self) -> Option<String> {
        let (l, m) = (&self.loss, &self.model);
        let (b, t, c, p) = (&l.batch_contrastive, &l.triplet, &l.circle, &l.contrastive);
        let losses = [
            ("softmax", l.softmax.weight, FeatureKind::Pool5),
            ("batch_contrastive", b.weight, b.feature),
            ("triplet", t.weight, t.feature),
            ("circle", c.weight, c.feature),
            ("contrastive", p.weight, p.feature),
            ("center", l.center.weight, l.center.feature),
            ("verification", l.verification.weight, l.verification.feature),
            ("attributes", l.attributes.weight, l.attributes.feature),
        ];
        losses.into_iter().find_map(|(loss, weight, feature)| {
            let missing = match feature {
                FeatureKind::Neck if m.neck == NeckKind::None => {
                    "neck's, and there is none: set model.neck to batchnorm"
                }
                FeatureKind::Embedding if m.embedding.is_empty() => {
                    "embedding's, and there is none: set model.embedding to its width"
                }
                _ if weight.is_finite() && weight >= 0.0 => return None,
                _ => return Some(format!("loss.{loss}.weight must be at least 0 and finite")),
            };
            Some(format!("loss.{loss}.feature is the {missing}"))
        })
    }

    fn broken_rule_of_others(&self) -> Option<&'static str> {
        let (m, i, l, s, d, r) = (&self.model, &self.input, &self.loss, &self.solver, &self.data, &self.run);
        let [width, stem] = [m.width, m.stem].map(|channels| channels.unwrap_or(64));
        let depths = m.depths.unwrap_or([1; 4]);
        let (b, t, c, p) = (&l.batch_contrastive, &l.triplet, &l.circle, &l.contrastive);
        let (own_center, v, a) = (&l.center, &l.verification, &l.attributes);
        let center_rate = if let CenterRate::Fixed(rate) = b.center_rate { rate } else { 0.0 };
        let embedding_std = if let EmbeddingInit::Normal(std) = m.embedding_init { std } else { 1.0 };
        let no_rounds = s.svd_lr.is_empty();
        let rules = [
            ((1..=1024).contains(&width), "model.width must be 1 to 1024"),
            (
                !m.ibn || width > 1,
                "model.width must be 2 to 1024 with model.ibn = true, which halves the channels",
            ),
            ((1..=1024).contains(&stem), "model.stem must be 1 to 1024"),
            (depths.iter().all(|d| (1..=64).contains(d)), "model.depths must be four numbers of 1 to 64"),
            ((1..=2).contains(&m.last_stride), "model.last_stride must be 1 or 2"),
            (
                m.embedding.len() <= 4 && m.embedding.iter().all(|width| (1..=8192).contains(width)),
                "model.embedding must be at most four widths of 1 to 8192",
            ),
            (
                embedding_std.is_finite() && embedding_std > 0.0,
                "model.embedding_init must be a standard deviation above 0, \"he\" or \"orthogonal\"",
            ),
            ((0.0..1.0).contains(&m.dropout), "model.dropout must be at least 0 and below 1"),
            (
                (32..=2048).contains(&i.height) && (32..=2048).contains(&i.width),
                "input.height and input.width must be 32 to 2048 pixels",
            ),
            (i.scale.is_finite() && i.scale > 0.0, "input.scale must be above 0 and finite"),
            (i.std.iter().all(|v| v.is_finite() && *v > 0.0), "input.std must be above 0 and finite"),
            (i.mean.iter().all(|v| v.is_finite()), "input.mean must be finite"),
            ((0.0..=1.0).contains(&l.softmax.smoothing), "loss.softmax.smoothing must be 0 to 1"),
            (t.margin.is_finite() && t.margin >= 0.0, "loss.triplet.margin must be at least 0 and finite"),
            ((0.0..=2.0).contains(&c.margin), "loss.circle.margin must be 0 to 2"),
            ((1e-3..=1e4).contains(&c.gamma), "loss.circle.gamma must be 0.001 to 10000"),
            (
                [p.positive, p.negative].iter().all(|margin| margin.is_finite() && *margin >= 0.0),
                "loss.contrastive.positive and loss.contrastive.negative must be at least 0 and finite",
            ),
            (
                l.softmax.weight > 0.0 || b.weight > 0.0 || !l.metric_losses().is_empty(),
                "loss.softmax.weight and loss.batch_contrastive.weight are 0, as are those of all other losses, so nothing \
                 is trained: set one above 0",
            ),
            ((0.0..=1.0).contains(&own_center.rate), "loss.center.rate must be 0 to 1"),
            ((0.0..1.0).contains(&v.dropout), "loss.verification.dropout must be at least 0 and below 1"),
            (
                v.weight == 0.0 || s.batch.is_multiple_of(2),
                "solver.batch must be even with loss.verification.weight above 0: its pairs are the halves of a batch",
            ),
            (
                v.weight == 0.0 || d.sampler.has_both_kinds_of_pairs(),
                "loss.verification.weight is above 0, and no image i of a batch shows the person of image i + m/2 with this \
                 data.sampler, so every pair is one of two persons: set data.sampler to pairs",
            ),
            (
                a.weight == 0.0 || d.attributes.is_some(),
                "loss.attributes.weight is above 0, and data.attributes names no file: set data.attributes to a CSV file \
                 with the attributes of the persons",
            ),
            (
                (0.0..=4.0).contains(&b.tau),
                "loss.batch_contrastive.tau is a squared distance of unit vectors: 0 to 4",
            ),
            (
                (0.0..=1.0).contains(&center_rate),
                "loss.batch_contrastive.center_rate must be 0 to 1, or \"tied\"",
            ),
            (s.iterations >= 1 && s.iterations <= i32::MAX as u64, "solver.iterations must be 1 to 2^31 - 1"),
            (s.freeze_iterations <= i32::MAX as u64, "solver.freeze_iterations must be at most 2^31 - 1"),
            ((2..=1024).contains(&s.batch), "solver.batch must be 2 to 1024 images"),
            (s.lr.is_finite() && s.lr > 0.0, "solver.lr must be above 0 and finite"),
            (s.lr_milestones.is_sorted_by(|a, b| a < b), "solver.lr_milestones must grow"),
            (
                s.schedule == Schedule::Steps || s.lr_flat < s.iterations,
                "solver.lr_flat must be below solver.iterations, or the learning rate never falls",
            ),
            (
                s.lr_end.is_none_or(|end| (0.0..=s.lr).contains(&end)),
                "solver.lr_end must be at least 0, at most solver.lr",
            ),
            (
                s.schedule != Schedule::Exponential || s.lr_end != Some(0.0),
                "solver.lr_end must be above 0 with solver.schedule = exponential",
            ),
            (
                s.lr_warmup_start.is_none_or(|start| (0.0..=1.0).contains(&start)),
                "solver.lr_warmup_start must be a factor of 0 to 1",
            ),
            (s.lr_gamma > 0.0 && s.lr_gamma <= 1.0, "solver.lr_gamma must be above 0, at most 1"),
            (
                s.lr_factors.values().chain(s.decay_factors.values()).all(|f| f.is_finite() && *f >= 0.0),
                "solver.lr_factors and solver.decay_factors must be finite factors of at least 0",
            ),
            (s.head_rate.is_finite() && s.head_rate > 0.0, "solver.head_rate must be above 0 and finite"),
            (
                s.svd_lr.iter().all(|rate| rate.is_finite() && *rate > 0.0),
                "solver.svd_lr must be rates above 0 and finite, one for each round",
            ),
            (
                no_rounds || !m.embedding.is_empty(),
                "solver.svd_lr decomposes the last layer of the embedding, and there is none: set model.embedding to its \
                 width",
            ),
            (
                no_rounds || m.embedding.last().is_none_or(|width| *width <= 2048),
                "solver.svd_lr needs an embedding whose last layer has at most 2048 outputs: its eigenvectors take minutes \
                 beyond",
            ),
            (
                no_rounds || !(m.embedding_bias || m.embedding_batchnorm || m.embedding_relu),
                "solver.svd_lr needs an embedding whose last layer is linear, so that its output keeps all distances: set \
                 model.embedding_bias, model.embedding_batchnorm and model.embedding_relu to false",
            ),
            (
                no_rounds || m.neck == NeckKind::None,
                "solver.svd_lr needs model.neck = none: the statistics of a neck belong to the outputs before a \
                 decomposition",
            ),
            (
                no_rounds || s.schedule == Schedule::Steps,
                "solver.svd_lr needs solver.schedule = steps, because the other schedules fall until the end of the run",
            ),
            (
                no_rounds || s.ema == 0.0,
                "solver.svd_lr needs solver.ema = 0: an average over a decomposition would mix other outputs",
            ),
            (
                [s.svd_restraint, s.svd_relaxation].iter().all(|length| (1..=1 << 31).contains(length))
                    && s.svd_start <= 1 << 31,
                "solver.svd_restraint and solver.svd_relaxation must be 1 to 2^31, and solver.svd_start at most 2^31",
            ),
            (s.svd_lr_milestones.is_sorted_by(|a, b| a < b), "solver.svd_lr_milestones must grow"),
            ((0.0..1.0).contains(&s.momentum), "solver.momentum must be at least 0 and below 1"),
            (
                !s.nesterov || s.convention == Convention::PyTorch,
                "solver.nesterov = true is PyTorch's Nesterov momentum, and needs solver.convention = pytorch",
            ),
            (!s.nesterov || s.momentum > 0.0, "solver.nesterov = true needs solver.momentum above 0"),
            (
                s.optimizer == Optimizer::Sgd || (!s.nesterov && s.convention == Convention::PyTorch),
                "solver.nesterov and solver.convention are forms of momentum, and need solver.optimizer = sgd",
            ),
            ((0.0..1.0).contains(&s.beta1), "solver.beta1 must be at least 0 and below 1"),
            ((0.0..1.0).contains(&s.beta2), "solver.beta2 must be at least 0 and below 1"),
            (s.epsilon.is_finite() && s.epsilon > 0.0, "solver.epsilon must be above 0 and finite"),
            (
                s.weight_decay.is_finite() && s.weight_decay >= 0.0,
                "solver.weight_decay must be at least 0 and finite",
            ),
            ((0.0..1.0).contains(&s.ema), "solver.ema must be at least 0 and below 1"),
            (
                s.batchnorm_momentum > 0.0 && s.batchnorm_momentum <= 1.0,
                "solver.batchnorm_momentum must be above 0, at most 1",
            ),
            (d.attributes.as_deref() != Some(""), "data.attributes must name a file"),
            (d.pad <= 256, "data.pad must be at most 256 pixels"),
            (!d.crop || d.pad > 0, "data.crop needs data.pad above 0"),
            (
                d.resize.is_none_or(|[height, width]| {
                    (i.height..=4096).contains(&height) && (i.width..=4096).contains(&width)
                }),
                "data.resize is the height and width that a random part of input.height x input.width is cropped \
                 from: at least these, at most 4096 pixels",
            ),
            (
                [d.brightness, d.contrast, d.saturation]
                    .iter()
                    .all(|strength| (0.0..=10.0).contains(strength)),
                "data.brightness, data.contrast and data.saturation must be 0 to 10",
            ),
            ((0.0..=1.0).contains(&d.erase), "data.erase must be 0 to 1"),
            (
                d.erase_area[0] > 0.0 && d.erase_area[0] <= d.erase_area[1] && d.erase_area[1] <= 1.0,
                "data.erase_area must be two ascending shares above 0, at most 1",
            ),
            ((0.01..=1.0).contains(&d.erase_aspect), "data.erase_aspect must be 0.01 to 1"),
            (d.pk_images >= 1, "data.pk_images must be at least 1"),
            (
                d.sampler != Sampler::Pk || s.batch.is_multiple_of(d.pk_images),
                "solver.batch must be a multiple of data.pk_images with the pk sampler",
            ),
            (
                d.sampler != Sampler::Pairs || s.batch.is_multiple_of(2),
                "solver.batch must be even with data.sampler = pairs",
            ),
            (
                [d.pairs_positive, d.pairs_decay, d.pairs_least]
                    .iter()
                    .all(|share| (0.0..=1.0).contains(share)),
                "data.pairs_positive, data.pairs_decay and data.pairs_least must be 0 to 1",
            ),
            (
                d.unlabelled.is_none() || matches!(d.sampler, Sampler::Random | Sampler::Epochs),
                "data.unlabelled needs data.sampler = random or epochs: the others choose images by their identities",
            ),
            (
                d.unlabelled.is_none() || (b.weight == 0.0 && l.metric_losses().is_empty()),
                "data.unlabelled needs the softmax loss alone, because its images have no identity: set \
                 loss.batch_contrastive.weight to 0, and give no other loss a weight",
            ),
            (
                d.unlabelled.as_ref().is_none_or(|folder| !folder.as_os_str().is_empty()),
                "data.unlabelled must name a folder",
            ),
            ((1..=256).contains(&d.workers), "data.workers must be 1 to 256 threads"),
            (r.checkpoint_every >= 1, "run.checkpoint_every must be at least 1"),
            (r.checkpoints_kept >= 1, "run.checkpoints_kept must be at least 1"),
            (
                if r.eval_identities < 1.0 {
                    r.eval_identities > 0.0
                } else {
                    (2.0..=1e6).contains(&r.eval_identities) && r.eval_identities.fract() == 0.0
                },
                "run.eval_identities must be a share above 0 and below 1, or a whole number of identities from 2",
            ),
            ((1..=10_000).contains(&r.log_every), "run.log_every must be 1 to 10000"),
        ];
        rules.into_iter().find(|(holds, _)| !holds).map(|(_, rule)| rule)
    }

    /// The values of the settings that a rule names: `data.crop = true, data.pad = 0`.
    pub(super) fn given(&self, rule: &str) -> String {
        named_in(rule)
            .iter()
            .map(|key| format!("{key} = {}", one_line(&self.shown_value(key))))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
