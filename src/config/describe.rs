//! The network and the loss in words. The paper leaves some choices of the loss open, so results are shown together with
//! these choices.

use super::{CenterRate, Gradient, Loss, MetricLoss, Mining, Model, NeckKind, Pooling};

impl Model {
    /// The network: `slim of width 16, conv1 with 32 channels, 1-1-1-1 blocks`.
    pub fn describe(&self) -> String {
        let arch = format!("{:?}", self.arch).to_lowercase();
        let width = self.width.map_or(String::new(), |width| format!(" of width {width}"));
        let stem = self.stem.map_or(String::new(), |stem| format!(", conv1 with {stem} channels"));
        let depths = self.depths.map_or(String::new(), |[a, b, c, d]| format!(", {a}-{b}-{c}-{d} blocks"));
        let ibn = if self.ibn { ", IBN-a" } else { "" };
        let pooling = match self.pooling {
            Pooling::Average => "",
            Pooling::Gem => ", GeM pooling",
        };
        let embedding = match self.embedding.is_empty() {
            true => String::new(),
            false => {
                let widths: Vec<String> = self.embedding.iter().map(usize::to_string).collect();
                let bn = if self.embedding_batchnorm { ", batch norm" } else { "" };
                let relu = if self.embedding_relu { ", ReLU" } else { "" };
                format!(", embedding {}{bn}{relu}", widths.join("-"))
            }
        };
        let neck = match self.neck {
            NeckKind::None => "",
            NeckKind::Batchnorm => ", batch-norm neck",
        };
        format!("{arch}{width}{stem}{depths}{ibn}{pooling}{embedding}{neck}")
    }
}

impl Loss {
    /// One line, for example `softmax + 1 x batch-contrastive (sum over the batch, margin tau 0.3,
    /// gradient of equation (8), centers at rate 0.5)`.
    pub fn describe(&self) -> String {
        let own = &self.batch_contrastive;
        let smoothing = match self.softmax.smoothing {
            0.0 => String::new(),
            smoothing => format!(" (label smoothing {smoothing})"),
        };
        let softmax = match self.softmax.weight {
            0.0 => None,
            1.0 => Some(format!("softmax{smoothing}")),
            weight => Some(format!("{weight} x softmax{smoothing}")),
        };
        let batch_contrastive = (own.weight != 0.0).then(|| {
            let ramp = match own.warmup {
                0 => String::new(),
                steps => format!(" from 0 over {steps} iterations"),
            };
            format!("{}{ramp} x batch-contrastive ({})", own.weight, self.reading(&[]))
        });
        let metric_losses = self.metric_losses().into_iter().map(|(loss, weight)| {
            let options = match loss {
                MetricLoss::Triplet => {
                    let mining = match self.triplet.mining {
                        Mining::Hard => "batch-hard",
                        Mining::Weighted => "weighted",
                    };
                    match self.triplet.soft {
                        true => format!("{mining}, soft margin"),
                        false => format!("{mining}, margin {}", self.triplet.margin),
                    }
                }
                MetricLoss::Circle => {
                    format!("margin {}, gamma {}", self.circle.margin, self.circle.gamma)
                }
                MetricLoss::Contrastive => {
                    format!("margins {} and {}", self.contrastive.positive, self.contrastive.negative)
                }
                MetricLoss::Center => format!("centers at rate {}", self.center.rate),
                MetricLoss::Attributes => "mean of their softmax losses".into(),
                MetricLoss::Verification => format!("dropout {}", self.verification.dropout),
            };
            format!("{weight} x {} ({options})", loss.full_name())
        });
        let terms = [softmax, batch_contrastive].into_iter().flatten().chain(metric_losses);
        let terms: Vec<String> = terms.collect();
        match terms.as_slice() {
            [alone] if alone == "softmax" => {
                "softmax alone, the paper's baseline (loss.batch_contrastive.weight = 0)".into()
            }
            terms => terms.join(" + "),
        }
    }

    /// The choices that the paper leaves open or contradicts: `sum over the batch, margin tau 0.3, gradient
    /// of equation (8), centers at rate 0.5`. Choices whose keys are in `varied` are left out.
    pub fn reading(&self, varied: &[&str]) -> String {
        let own = &self.batch_contrastive;
        let gradient = match own.gradient {
            Gradient::Paper => "gradient of equation (8)",
            Gradient::Exact => "exact gradient",
        };
        let centers = match own.center_rate {
            CenterRate::Tied => "centers at the weights' rate".into(),
            CenterRate::Fixed(rate) => format!("centers at rate {rate}"),
        };
        let choices = [
            (
                "loss.batch_contrastive.reduction",
                "reduction",
                format!("{} over the batch", own.reduction.name()),
            ),
            ("loss.batch_contrastive.tau", "margin tau", format!("margin tau {}", own.tau)),
            ("loss.batch_contrastive.gradient", "gradient", gradient.into()),
            ("loss.batch_contrastive.center_rate", "rate of the centers", centers),
        ];
        let words = choices.map(|(key, name, value)| match varied.contains(&key) {
            true => format!("{name} as in the table"),
            false => value,
        });
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_reading_is_said_in_one_line() {
        let of = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| s.to_string()).collect();
            Config::resolve_text("", &settings).unwrap().loss.describe()
        };
        assert!(of(&["loss.batch_contrastive.weight=0"]).starts_with("softmax alone"));
        let settings = [
            "loss.batch_contrastive.tau=0.5",
            "loss.batch_contrastive.reduction=sum",
            "loss.batch_contrastive.gradient=paper",
            "loss.batch_contrastive.center_rate=0.5",
        ];
        assert_eq!(
            of(&settings),
            "softmax + 1 x batch-contrastive (sum over the batch, margin tau 0.5, gradient of equation (8), centers at \
             rate 0.5)"
        );
        let said = of(&[
            "loss.batch_contrastive.reduction=mean",
            "loss.batch_contrastive.warmup=7",
            "loss.batch_contrastive.gradient=exact",
            "loss.batch_contrastive.center_rate=tied",
        ]);
        for word in ["mean over the batch", "from 0 over 7 iterations", "exact gradient", "the weights' rate"]
        {
            assert!(said.contains(word), "{word}: {said}");
        }
        let said = of(&["loss.softmax.weight=0.5"]);
        assert!(said.starts_with("0.5 x softmax + 1 x batch-contrastive ("), "{said}");
        let said = of(&[
            "loss.lambda=0",
            "loss.softmax.smoothing=0.1",
            "loss.triplet.weight=2",
            "loss.circle.weight=1",
        ]);
        assert_eq!(
            said,
            "softmax (label smoothing 0.1) + 2 x triplet (batch-hard, margin 0.3) + 1 x circle (margin 0.25, gamma 32)"
        );
        let said = of(&["loss.lambda=0", "loss.center.weight=0.0005"]);
        assert_eq!(said, "softmax + 0.0005 x separate center (centers at rate 0.5)");
        let said = of(&[
            "loss.lambda=0",
            "loss.triplet.weight=1",
            "loss.triplet.mining=weighted",
            "loss.triplet.soft=true",
        ]);
        assert_eq!(said, "softmax + 1 x triplet (weighted, soft margin)");
        assert!(of(&["loss.softmax.weight=0"]).starts_with("1 x batch-contrastive ("));
        let loss = Config::default().loss;
        assert!(loss.describe().contains(&format!("({})", loss.reading(&[]))), "one wording");
        assert_eq!(
            loss.reading(&[
                "loss.batch_contrastive.tau",
                "loss.batch_contrastive.center_rate",
                "solver.batch"
            ]),
            "sum over the batch, margin tau as in the table, gradient of equation (8), rate of the centers \
             as in the table"
        );
    }
}
