//! The loss that a run is trained with, in words: said at its start, because the paper leaves the choices open.

use super::{CenterRate, Gradient, Loss};

impl Loss {
    /// One line for a person, for example `softmax + 1 x batch-contrastive (sum over the batch, margin tau 0.3, gradient
    /// of equation (8)), centers at rate 0.5`.
    pub fn describe(&self) -> String {
        if self.lambda == 0.0 {
            return "softmax alone, the paper's baseline (loss.lambda = 0)".into();
        }
        let Loss { lambda, lambda_warmup, tau, gradient, reduction, center_rate } = self;
        let gradient = match gradient {
            Gradient::Paper => "gradient of equation (8)",
            Gradient::Exact => "exact gradient",
        };
        let ramp = match lambda_warmup {
            0 => String::new(),
            steps => format!(" from 0 over {steps} iterations"),
        };
        let centers = match center_rate {
            CenterRate::Tied => "centers at the weights' rate".into(),
            CenterRate::Fixed(rate) => format!("centers at rate {rate}"),
        };
        let reduction = reduction.name();
        format!(
            "softmax + {lambda}{ramp} x batch-contrastive ({reduction} over the batch, margin tau {tau}, {gradient}), \
             {centers}"
        )
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
        assert!(of(&["loss.lambda=0"]).starts_with("softmax alone"));
        let settings = ["loss.tau=0.5", "loss.reduction=sum", "loss.gradient=paper", "loss.center_rate=0.5"];
        assert_eq!(
            of(&settings),
            "softmax + 1 x batch-contrastive (sum over the batch, margin tau 0.5, gradient of equation (8)), centers at \
             rate 0.5"
        );
        let said = of(&[
            "loss.reduction=mean",
            "loss.lambda_warmup=7",
            "loss.gradient=exact",
            "loss.center_rate=tied",
        ]);
        for word in ["mean over the batch", "from 0 over 7 iterations", "exact gradient", "the weights' rate"]
        {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
