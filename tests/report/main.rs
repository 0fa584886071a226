//! Figures and the report page of two small generated runs; pairs and ranked lists compared with plain loops.

mod bad_input;
mod figures;
mod lists;
mod page;
mod pairs;
mod support;
