//! The reference is [`case::Case::loss`]: equations (3) and (4) in f64 with the partner samples as an argument of
//! their own. With the partners held constant its derivative is the paper's (8), with the partners moving
//! along it is the exact one; finite differences of it check each gradient against its own function.

mod case;
mod edges;
pub mod kernel;
mod values;
