//! Figures and the page that compares runs, made of two small made-up runs; pairs and ranked lists against plain loops.

mod bad_input;
mod figures;
mod lists;
mod page;
mod pairs;
mod support;
