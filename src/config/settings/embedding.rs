//! The setting `model.embedding_init`.

use serde::{Deserialize, Serialize};

/// The initial weights of the last layer of an embedding.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Value", into = "toml::Value")]
pub enum EmbeddingInit {
    /// Normal, with variance 2 / outputs (He et al. 2015, fan-out).
    He,
    /// Orthogonal rows of length 1, or columns where there are fewer of them (Saxe et al. 2014).
    Orthogonal,
    /// Normal, with this standard deviation.
    Normal(f32),
}

impl TryFrom<toml::Value> for EmbeddingInit {
    type Error = String;

    fn try_from(value: toml::Value) -> std::result::Result<Self, String> {
        match value {
            toml::Value::String(s) if s == "he" => Ok(EmbeddingInit::He),
            toml::Value::String(s) if s == "orthogonal" => Ok(EmbeddingInit::Orthogonal),
            toml::Value::Float(std) => Ok(EmbeddingInit::Normal(std as f32)),
            toml::Value::Integer(std) => Ok(EmbeddingInit::Normal(std as f32)),
            other => Err(format!("{other} is neither a number nor \"he\" or \"orthogonal\"")),
        }
    }
}

impl From<EmbeddingInit> for toml::Value {
    fn from(init: EmbeddingInit) -> Self {
        match init {
            EmbeddingInit::He => toml::Value::String("he".into()),
            EmbeddingInit::Orthogonal => toml::Value::String("orthogonal".into()),
            // Through the shortest decimal form, so that 0.01 is written as 0.01.
            EmbeddingInit::Normal(std) => {
                toml::Value::Float(std.to_string().parse().unwrap_or(f64::from(std)))
            }
        }
    }
}
